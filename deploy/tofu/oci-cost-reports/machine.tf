# The machine: keepstep as a service, its keys delivered by keepstep from the vault into memory.

locals {
  is_ready = var.api_key_secret_ocid != null || nonsensitive(length(var.inject)) > 0
  keys     = "/run/credentials/keepstep.service/keys_"
  folder   = nonsensitive(length(var.inject)) > 0 ? "/etc/keepstep/credentials" : "/run/secrets"

  keepstep_toml = <<-TOML
    [state]
    url = "sqlite:////var/lib/keepstep/state.db"

    [alerts]
    urls = ${jsonencode(var.alert_urls)}

    [metrics]
    textfile = "/var/lib/keepstep/keepstep.prom"

    [job.cost-reports]
    kind = "sync"
    source = "oci://${var.tenancy_ocid}@bling/"
    target = "s3://${aws_s3_bucket.reports.bucket}/${var.bucket_prefix}"
    schedule = "${var.schedule}"
    startup = true
    stale_after = "30h"
    params = "--exclude '*' --include '${var.include}'"
  TOML

  oci_config = <<-INI
    [DEFAULT]
    user=${oci_identity_user.reports.id}
    fingerprint=${oci_identity_api_key.reports.fingerprint}
    tenancy=${var.tenancy_ocid}
    region=${var.region}
    key_file=${local.keys}oci-key.pem
  INI

  aws_config = var.roles_anywhere == null ? "[default]\nregion = ${aws_s3_bucket.reports.region}\n" : <<-INI
    [default]
    region = ${aws_s3_bucket.reports.region}
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
    LoadCredential=keys:${local.folder}
    ExecStartPre=/usr/bin/test -e ${local.keys}oci-key.pem
    Environment=OCI_CLI_CONFIG_FILE=/etc/keepstep/oci-config AWS_CONFIG_FILE=/etc/keepstep/aws-config
  INI

  # IAM takes minutes to know a new machine.
  retry = <<-INI
    [Unit]
    StartLimitIntervalSec=0
    [Service]
    Restart=on-failure
    RestartSec=1min
  INI

  map = join("\n", concat(
    ["# ocid,path,mode,container,signal"],
    [for name, ocid in local.delivered : "${ocid},/run/secrets/${name},0600,,"],
    [""],
  ))

  units = ["run-secrets.mount", "oci-secretsync.service", "oci-secretsync.timer", "keepstep.service"]
  files = merge(
    {
      "/etc/keepstep/keepstep.toml"                             = { mode = "0644", text = local.keepstep_toml }
      "/etc/keepstep/oci-config"                                = { mode = "0644", text = local.oci_config }
      "/etc/keepstep/aws-config"                                = { mode = "0644", text = local.aws_config }
      "/etc/oci-secretsync/map.csv"                             = { mode = "0600", text = local.map }
      "/etc/systemd/system/keepstep.service.d/machine.conf"     = { mode = "0644", text = local.drop_in }
      "/etc/systemd/system/oci-secretsync.service.d/retry.conf" = { mode = "0644", text = local.retry }
    },
    { for unit in local.units : "/etc/systemd/system/${unit}" => {
      mode = "0644", text = file("${path.module}/../../systemd/${unit}")
    } },
    { for name, text in var.inject : "/etc/keepstep/credentials/${name}" => { mode = "0600", text = text } },
  )

  helper = var.roles_anywhere == null ? [] : [
    ["curl", "--fail", "--silent", "--show-error", "--proto", "=https", "--output", "/usr/local/bin/aws_signing_helper", var.roles_anywhere.signing_helper_url],
    ["sh", "-c", "echo '${var.roles_anywhere.signing_helper_sum}  /usr/local/bin/aws_signing_helper' | sha256sum --check && chmod 0755 /usr/local/bin/aws_signing_helper"],
  ]

  cloud_init = {
    packages    = ["python3.11"]
    write_files = [for path, file in local.files : { path = path, permissions = file.mode, content = file.text }]
    runcmd = concat(
      [
        ["python3.11", "-m", "venv", "/opt/keepstep"],
        ["/opt/keepstep/bin/pip", "install", var.package],
        ["ln", "-sf", "/opt/keepstep/bin/keepstep", "/opt/keepstep/bin/oci-secretsync", "/usr/local/bin/"],
        ["mkdir", "-p", "-m", "0700", "/etc/keepstep/credentials"],
      ],
      local.helper,
      [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "run-secrets.mount"],
        ["systemctl", "enable", "--now", "oci-secretsync.timer", "keepstep.service"],
      ],
    )
  }
}

resource "oci_core_instance" "this" {
  count               = local.is_ready ? 1 : 0
  compartment_id      = var.compartment_ocid
  availability_domain = var.availability_domain
  depends_on          = [oci_identity_policy.boot_volume]
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
    subnet_id        = oci_core_subnet.this.id
    assign_public_ip = "false"
  }

  source_details {
    source_type = "image"
    source_id   = var.image_ocid
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

  # keepstep brings itself and its jobs up to date by hand, or by a new machine: never in passing.
  lifecycle {
    ignore_changes = [metadata]
  }
}
