# One topic for everybody who is told: keepstep publishes to it over HTTPS, the alarm does, and mail goes out from it.

resource "oci_ons_notification_topic" "this" {
  compartment_id = var.compartment_ocid
  name           = var.name
  freeform_tags  = var.tags
}

resource "oci_ons_subscription" "this" {
  count          = var.alert_email == null ? 0 : 1
  compartment_id = var.compartment_ocid
  topic_id       = oci_ons_notification_topic.this.topic_id
  protocol       = "EMAIL"
  endpoint       = var.alert_email
  freeform_tags  = var.tags
}

# Outside of the machine: raised when it is down, was never installed, or may not read its secrets.
resource "oci_monitoring_alarm" "no_success" {
  compartment_id        = var.compartment_ocid
  metric_compartment_id = var.compartment_ocid
  display_name          = "${var.name}-no-success"
  namespace             = "keepstep"
  query                 = "success[1h]{job = \"host\"}.groupBy(job).absent(${min(72, 3 * var.interval_hours + 1)}h)"
  severity              = "CRITICAL"
  is_enabled            = true
  destinations          = [oci_ons_notification_topic.this.topic_id]
  body                  = "No secrets have been delivered for ${min(72, 3 * var.interval_hours + 1)} hours; those in /run/secrets are the last ones. On the machine: journalctl -u 'keepstep-secrets@host' -u keepstep-machine"
  freeform_tags         = var.tags
}
