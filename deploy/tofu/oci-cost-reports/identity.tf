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
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = var.name
  description    = "Reads cost reports for keepstep"
  email          = local.email == "" ? null : local.email
  freeform_tags  = var.tags
}

resource "oci_identity_user_capabilities_management" "reports" {
  provider                     = oci.home
  user_id                      = oci_identity_user.reports.id
  can_use_api_keys             = true
  can_use_auth_tokens          = false
  can_use_console_password     = false
  can_use_customer_secret_keys = false
  can_use_smtp_credentials     = false
}

resource "oci_identity_api_key" "reports" {
  count     = var.api_public_key == null ? 0 : 1
  provider  = oci.home
  user_id   = oci_identity_user.reports.id
  key_value = var.api_public_key

  # A new key is registered before the old one goes, and the machine has five minutes to fetch it.
  lifecycle {
    create_before_destroy = true
  }
}

resource "oci_identity_group" "reports" {
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = var.name
  description    = "May read cost reports"
  freeform_tags  = var.tags
}

resource "oci_identity_user_group_membership" "reports" {
  provider = oci.home
  user_id  = oci_identity_user.reports.id
  group_id = oci_identity_group.reports.id
}

resource "oci_identity_policy" "reports" {
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-reports"
  description    = "Cost reports, which lie in a tenancy of Oracle's"
  freeform_tags  = var.tags
  statements = [
    "define tenancy usage-report as ${local.usage_report_tenancy}",
    "endorse group ${oci_identity_group.reports.name} to read objects in tenancy usage-report",
  ]
}

resource "oci_kms_vault" "this" {
  compartment_id = local.compartment
  display_name   = var.name
  vault_type     = "DEFAULT"
  freeform_tags  = var.tags

  # What was encrypted with its key would be lost.
  lifecycle {
    prevent_destroy = true
  }
}

resource "oci_kms_key" "this" {
  compartment_id      = local.compartment
  display_name        = var.name
  management_endpoint = oci_kms_vault.this.management_endpoint
  protection_mode     = "HSM"
  key_shape {
    algorithm = "AES"
    length    = 32
  }
  freeform_tags = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# The boot volume is encrypted with the key by the block volume service, in its own name.
resource "oci_identity_policy" "boot_volume" {
  provider       = oci.home
  compartment_id = local.compartment
  name           = "${var.name}-boot-volume"
  description    = "Block Volume encrypts the machine's disk"
  freeform_tags  = var.tags
  statements = [
    "allow service blockstorage to use keys in compartment id ${local.compartment} where target.key.id = '${oci_kms_key.this.id}'",
  ]
}

resource "oci_identity_dynamic_group" "machine" {
  count          = local.is_ready ? 1 : 0
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-machine"
  description    = "The machine that copies cost reports"
  matching_rule  = "instance.id = '${oci_core_instance.this[0].id}'"
  freeform_tags  = var.tags
}

locals {
  # Where the instance principal does not work the API key's user does what it would do.
  is_injected = length(local.injected) > 0
  machine     = local.is_injected ? "group ${oci_identity_group.reports.name}" : one([for group in oci_identity_dynamic_group.machine : "dynamic-group ${group.name}"])
  where       = "compartment id ${local.compartment} where"
}

resource "oci_identity_policy" "machine" {
  count          = local.is_ready ? 1 : 0
  provider       = oci.home
  compartment_id = local.compartment
  name           = "${var.name}-machine"
  description    = "Fetches its keys and its configuration, and tells how it is"
  freeform_tags  = var.tags
  statements = concat(
    [for ocid in values(local.delivered) : "allow ${local.machine} to read secret-bundles in ${local.where} target.secret.id = '${ocid}'"],
    [for name in local.is_injected ? [] : [oci_objectstorage_bucket.configuration.name] : "allow ${local.machine} to read objects in ${local.where} target.bucket.name = '${name}'"],
    [
      "allow ${local.machine} to use ons-topics in ${local.where} any {request.permission = 'ONS_TOPIC_PUBLISH', request.permission = 'ONS_TOPIC_READ'}",
      "allow ${local.machine} to use metrics in ${local.where} target.metrics.namespace = 'keepstep'",
    ],
  )
}
