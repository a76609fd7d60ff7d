# The variables of oci-rclone-sync by their own names: its terraform.tfvars works as it is. See docs/deploy/migration.md.

variable "existing_compartment_id" {
  description = "compartment_ocid, as oci-rclone-sync called it."
  type        = string
  default     = null
}

variable "aws_s3_bucket_name" {
  description = "bucket_name, as oci-rclone-sync called it; the bucket exists."
  type        = string
  default     = null
}

variable "aws_s3_prefix" {
  description = "bucket_prefix, as oci-rclone-sync called it."
  type        = string
  default     = null
}

variable "oci_rclone_user_email" {
  description = "user_email, as oci-rclone-sync called it."
  type        = string
  default     = null
}

variable "alert_email_address" {
  description = "alert_email, as oci-rclone-sync called it; empty for none."
  type        = string
  default     = null
}

variable "oci_api_key_fingerprint" {
  description = "Of an API key that was added to the user in the Console. With api_public_key the module registers the key."
  type        = string
  default     = null
}

variable "oci_api_private_key" {
  description = "The key itself (PEM): it is then in the state. Better: api_key_secret_ocid."
  type        = string
  default     = null
  sensitive   = true
}

variable "aws_access_key" {
  description = "Of an IAM user that exists; none is made then. Better: aws_access_key_secret_ocid."
  type        = string
  default     = null
}

variable "aws_secret_key" {
  description = "Its secret: it is then in the state."
  type        = string
  default     = null
  sensitive   = true
}

variable "inject_oci_private_key_via_cloud_init" {
  description = "Whether oci_api_private_key is used. False: the key comes from the vault, as api_key_secret_ocid."
  type        = bool
  default     = true
}

variable "inject_aws_credentials_via_cloud_init" {
  description = "Whether aws_access_key and aws_secret_key are used. False: they come from the vault, as aws_access_key_secret_ocid."
  type        = bool
  default     = true
}

variable "create_aws_secrets" {
  description = "Has no effect: a secret that Terraform makes is in the state. Step 2 of README.md makes it."
  type        = bool
  default     = false
}

locals {
  compartment   = try(coalesce(var.compartment_ocid, var.existing_compartment_id), "")
  bucket        = try(coalesce(var.bucket_name, var.aws_s3_bucket_name), "")
  bucket_exists = coalesce(var.existing_bucket, var.bucket_name == null)
  folder        = trim(coalesce(var.bucket_prefix, var.aws_s3_prefix, "oci/"), "/")
  prefix        = local.folder == "" ? "" : "${local.folder}/"
  email         = try(coalesce(var.user_email, var.oci_rclone_user_email), "")
  alert_email   = try(coalesce(var.alert_email, var.alert_email_address), "")
  brings_key    = nonsensitive(var.aws_access_key != null && var.aws_access_key != "")

  has_api_key = nonsensitive(var.oci_api_private_key != null && var.oci_api_private_key != "") && var.inject_oci_private_key_via_cloud_init
  has_aws_key = local.brings_key && var.inject_aws_credentials_via_cloud_init
  inject = merge(
    local.has_api_key ? { "oci-key.pem" = "${trimspace(var.oci_api_private_key)}\n" } : {},
    local.has_aws_key ? { "aws-credentials" = "[default]\naws_access_key_id = ${var.aws_access_key}\naws_secret_access_key = ${var.aws_secret_key}\n" } : {},
    var.inject,
  )
  injected = nonsensitive(keys(local.inject))
}
