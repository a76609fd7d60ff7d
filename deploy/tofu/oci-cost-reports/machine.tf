# The machine: keepstep as a service, its keys delivered by keepstep from the vault into memory. What it does is in an
# object (configuration.tf); what it is made with, here, is only how to fetch that, and does not change with it.

locals {
  is_ready = var.api_key_secret_ocid != null || contains(local.injected, "oci-key.pem")

  settings = {
    PACKAGE       = var.package
    CONFIGURATION = local.is_injected ? oci_objectstorage_preauthrequest.configuration[0].full_path : "oci://${oci_objectstorage_bucket.configuration.name}@${data.oci_objectstorage_namespace.this.namespace}/machine/"
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
      ["mkdir", "-p", "-m", "0700", "/etc/keepstep/credentials"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "keepstep-machine.timer"],
      ["systemctl", "start", "--no-block", "keepstep-machine.service"],
    ]
  }
}

data "oci_identity_availability_domains" "all" {
  compartment_id = var.tenancy_ocid
}

data "oci_core_images" "oracle_linux" {
  count                    = var.image_ocid == null ? 1 : 0
  compartment_id           = local.compartment
  operating_system         = "Oracle Linux"
  operating_system_version = "9"
  shape                    = var.shape.name
  sort_by                  = "TIMECREATED"
  sort_order               = "DESC"
}

resource "oci_core_instance" "this" {
  count               = local.is_ready ? 1 : 0
  compartment_id      = local.compartment
  availability_domain = var.availability_domain != null ? var.availability_domain : data.oci_identity_availability_domains.all.availability_domains[0].name
  depends_on          = [oci_identity_policy.boot_volume]
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
    subnet_id        = oci_core_subnet.this.id
    assign_public_ip = "false"
  }

  source_details {
    source_type = "image"
    source_id   = var.image_ocid != null ? var.image_ocid : data.oci_core_images.oracle_linux[0].images[0].id
    kms_key_id  = oci_kms_key.this.id
  }

  agent_config {
    plugins_config {
      name          = "Bastion"
      desired_state = length(var.bastion_client_cidrs) > 0 ? "ENABLED" : "DISABLED"
    }
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

  # A newer image or module makes no new machine in passing. For one: tofu apply -replace='oci_core_instance.this[0]'
  lifecycle {
    ignore_changes = [metadata, availability_domain, source_details[0].source_id]
  }
}
