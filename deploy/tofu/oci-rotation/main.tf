# A function that looks three times an hour whether the credential is due, with a log that it cannot take back.

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_ocid
}

locals {
  # Whatever a variable names is granted: the audit key, and secrets in config, such as a wallet.
  named = flatten([for text in concat([var.audit_key], values(var.config)) : regexall("ocid1\\.vaultsecret\\.[A-Za-z0-9._-]+", text)])
  read = distinct(compact(concat(
    [var.oci_secret_ocid, var.oci_connection_blob_ocid, var.admin_secret_ocid, var.aws_access_key_secret_ocid],
    local.named,
  )))
  written = compact([var.oci_secret_ocid, var.oci_connection_blob_ocid])
  group   = "dynamic-group ${oci_identity_dynamic_group.function.name}"
  where   = "compartment id ${var.compartment_ocid} where"
}

resource "oci_functions_application" "this" {
  freeform_tags  = var.tags
  compartment_id = var.compartment_ocid
  display_name   = var.name
  subnet_ids     = [var.subnet_ocid]
}

resource "oci_functions_function" "this" {
  freeform_tags      = var.tags
  application_id     = oci_functions_application.this.id
  display_name       = var.name
  image              = var.image
  image_digest       = var.image_digest
  memory_in_mbs      = "1024"
  timeout_in_seconds = 300
  config = merge({
    ROTATION_MINUTES          = "1440"
    AWS_SECRET_ID             = var.aws_secret_arn
    AWS_DEFAULT_REGION        = var.aws_region
    OCI_SECRET_OCID           = var.oci_secret_ocid
    OCI_CONN_BLOB_SECRET_OCID = var.oci_connection_blob_ocid == null ? "" : var.oci_connection_blob_ocid
    ADMIN_SECRET_ID           = var.admin_secret_ocid == null ? "" : var.admin_secret_ocid
    AUDIT_HASH_SALT_SSM       = var.audit_key
    AUDIT_LOG                 = "oci://${oci_objectstorage_bucket.audit.name}@${data.oci_objectstorage_namespace.this.namespace}/rotations/"
    KEEPSTEP_SECRETS          = "AWS_ACCESS_KEY_ID=${var.aws_access_key_secret_ocid}#id AWS_SECRET_ACCESS_KEY=${var.aws_access_key_secret_ocid}#key"
  }, var.config)
}

# who it is: its resource principal, and what it calls

resource "oci_identity_dynamic_group" "function" {
  provider       = oci.home
  freeform_tags  = var.tags
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-function"
  description    = "The function that rotates"
  matching_rule  = "ALL {resource.type = 'fnfunc', resource.id = '${oci_functions_function.this.id}'}"
}

resource "oci_identity_policy" "function" {
  provider       = oci.home
  freeform_tags  = var.tags
  compartment_id = var.compartment_ocid
  name           = "${var.name}-function"
  description    = "Reads and writes the credential, appends to the audit log"
  statements = concat(
    [for ocid in local.read : "allow ${local.group} to read secret-bundles in ${local.where} target.secret.id = '${ocid}'"],
    [for ocid in local.written : "allow ${local.group} to use secrets in ${local.where} target.secret.id = '${ocid}'"],
    [for ocid in local.written : "allow ${local.group} to manage secret-versions in ${local.where} all {target.secret.id = '${ocid}', request.permission != 'SECRET_VERSION_READ'}"],
    [
      "allow ${local.group} to use keys in ${local.where} target.key.id = '${var.vault_key_ocid}'",
      "allow ${local.group} to read objects in ${local.where} target.bucket.name = '${oci_objectstorage_bucket.audit.name}'",
      "allow ${local.group} to manage objects in ${local.where} all {target.bucket.name = '${oci_objectstorage_bucket.audit.name}', request.permission = 'OBJECT_CREATE'}",
    ],
  )
}

# when

resource "oci_resource_scheduler_schedule" "tick" {
  freeform_tags      = var.tags
  for_each           = var.minutes
  compartment_id     = var.compartment_ocid
  display_name       = "${var.name}-${each.key}"
  description        = "A tick"
  action             = "START_RESOURCE"
  recurrence_type    = "CRON"
  recurrence_details = "${each.key} * * * *"
  resources {
    id = oci_functions_function.this.id
  }
}

resource "oci_identity_policy" "schedule" {
  provider       = oci.home
  freeform_tags  = var.tags
  compartment_id = var.tenancy_ocid
  name           = "${var.name}-schedule"
  description    = "The schedules call the function"
  statements = [for schedule in oci_resource_scheduler_schedule.tick :
    "allow any-user to manage functions-family in ${local.where} all {request.principal.type = 'resourceschedule', request.principal.id = '${schedule.id}'}"
  ]
}

# entries that nobody can change or delete before their time

resource "oci_objectstorage_bucket" "audit" {
  #checkov:skip=CKV_OCI_9:Oracle's key encrypts it; entries hold no secret
  #checkov:skip=CKV_OCI_8:a bucket with a retention rule cannot have versions, and needs none: nothing is overwritten
  #checkov:skip=CKV_OCI_7:nobody waits for entries
  compartment_id = var.compartment_ocid
  namespace      = data.oci_objectstorage_namespace.this.namespace
  name           = "${var.name}-audit"
  access_type    = "NoPublicAccess"
  freeform_tags  = var.tags
  retention_rules {
    display_name     = "audit"
    time_rule_locked = var.lock_retention_at
    duration {
      time_amount = tostring(var.audit_retention_days)
      time_unit   = "DAYS"
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

# who is told

resource "oci_ons_notification_topic" "this" {
  count          = var.alarm_topic_ocid == null ? 1 : 0
  compartment_id = var.compartment_ocid
  name           = var.name
  freeform_tags  = var.tags
}

resource "oci_ons_subscription" "this" {
  count          = var.alarm_topic_ocid == null && var.alert_email != null ? 1 : 0
  compartment_id = var.compartment_ocid
  topic_id       = oci_ons_notification_topic.this[0].topic_id
  protocol       = "EMAIL"
  endpoint       = var.alert_email
  freeform_tags  = var.tags
}

resource "oci_monitoring_alarm" "this" {
  # A failed tick answers 502, which OCI counts as an Error; no Success is silence, whether ticks fail or do not come.
  for_each = {
    failed = {
      query = "FunctionResponseCount[20m]{resourceId = \"${oci_functions_function.this.id}\", responseType = \"Error\"}.sum() > 0"
      body  = "A tick failed. The credential that is current works. The function's log says what to do."
    }
    silent = {
      query = "FunctionResponseCount[20m]{resourceId = \"${oci_functions_function.this.id}\", responseType = \"Success\"}.groupBy(resourceId).absent(${var.silent_after_hours}h)"
      body  = "No tick has succeeded for ${var.silent_after_hours} hours: none came, or all failed. Look at the function's log, and at the schedules."
    }
  }
  compartment_id        = var.compartment_ocid
  metric_compartment_id = var.compartment_ocid
  display_name          = "${var.name}-${each.key}"
  namespace             = "oci_faas"
  query                 = each.value.query
  severity              = "CRITICAL"
  is_enabled            = true
  destinations          = [var.alarm_topic_ocid != null ? var.alarm_topic_ocid : oci_ons_notification_topic.this[0].topic_id]
  body                  = each.value.body
  freeform_tags         = var.tags
}
