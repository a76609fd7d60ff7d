output "instance_ocid" {
  description = "The machine."
  value       = oci_core_instance.this.id
}

output "private_ip" {
  description = "Its address in the subnet."
  value       = oci_core_instance.this.private_ip
}
