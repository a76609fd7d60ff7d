# One topic for everybody who is told: keepstep publishes to it over HTTPS, alarms do, and mail goes out from it.

resource "oci_ons_notification_topic" "this" {
  compartment_id = local.compartment
  name           = var.name
  freeform_tags  = var.tags
}

resource "oci_ons_subscription" "this" {
  count          = local.alert_email == "" ? 0 : 1
  compartment_id = local.compartment
  topic_id       = oci_ons_notification_topic.this.topic_id
  protocol       = "EMAIL"
  endpoint       = local.alert_email
  freeform_tags  = var.tags
}

# Outside of the machine: these are raised when it cannot call for help itself.
resource "oci_monitoring_alarm" "this" {
  for_each = local.is_ready ? {
    no-success = {
      namespace = "keepstep"
      query     = "success[1h]{job = \"cost-reports\"}.groupBy(job).absent(${var.success_within_hours}h)"
      body      = "No copy of cost reports has succeeded for ${var.success_within_hours} hours. On the machine: keepstep status; journalctl -u keepstep -u keepstep-machine"
    }
    silent = {
      namespace = "oci_computeagent"
      query     = "CpuUtilization[5m]{resourceId = \"${oci_core_instance.this[0].id}\"}.groupBy(resourceId).absent(30m)"
      body      = "The machine that copies cost reports is silent. Oracle keeps reports for a year: nothing is lost, and the next run takes what is missing."
    }
  } : {}
  compartment_id        = local.compartment
  metric_compartment_id = local.compartment
  display_name          = "${var.name}-${each.key}"
  namespace             = each.value.namespace
  query                 = each.value.query
  severity              = "CRITICAL"
  is_enabled            = true
  destinations          = [oci_ons_notification_topic.this.topic_id]
  body                  = each.value.body
  freeform_tags         = var.tags
}
