output "function_name" {
  description = "aws lambda invoke --function-name … /dev/stdout runs a tick now."
  value       = aws_lambda_function.this.function_name
}

output "role_arn" {
  description = "Who the function is, for the secrets' own policies."
  value       = aws_iam_role.function.arn
}

output "security_group_id" {
  description = "Let it in at the databases."
  value       = aws_security_group.this.id
}

output "audit_log" {
  description = "For `keepstep audit verify`."
  value       = "s3://${aws_s3_bucket.audit.bucket}/rotations/"
}

output "alarm_topic_arn" {
  description = "Who subscribes to it is told of failures and silence."
  value       = local.topic
}
