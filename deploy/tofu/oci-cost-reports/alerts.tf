# Mail when the machine does not answer. What keepstep itself has to say goes to alert_urls.

resource "oci_ons_notification_topic" "this" {
  count          = var.alert_email == null ? 0 : 1
  compartment_id = var.compartment_ocid
  name           = var.name
}

resource "oci_ons_subscription" "this" {
  count          = var.alert_email == null ? 0 : 1
  compartment_id = var.compartment_ocid
  topic_id       = oci_ons_notification_topic.this[0].id
  protocol       = "EMAIL"
  endpoint       = var.alert_email
}

resource "oci_monitoring_alarm" "silent" {
  count                 = var.alert_email != null && local.is_ready ? 1 : 0
  compartment_id        = var.compartment_ocid
  metric_compartment_id = var.compartment_ocid
  display_name          = "${var.name}-silent"
  namespace             = "oci_computeagent"
  query                 = "CpuUtilization[5m]{resourceId = \"${oci_core_instance.this[0].id}\"}.absent(30m)"
  severity              = "CRITICAL"
  is_enabled            = true
  destinations          = [oci_ons_notification_topic.this[0].id]
  body                  = "The machine that copies cost reports is silent. Oracle keeps reports for a year: nothing is lost, and the next run takes what is missing."
}
