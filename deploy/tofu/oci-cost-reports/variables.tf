variable "tenancy_ocid" {
  description = "The tenancy whose cost reports are copied."
  type        = string
}

variable "region" {
  description = "Where the machine is. Reports are in the tenancy's home region, and keepstep reads them there."
  type        = string
}

variable "compartment_ocid" {
  description = "Where everything is made."
  type        = string
  default     = null
}

variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-reports"
}

variable "user_email" {
  description = "Identity domains want one of every user."
  type        = string
  default     = null
}

variable "api_public_key" {
  description = "Step 1: the public half (PEM) of a key that you made. The private half never comes near the state."
  type        = string
  default     = null
}

variable "api_key_secret_ocid" {
  description = "Step 2: the secret in the vault that step 1 made, with the private half. Without it there is no machine yet."
  type        = string
  default     = null
}

variable "aws_access_key_secret_ocid" {
  description = "Step 2: the secret with an AWS credentials file for the IAM user that step 1 made. Not needed with roles_anywhere."
  type        = string
  default     = null
}

variable "roles_anywhere" {
  description = "No static AWS key at all: the PEM of a certificate authority, and the secrets with a certificate and key that it signed."
  type = object({
    ca_certificate     = string
    certificate_ocid   = string
    private_key_ocid   = string
    signing_helper_url = string
    signing_helper_sum = string
  })
  default = null
}

variable "inject" {
  description = "Fallback where the instance principal cannot read the vault: files for /etc/keepstep/credentials. They are then in the state; see README.md."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "inject_until" {
  description = "With inject: until when (RFC 3339) the machine may fetch its configuration by an address instead of an identity."
  type        = string
  default     = "2035-01-01T00:00:00Z"
}

variable "bucket_name" {
  description = "The S3 bucket for the reports."
  type        = string
  default     = null
}

variable "existing_bucket" {
  description = "True: the bucket exists, and nothing about it is changed. If not given, a bucket called bucket_name is made."
  type        = bool
  default     = null
}

variable "aws_region" {
  description = "Of the bucket; if not given, that of the AWS profile."
  type        = string
  default     = null
}

variable "bucket_prefix" {
  description = "The folder in it; oci/ if not given."
  type        = string
  default     = null
}

variable "include" {
  description = "Which reports: 'FOCUS Reports/*', or '*' for all of them."
  type        = string
  default     = "FOCUS Reports/*"
}

variable "schedule" {
  description = "When; Oracle writes new reports about every six hours."
  type        = string
  default     = "0 */6 * * *"
}

variable "alert_email" {
  description = "Who gets mail, by Notifications, when a copy fails, none has succeeded for success_within_hours, or the machine is silent. Confirm the subscription."
  type        = string
  default     = null
}

variable "success_within_hours" {
  description = "An alarm is raised when no copy has succeeded for so long, whatever the reason: a machine that was never installed, too."
  type        = number
  default     = 24
  validation {
    condition     = var.success_within_hours >= 1 && var.success_within_hours <= 72
    error_message = "OCI's alarms on absence look back 1 to 72 hours."
  }
}

variable "alert_urls" {
  description = "More places to send alerts to, as Apprise writes addresses. Addresses of mail servers open their port. What is secret in them is in the state: leave it empty then, and edit the machine's /etc/keepstep/environment."
  type        = list(string)
  default     = []
}

variable "vcn_cidr" {
  description = "Of the network that is made."
  type        = string
  default     = "10.20.0.0/24"
}

variable "bastion_client_cidrs" {
  description = "From where the bastion may be used; empty: no bastion."
  type        = list(string)
  default     = []
}

variable "availability_domain" {
  description = "Of the machine; the first of the region if not given. Counts when it is made."
  type        = string
  default     = null
}

variable "image_ocid" {
  description = "Counts when the machine is made. If not given, the newest Oracle Linux 9 of the region for the shape."
  type        = string
  default     = null
}

variable "mirror_port" {
  description = "The port of the image's package mirror where it is not 443; 80 for Ubuntu. Oracle Linux and Debian need none."
  type        = number
  default     = null
}

variable "shape" {
  description = "Of the machine, with its CPUs and memory (GB) if it is flexible."
  type        = object({ name = string, ocpus = optional(number), memory = optional(number) })
  default     = { name = "VM.Standard.A1.Flex", ocpus = 1, memory = 6 }
}

variable "ssh_public_key" {
  description = "For ssh without a managed session of the bastion. Counts when the machine is made; managed sessions bring a key of their own."
  type        = string
  default     = null
}

variable "log_file" {
  description = "A file for keepstep's log, such as /var/log/rclone-sync.log; if not given, the journal has it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Of everything that can have tags, in both clouds."
  type        = map(string)
  default     = {}
}

variable "package" {
  description = "What pip installs: keepstep with its extras, and a version. A change arrives like any other."
  type        = string
  default     = "keepstep[aws,oci,daemon]==0.1.0"
}
