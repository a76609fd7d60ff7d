output "vault_ocid" {
  description = "Put the keys into it: step 2."
  value       = oci_kms_vault.this.id
}

output "vault_key_ocid" {
  description = "What encrypts them."
  value       = oci_kms_key.this.id
}

output "aws_user" {
  description = "Make its access key with the AWS CLI; null with Roles Anywhere, and where aws_access_key is given."
  value       = one(aws_iam_user.machine[*].name)
}

output "aws_policy" {
  description = "What the machine needs in the bucket, for an IAM user of your own."
  value       = data.aws_iam_policy_document.write.json
}

output "private_ip" {
  description = "Of the machine; null before step 2."
  value       = one(oci_core_instance.this[*].private_ip)
}

output "topic_ocid" {
  description = "Subscribe more people, chats and functions to it."
  value       = oci_ons_notification_topic.this.topic_id
}

output "bastion_ocid" {
  description = "For sessions; null without bastion_client_cidrs."
  value       = one(oci_bastion_bastion.this[*].id)
}

output "bastion_session" {
  description = "Makes a session and prints its OCID; null without bastion or machine. opc is Oracle Linux's user, ubuntu Ubuntu's."
  value = one([for bastion in oci_bastion_bastion.this : join(" ", [
    "oci bastion session create-managed-ssh --bastion-id ${bastion.id}",
    "--target-resource-id ${one(oci_core_instance.this[*].id)} --target-os-username opc",
    "--ssh-public-key-file ~/.ssh/id_rsa.pub --session-ttl 10800 --wait-for-state SUCCEEDED",
    "--region ${var.region} --query 'data.resources[0].identifier' --raw-output",
  ]) if local.is_ready])
}

output "ssh" {
  description = "The way in, with the session's OCID in the place of SESSION; null without bastion or machine."
  value       = one([for bastion in oci_bastion_bastion.this : "ssh -J SESSION@host.bastion.${var.region}.oci.oraclecloud.com opc@${one(oci_core_instance.this[*].private_ip)}" if local.is_ready])
}

output "configuration" {
  description = "The object that the machine looks at every five minutes."
  value       = "oci://${oci_objectstorage_bucket.configuration.name}@${data.oci_objectstorage_namespace.this.namespace}/${oci_objectstorage_object.configuration.object}"
}
