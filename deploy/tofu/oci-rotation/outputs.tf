output "function_ocid" {
  description = "oci fn function invoke --function-id … --file - --body '{}' runs a tick now."
  value       = oci_functions_function.this.id
}

output "audit_log" {
  description = "For `keepstep audit verify`."
  value       = "oci://${oci_objectstorage_bucket.audit.name}@${data.oci_objectstorage_namespace.this.namespace}/rotations/"
}
