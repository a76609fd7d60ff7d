# A machine whose containers find their secrets in /run/secrets. It reads those that it delivers, and no other. What it
# delivers is in an object (configuration.tf); what it is made with, here, is only how to fetch that.

resource "oci_identity_dynamic_group" "host" {
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-host"
  description    = "The machine that delivers secrets"
  matching_rule  = "instance.id = '${oci_core_instance.this.id}'"
  freeform_tags  = var.tags
}

locals {
  host  = "dynamic-group ${oci_identity_dynamic_group.host.name}"
  where = "compartment id ${var.compartment_ocid} where"
  # A secret may be in another compartment than the machine.
  where_secrets = "compartment id ${coalesce(var.secrets_compartment_ocid, var.compartment_ocid)} where"
  ocids         = distinct([for secret in var.secrets : secret.ocid])
}

resource "oci_identity_policy" "secrets" {
  provider       = oci.home
  compartment_id = coalesce(var.secrets_compartment_ocid, var.compartment_ocid)
  name           = "${var.name}-secrets"
  description    = "Reads the secrets that it delivers"
  freeform_tags  = var.tags
  statements     = [for ocid in local.ocids : "allow ${local.host} to read secret-bundles in ${local.where_secrets} target.secret.id = '${ocid}'"]
}

resource "oci_identity_policy" "host" {
  provider       = oci.home
  compartment_id = var.compartment_ocid
  name           = "${var.name}-host"
  description    = "Fetches its configuration, and tells how it is"
  freeform_tags  = var.tags
  statements = [
    "allow ${local.host} to read objects in ${local.where} target.bucket.name = '${oci_objectstorage_bucket.configuration.name}'",
    "allow ${local.host} to use ons-topics in ${local.where} any {request.permission = 'ONS_TOPIC_PUBLISH', request.permission = 'ONS_TOPIC_READ'}",
    "allow ${local.host} to use metrics in ${local.where} target.metrics.namespace = 'keepstep'",
  ]
}

locals {
  settings = {
    PACKAGE       = var.package
    CONFIGURATION = "oci://${oci_objectstorage_bucket.configuration.name}@${data.oci_objectstorage_namespace.this.namespace}/machine/"
    OCI_CLI_AUTH  = "instance_principal"
  }

  bootstrap = "${path.module}/../../machine"
  cloud_init = {
    write_files = [
      { path = "/etc/keepstep-machine/settings", permissions = "0600", content = join("", [for name, text in local.settings : "${name}='${text}'\n"]) },
      { path = "/usr/local/lib/keepstep-machine/run", permissions = "0755", content = file("${local.bootstrap}/run") },
      { path = "/usr/local/lib/keepstep-machine/apply.py", permissions = "0644", content = file("${local.bootstrap}/apply.py") },
      { path = "/etc/systemd/system/keepstep-machine.service", permissions = "0644", content = file("${local.bootstrap}/keepstep-machine.service") },
      { path = "/etc/systemd/system/keepstep-machine.timer", permissions = "0644", content = file("${local.bootstrap}/keepstep-machine.timer") },
    ]
    runcmd = [
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "keepstep-machine.timer"],
      ["systemctl", "start", "--no-block", "keepstep-machine.service"],
    ]
  }
}

resource "oci_core_instance" "this" {
  compartment_id      = var.compartment_ocid
  availability_domain = var.availability_domain
  display_name        = var.name
  shape               = var.shape.name
  freeform_tags       = var.tags

  dynamic "shape_config" {
    for_each = var.shape.ocpus == null ? [] : [var.shape]
    content {
      ocpus         = shape_config.value.ocpus
      memory_in_gbs = shape_config.value.memory
    }
  }

  create_vnic_details {
    subnet_id        = var.subnet_ocid
    assign_public_ip = "false"
  }

  source_details {
    source_type = "image"
    source_id   = var.image_ocid
  }

  launch_options {
    is_pv_encryption_in_transit_enabled = true
  }

  instance_options {
    are_legacy_imds_endpoints_disabled = true
  }

  metadata = merge(
    { user_data = base64gzip("#cloud-config\n${yamlencode(local.cloud_init)}") },
    var.ssh_public_key == null ? {} : { ssh_authorized_keys = var.ssh_public_key },
  )

  # Containers run here: a newer module or image makes no new machine in passing, and none goes by accident.
  lifecycle {
    ignore_changes  = [metadata, source_details[0].source_id]
    prevent_destroy = true
  }
}
