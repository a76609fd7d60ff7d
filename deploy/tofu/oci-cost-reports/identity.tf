# Cost reports can be read with an API key only: a user for it, and the machine that fetches the key from the vault.

locals {
  # Oracle's own tenancy, as "Accessing Cost and Usage Reports" in OCI's documentation prints it.
  usage_report_tenancy = "ocid1.tenancy.oc1..aaaaaaaaned4fkpkisbwjlr56u7cj63lf3wffbilvqknstgtvzub7vhqkggq"
  delivered = merge(
    var.api_key_secret_ocid == null ? {} : { "oci-key.pem" = var.api_key_secret_ocid },
    var.aws_access_key_secret_ocid == null ? {} : { "aws-credentials" = var.aws_access_key_secret_ocid },
    var.roles_anywhere == null ? {} : {
      "aws-certificate.pem" = var.roles_anywhere.certificate_ocid
      "aws-key.pem"         = var.roles_anywhere.private_key_ocid
    },
  )
}

resource "oci_identity_user" "reports" {
  compartment_id = var.tenancy_ocid
  name           = var.name
  description    = "Reads cost reports for keepstep"
  email          = var.user_email
}

resource "oci_identity_user_capabilities_management" "reports" {
  user_id                      = oci_identity_user.reports.id
  can_use_api_keys             = true
  can_use_auth_tokens          = false
  can_use_console_password     = false
  can_use_customer_secret_keys = false
  can_use_smtp_credentials     = false
}

resource "oci_identity_api_key" "reports" {
  user_id   = oci_identity_user.reports.id
  key_value = var.api_public_key
}

resource "oci_identity_group" "reports" {
  compartment_id = var.tenancy_ocid
  name           = var.name
  description    = "May read cost reports"
}

resource "oci_identity_user_group_membership" "reports" {
  user_id  = oci_identity_user.reports.id
  group_id = oci_identity_group.reports.id
}

resource "oci_identity_policy" "reports" {
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-reports"
  description    = "Cost reports, which lie in a tenancy of Oracle's"
  statements = [
    "define tenancy usage-report as ${local.usage_report_tenancy}",
    "endorse group ${oci_identity_group.reports.name} to read objects in tenancy usage-report",
  ]
}

resource "oci_kms_vault" "this" {
  compartment_id = var.compartment_ocid
  display_name   = var.name
  vault_type     = "DEFAULT"
}

resource "oci_kms_key" "this" {
  compartment_id      = var.compartment_ocid
  display_name        = var.name
  management_endpoint = oci_kms_vault.this.management_endpoint
  protection_mode     = "HSM"
  key_shape {
    algorithm = "AES"
    length    = 32
  }
}

# The boot volume is encrypted with the key by the block volume service, in its own name.
resource "oci_identity_policy" "boot_volume" {
  compartment_id = var.compartment_ocid
  name           = "${var.name}-boot-volume"
  description    = "Block Volume encrypts the machine's disk"
  statements = [
    "allow service blockstorage to use keys in compartment id ${var.compartment_ocid} where target.key.id = '${oci_kms_key.this.id}'",
  ]
}

resource "oci_identity_dynamic_group" "machine" {
  count          = local.is_ready ? 1 : 0
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-machine"
  description    = "The machine that copies cost reports"
  matching_rule  = "instance.id = '${oci_core_instance.this[0].id}'"
}

resource "oci_identity_policy" "machine" {
  count          = local.is_ready && length(local.delivered) > 0 ? 1 : 0
  compartment_id = var.compartment_ocid
  name           = "${var.name}-machine"
  description    = "Fetches its keys"
  statements = [for ocid in values(local.delivered) :
    "allow dynamic-group ${oci_identity_dynamic_group.machine[0].name} to read secret-bundles in compartment id ${var.compartment_ocid} where target.secret.id = '${ocid}'"
  ]
}
