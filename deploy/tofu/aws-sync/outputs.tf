output "task_role_arn" {
  description = "Grant it what the buckets' own policies refuse."
  value       = aws_iam_role.task.arn
}

output "log_group" {
  description = "Where runs say what they did."
  value       = aws_cloudwatch_log_group.this.name
}

output "run_now" {
  description = "A command that starts a run at once."
  value = join(" ", [
    "aws ecs run-task --cluster ${aws_ecs_cluster.this.name} --launch-type FARGATE",
    "--task-definition ${aws_ecs_task_definition.this.family} --network-configuration",
    "'awsvpcConfiguration={subnets=[${join(",", var.subnet_ids)}],securityGroups=[${aws_security_group.this.id}]}'",
  ])
}

output "alarm_topic_arn" {
  description = "Who subscribes to it is told of failures and silence."
  value       = local.topic
}
