# The schedule, and what keeps its runs apart: a run that takes as long as the time between two is stopped, and the next
# one finishes it.

locals {
  rate             = one(regexall("^rate\\(([0-9]+) (minute|hour|day)s?\\)$", trimspace(var.schedule)))
  unit_minutes     = { minute = 1, hour = 60, day = 1440 }
  rate_minutes     = local.rate == null ? 0 : tonumber(local.rate[0]) * local.unit_minutes[local.rate[1]]
  period_minutes   = coalesce(var.period_minutes, local.rate_minutes)
  deadline_minutes = local.period_minutes - min(10, ceil(local.period_minutes / 5))
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.this.arn_without_revision}:*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }
  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["scheduler"].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "start"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-not-started"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
  tags                      = var.tags
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:a schedule that names a task holds nothing secret
  name                = var.name
  schedule_expression = var.schedule
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn
    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.this.arn
      launch_type         = "FARGATE"
      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [aws_security_group.this.id]
        assign_public_ip = false
      }
    }
    # The next run finishes what this one did not.
    retry_policy {
      maximum_retry_attempts = 0
    }
    dead_letter_config {
      arn = aws_sqs_queue.failed.arn
    }
  }
  # The first run may start at once.
  depends_on = [aws_iam_role_policy.scheduler, aws_iam_role_policy.task, aws_iam_role_policy.execution]
  lifecycle {
    precondition {
      condition     = local.period_minutes >= 10
      error_message = "set period_minutes to the minutes between two runs, 10 or more: ${var.schedule} does not say them"
    }
  }
}
