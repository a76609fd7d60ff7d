output "instance_ocid" {
  description = "The machine."
  value       = oci_core_instance.this.id
}

output "private_ip" {
  description = "Its address in the subnet."
  value       = oci_core_instance.this.private_ip
}

output "topic_ocid" {
  description = "Subscribe more people, chats and functions to it."
  value       = oci_ons_notification_topic.this.topic_id
}

output "configuration" {
  description = "The object that the machine looks at every five minutes."
  value       = "oci://${oci_objectstorage_bucket.configuration.name}@${data.oci_objectstorage_namespace.this.namespace}/${oci_objectstorage_object.configuration.object}"
}
