# What the machine delivers, as an object that it looks at every five minutes and before each run: one more secret, or
# another interval, arrives without a new machine.

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_ocid
}

locals {
  keepstep_toml = <<-TOML
    [state]
    url = "sqlite:////var/lib/keepstep/state.db"

    [alerts]
    urls = ${jsonencode(concat(["oci-notifications://${oci_ons_notification_topic.this.topic_id}?auth=instance_principal"], var.alert_urls))}

    [metrics.oci]
    compartment = "${var.compartment_ocid}"
    auth = "instance_principal"

    [identity.oci]
    auth = "instance_principal"

    [job.host]
    kind = "secrets"
    map = "/etc/oci-secretsync/map.csv"
    success_within = "${3 * var.interval_hours + 1}h"
  TOML

  map = join("\n", concat(
    ["# ocid,path,mode,container,signal"],
    [for each in var.secrets : join(",", [each.ocid, each.path, each.mode, each.container, each.signal])],
    [""],
  ))

  # The folders of the map that are not on the tmpfs, which the service may write to.
  folders = sort(distinct([for each in var.secrets : dirname(each.path) if !startswith(each.path, "/run/secrets/")]))
  drop_in = <<-INI
    [Unit]
    # The newest map first; what there is serves where it cannot be fetched.
    Wants=keepstep-machine.service
    After=keepstep-machine.service
    StartLimitIntervalSec=0
    [Service]
    Restart=on-failure
    RestartSec=1min
    ${length(local.folders) == 0 ? "" : "ReadWritePaths=${join(" ", local.folders)}"}
  INI

  # An empty value takes away every time of the unit, that after a boot too.
  timer = <<-INI
    [Timer]
    OnUnitActiveSec=
    OnBootSec=2min
    OnUnitActiveSec=${var.interval_hours}h
  INI

  run   = [["start", "keepstep-secrets@host.service"]]
  units = ["run-secrets.mount", "keepstep-secrets@.service", "keepstep-secrets@.timer"]
  configuration = {
    package  = var.package
    enable   = ["run-secrets.mount", "keepstep-secrets@host.timer"]
    programs = {}
    files = merge(
      {
        "/etc/keepstep/keepstep.toml"                                      = { mode = "0644", text = local.keepstep_toml, then = local.run }
        "/etc/oci-secretsync/map.csv"                                      = { mode = "0600", text = local.map, then = local.run }
        "/etc/systemd/system/keepstep-secrets@host.service.d/machine.conf" = { mode = "0644", text = local.drop_in, then = local.run }
        "/etc/systemd/system/keepstep-secrets@host.timer.d/machine.conf"   = { mode = "0644", text = local.timer, then = [["restart", "keepstep-secrets@host.timer"]] }
      },
      { for unit in local.units : "/etc/systemd/system/${unit}" => {
        mode = "0644", text = file("${path.module}/../../systemd/${unit}"), then = []
      } },
    )
  }
}

# Write access to this object is root access to the machine.
resource "oci_objectstorage_bucket" "configuration" {
  #checkov:skip=CKV_OCI_7:nobody waits for it but the machine, which looks
  #checkov:skip=CKV_OCI_9:no secret is in it
  compartment_id = var.compartment_ocid
  namespace      = data.oci_objectstorage_namespace.this.namespace
  name           = "${var.name}-machine"
  access_type    = "NoPublicAccess"
  versioning     = "Enabled"
  freeform_tags  = var.tags
}

resource "oci_objectstorage_object" "configuration" {
  namespace    = data.oci_objectstorage_namespace.this.namespace
  bucket       = oci_objectstorage_bucket.configuration.name
  object       = "machine/configuration.json"
  content      = jsonencode(local.configuration)
  content_type = "application/json"
}
