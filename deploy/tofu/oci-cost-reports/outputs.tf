output "vault_ocid" {
  description = "Put the keys into it: step 2."
  value       = oci_kms_vault.this.id
}

output "vault_key_ocid" {
  description = "What encrypts them."
  value       = oci_kms_key.this.id
}

output "aws_user" {
  description = "Make its access key with the AWS CLI; null with Roles Anywhere."
  value       = one(aws_iam_user.machine[*].name)
}

output "private_ip" {
  description = "Of the machine; null before step 2."
  value       = one(oci_core_instance.this[*].private_ip)
}

output "bastion_ocid" {
  description = "For sessions; null without bastion_client_cidrs."
  value       = one(oci_bastion_bastion.this[*].id)
}
