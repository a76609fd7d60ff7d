variable "tenancy_ocid" {
  description = "The tenancy whose cost reports are copied."
  type        = string
}

variable "region" {
  description = "Its home region: reports are nowhere else."
  type        = string
}

variable "compartment_ocid" {
  description = "Where everything is made."
  type        = string
}

variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-reports"
}

variable "user_email" {
  description = "Identity domains want one of every user."
  type        = string
}

variable "api_public_key" {
  description = "Step 1: the public half (PEM) of a key that you made. The private half never comes near the state."
  type        = string
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
  description = "Fallback where the instance principal cannot read the vault: files for /etc/keepstep/credentials, in cloud-init. They are then in the state and in the instance's metadata; see README.md."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "bucket_name" {
  description = "The S3 bucket for the reports; it is made."
  type        = string
}

variable "bucket_prefix" {
  description = "The folder in it."
  type        = string
  default     = "oci/"
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
  description = "Who gets mail, by Notifications, when the machine is silent or a copy fails. Confirm the subscription."
  type        = string
  default     = null
}

variable "alert_urls" {
  description = "More places to call for help, as Apprise writes addresses. What is secret in them is in the state: leave it empty then, and edit the machine's /etc/keepstep/environment."
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
  description = "Of the machine."
  type        = string
}

variable "image_ocid" {
  description = "Oracle Linux 9 or Ubuntu 24.04."
  type        = string
}

variable "shape" {
  description = "Of the machine, with its CPUs and memory (GB) if it is flexible."
  type        = object({ name = string, ocpus = optional(number), memory = optional(number) })
  default     = { name = "VM.Standard.A1.Flex", ocpus = 1, memory = 6 }
}

variable "ssh_public_key" {
  description = "For sessions of the bastion."
  type        = string
  default     = null
}

variable "package" {
  description = "What pip installs: keepstep with its extras, and a version."
  type        = string
  default     = "keepstep[aws,oci,daemon]==0.1.0"
}
