# A machine whose containers find their secrets in /run/secrets. It reads those that it delivers, and no other.

resource "oci_identity_dynamic_group" "host" {
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-host"
  description    = "The machine that delivers secrets"
  matching_rule  = "instance.id = '${oci_core_instance.this.id}'"
}

resource "oci_identity_policy" "host" {
  compartment_id = var.compartment_ocid
  name           = "${var.name}-host"
  description    = "Reads the secrets that it delivers"
  statements = [for ocid in distinct([for secret in var.secrets : secret.ocid]) :
    "allow dynamic-group ${oci_identity_dynamic_group.host.name} to read secret-bundles in compartment id ${var.compartment_ocid} where target.secret.id = '${ocid}'"
  ]
}

locals {
  map = join("\n", concat(
    ["# ocid,path,mode,container,signal"],
    [for each in var.secrets : join(",", [each.ocid, each.path, each.mode, each.container, each.signal])],
    [""],
  ))
  units = ["run-secrets.mount", "oci-secretsync.service", "oci-secretsync.timer"]
  cloud_init = {
    packages = ["python3.11"]
    write_files = concat(
      [{ path = "/etc/oci-secretsync/map.csv", permissions = "0600", content = local.map }],
      [for unit in local.units : {
        path        = "/etc/systemd/system/${unit}"
        permissions = "0644"
        content     = file("${path.module}/../../systemd/${unit}")
      }],
    )
    runcmd = [
      ["python3.11", "-m", "venv", "/opt/keepstep"],
      ["/opt/keepstep/bin/pip", "install", var.package],
      ["ln", "-sf", "/opt/keepstep/bin/keepstep", "/opt/keepstep/bin/oci-secretsync", "/usr/local/bin/"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "run-secrets.mount", "oci-secretsync.timer"],
    ]
  }
}

resource "oci_core_instance" "this" {
  compartment_id      = var.compartment_ocid
  availability_domain = var.availability_domain
  display_name        = var.name
  shape               = var.shape.name

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
    { user_data = base64encode("#cloud-config\n${yamlencode(local.cloud_init)}") },
    var.ssh_public_key == null ? {} : { ssh_authorized_keys = var.ssh_public_key },
  )
}
