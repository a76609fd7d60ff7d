# What the machine does, as an object that it looks at every five minutes: a change arrives without a new machine.

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_ocid
}

locals {
  keys   = "/run/credentials/keepstep.service/keys_"
  source = local.is_injected ? "/etc/keepstep/credentials" : "/run/secrets"
  # As whom alerts and metrics are sent.
  auth = local.is_injected ? "api_key" : "instance_principal"

  keepstep_toml = <<-TOML
    [state]
    url = "sqlite:////var/lib/keepstep/state.db"

    [alerts]
    urls = ${jsonencode(concat(["oci-notifications://${oci_ons_notification_topic.this.topic_id}?auth=${local.auth}"], var.alert_urls))}

    [metrics]
    textfile = "/var/lib/keepstep/keepstep.prom"

    [metrics.oci]
    compartment = "${local.compartment}"
    region = "${var.region}"
    auth = "${local.auth}"

    [job.cost-reports]
    kind = "sync"
    source = "oci://${var.tenancy_ocid}@bling/"
    target = "s3://${local.bucket}/${local.prefix}"
    schedule = ${jsonencode(var.schedule)}
    startup = true
    stale_after = "30h"
    params = ${jsonencode("--exclude '*' --include '${var.include}'")}
  TOML

  oci_config = <<-INI
    [DEFAULT]
    user=${oci_identity_user.reports.id}
    fingerprint=${var.api_public_key == null ? coalesce(var.oci_api_key_fingerprint, "-") : oci_identity_api_key.reports[0].fingerprint}
    tenancy=${var.tenancy_ocid}
    region=${local.home_region}
    key_file=${local.keys}oci-key.pem
  INI

  aws_region = data.aws_region.here.name
  aws_config = var.roles_anywhere == null ? "[default]\nregion = ${local.aws_region}\n" : <<-INI
    [default]
    region = ${local.aws_region}
    credential_process = /usr/local/bin/aws_signing_helper credential-process --certificate ${local.keys}aws-certificate.pem --private-key ${local.keys}aws-key.pem --trust-anchor-arn ${aws_rolesanywhere_trust_anchor.this[0].arn} --profile-arn ${aws_rolesanywhere_profile.this[0].arn} --role-arn ${aws_iam_role.machine[0].arn}
  INI

  # The unit of deploy/systemd, with its keys from where they are delivered.
  drop_in = <<-INI
    [Unit]
    Wants=oci-secretsync.service
    After=oci-secretsync.service
    StartLimitIntervalSec=0
    [Service]
    RestartSec=1min
    LoadCredential=
    LoadCredential=keys:${local.source}
    ExecStartPre=/usr/bin/test -e ${local.keys}oci-key.pem
    Environment=OCI_CLI_CONFIG_FILE=/etc/keepstep/oci-config AWS_CONFIG_FILE=/etc/keepstep/aws-config
    ${var.log_file == null ? "" : "StandardOutput=append:${var.log_file}\nStandardError=append:${var.log_file}"}
  INI

  # IAM takes minutes to know a new machine. A key that changed in the vault restarts the service that uses it.
  deliver = <<-INI
    [Unit]
    StartLimitIntervalSec=0
    [Service]
    Restart=on-failure
    RestartSec=1min
    ExecStopPost=/bin/sh -c 'test "$EXIT_STATUS" != 3 || systemctl --no-block restart keepstep.service'
  INI

  logrotate = <<-CONF
    ${var.log_file == null ? "" : var.log_file} {
      weekly
      rotate 8
      compress
      missingok
      notifempty
      copytruncate
    }
  CONF

  map = join("\n", concat(
    ["# ocid,path,mode,container,signal"],
    [for name, ocid in local.delivered : "${ocid},/run/secrets/${name},0600,,"],
    [""],
  ))

  # What follows a change of a file: the words after systemctl.
  reload  = [["reload-or-restart", "keepstep.service"]]
  restart = [["restart", "keepstep.service"]]
  again   = [["restart", "oci-secretsync.service"], ["restart", "keepstep.service"]]

  units = ["run-secrets.mount", "oci-secretsync.service", "oci-secretsync.timer", "keepstep.service"]
  files = merge(
    {
      "/etc/keepstep/keepstep.toml"                               = { mode = "0644", text = local.keepstep_toml, then = local.reload }
      "/etc/keepstep/oci-config"                                  = { mode = "0644", text = local.oci_config, then = local.restart }
      "/etc/keepstep/aws-config"                                  = { mode = "0644", text = local.aws_config, then = local.restart }
      "/etc/oci-secretsync/map.csv"                               = { mode = "0600", text = local.map, then = local.again }
      "/etc/systemd/system/keepstep.service.d/machine.conf"       = { mode = "0644", text = local.drop_in, then = local.restart }
      "/etc/systemd/system/oci-secretsync.service.d/deliver.conf" = { mode = "0644", text = local.deliver, then = [] }
    },
    { for unit in local.units : "/etc/systemd/system/${unit}" => {
      mode = "0644", text = file("${path.module}/../../systemd/${unit}"), then = unit == "keepstep.service" ? local.restart : []
    } },
    { for path in var.log_file == null ? [] : ["/etc/logrotate.d/keepstep"] : path => { mode = "0644", text = local.logrotate, then = [] } },
    { for name in local.injected : "/etc/keepstep/credentials/${name}" => { mode = "0600", text = local.inject[name], then = local.restart } },
  )

  configuration = {
    package = var.package
    enable  = ["run-secrets.mount", "oci-secretsync.timer", "keepstep.service"]
    files   = local.files
    programs = var.roles_anywhere == null ? {} : {
      "/usr/local/bin/aws_signing_helper" = { url = var.roles_anywhere.signing_helper_url, sha256 = var.roles_anywhere.signing_helper_sum }
    }
  }
}

# Write access to this object is root access to the machine.
resource "oci_objectstorage_bucket" "configuration" {
  #checkov:skip=CKV_OCI_7:nobody waits for it but the machine, which looks
  #checkov:skip=CKV_OCI_9:no secret is in it; with inject, use a key of your own
  compartment_id = local.compartment
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

# Where the machine's principal cannot read: an address for this one object, until inject_until.
resource "oci_objectstorage_preauthrequest" "configuration" {
  count        = local.is_injected ? 1 : 0
  namespace    = data.oci_objectstorage_namespace.this.namespace
  bucket       = oci_objectstorage_bucket.configuration.name
  object_name  = "machine/configuration.json"
  name         = var.name
  access_type  = "ObjectRead"
  time_expires = var.inject_until
}
