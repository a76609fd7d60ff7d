variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-rotation"
}

variable "image_uri" {
  description = "The Lambda variant of the image in ECR, by its digest."
  type        = string
  validation {
    condition     = strcontains(var.image_uri, "@sha256:")
    error_message = "name the image by its digest, so that what runs is what was checked"
  }
}

variable "aws_secret_arn" {
  description = "The credential, in Secrets Manager."
  type        = string
}

variable "aws_connection_blob_arn" {
  description = "The secret with connection strings, if there is one."
  type        = string
  default     = null
}

variable "admin_secret_arn" {
  description = "The administrator's credential; without one the credential changes itself."
  type        = string
  default     = null
}

variable "secrets_kms_key_arn" {
  description = "The key of those secrets and of the salt, if it is one of your own."
  type        = string
  default     = null
}

variable "audit_salt_parameter" {
  description = "Name of the SSM parameter (SecureString) that signs the audit log. You make it: its value is not for the state."
  type        = string
  default     = "/keepstep/audit-salt"
}

variable "oci_secret_ocid" {
  description = "The credential, in OCI Vault."
  type        = string
}

variable "oci_connection_blob_ocid" {
  description = "The secret with connection strings, if there is one."
  type        = string
  default     = ""
}

variable "oci_user" {
  description = "Who the function is in OCI: a user with an API key, and the policies that README.md shows."
  type = object({
    tenancy     = string
    user        = string
    fingerprint = string
    region      = string
  })
}

variable "oci_key_secret_arn" {
  description = "The secret in Secrets Manager whose text is that user's private key. You make it: its value is not for the state."
  type        = string
}

variable "database" {
  description = "The database: RDS_ENGINE and so on. port is also where the function may connect to."
  type = object({
    engine = string
    host   = string
    name   = string
    port   = number
  })
}

variable "environment" {
  description = "More variables of keepstep, such as OCI_ADB_DSN. Never a secret: they are in the state."
  type        = map(string)
  default     = {}
}

variable "rotation_minutes" {
  description = "How old the credential may become."
  type        = number
  default     = 1440
}

variable "tick" {
  description = "How often the function looks; a look that finds nothing due costs two calls."
  type        = string
  default     = "rate(20 minutes)"
}

variable "tick_minutes" {
  description = "The least minutes between two ticks; needed for cron(…), which does not say it."
  type        = number
  default     = null
}

variable "vpc_id" {
  description = "Where the database is reached."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way out by TLS, to AWS and to OCI."
  type        = list(string)
}

variable "database_cidr" {
  description = "Where databases are: the function connects to nothing else but TLS."
  type        = string
}

variable "extra_database_ports" {
  description = "Of the other databases, such as 1522 for Autonomous Database."
  type        = list(number)
  default     = []
}

variable "audit_retention_days" {
  description = "For so long nobody, not even root, can change or delete an entry."
  type        = number
  default     = 400
}

variable "alert_email" {
  description = "A mail address that is told of failures and silence, once it has confirmed the mail that SNS sends it."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "An SNS topic of your own, instead of the module's; README.md shows the policy that it needs."
  type        = string
  default     = null
}

variable "alarm_after_ticks" {
  description = "After so many ticks without success somebody is told."
  type        = number
  default     = 3
}

variable "architecture" {
  description = "What the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64"
  }
}

variable "tags" {
  description = "Of everything that can have tags."
  type        = map(string)
  default     = {}
}
