variable "tenancy_ocid" {
  description = "Dynamic groups and policies for schedules live in the tenancy."
  type        = string
}

variable "region" {
  description = "Where the function and the vault are; that of ~/.oci/config if not given."
  type        = string
  default     = null
}

variable "compartment_ocid" {
  description = "Where everything is made."
  type        = string
}

variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-rotation"
}

variable "image" {
  description = "The Function variant of the image in OCIR: fra.ocir.io/namespace/keepstep-function:0.1.0"
  type        = string
}

variable "image_digest" {
  description = "Its digest, so that what runs is what was checked."
  type        = string
}

variable "subnet_ocid" {
  description = "A private subnet with a way to the databases and, by NAT and service gateway, to both clouds."
  type        = string
}

variable "oci_secret_ocid" {
  description = "The credential, in OCI Vault."
  type        = string
}

variable "oci_connection_blob_ocid" {
  description = "The secret with connection strings, if there is one."
  type        = string
  default     = null
}

variable "admin_secret_ocid" {
  description = "The administrator's credential; without one the credential changes itself."
  type        = string
  default     = null
}

variable "vault_key_ocid" {
  description = "The key that encrypts those secrets."
  type        = string
}

variable "aws_secret_arn" {
  description = "The credential, in Secrets Manager."
  type        = string
}

variable "aws_region" {
  description = "Its region."
  type        = string
}

variable "aws_access_key_secret_ocid" {
  description = "The OCI Vault secret {\"id\": …, \"key\": …}: an access key of an IAM user that may do what aws-rotation's role may. You make it: its value is not for the state."
  type        = string
}

variable "audit_key" {
  description = "Address of the secret that signs the audit log: ocid1.vaultsecret… or aws-ssm:/name."
  type        = string
}

variable "config" {
  description = "More variables of keepstep, such as RDS_HOST and OCI_ADB_DSN. Never a secret: they are in the state."
  type        = map(string)
  default     = {}
}

variable "minutes" {
  description = "Of the hour, at which the function looks. Resource Scheduler knows no shorter period than an hour."
  type        = set(string)
  default     = ["0", "20", "40"]
}

variable "audit_retention_days" {
  description = "For so long nobody can change or delete an entry."
  type        = number
  default     = 400
}

variable "lock_retention_at" {
  description = "From then on (RFC 3339, at least 14 days ahead) the retention rule itself cannot be shortened or removed."
  type        = string
  default     = null
}

variable "alarm_topic_ocid" {
  description = "A Notifications topic that is told of failed ticks, and of missing success; one is made if not given."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Who gets mail, by Notifications, when a tick fails, or none has succeeded. Confirm the subscription."
  type        = string
  default     = null
}

variable "silent_after_hours" {
  description = "An alarm is raised when no tick has succeeded for so long."
  type        = number
  default     = 2
  validation {
    condition     = var.silent_after_hours >= 1 && var.silent_after_hours <= 72
    error_message = "OCI's alarms on absence look back 1 to 72 hours."
  }
}

variable "tags" {
  description = "Of everything that can have tags."
  type        = map(string)
  default     = {}
}
