# The tick, and what becomes of one that is not delivered.

locals {
  rate         = one(regexall("^rate\\(([0-9]+) (minute|hour|day)s?\\)$", trimspace(var.tick)))
  unit_minutes = { minute = 1, hour = 60, day = 1440 }
  rate_minutes = local.rate == null ? 0 : tonumber(local.rate[0]) * local.unit_minutes[local.rate[1]]
  tick_minutes = coalesce(var.tick_minutes, local.rate_minutes)
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this.arn]
  }
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
  }
  statement {
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.own_key]
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_scheduler.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "invoke"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

resource "aws_scheduler_schedule" "tick" {
  name                = var.name
  schedule_expression = var.tick
  kms_key_arn         = local.own_key
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = aws_lambda_function.this.arn
    role_arn = aws_iam_role.scheduler.arn
    retry_policy {
      maximum_retry_attempts = 0
    }
    dead_letter_config {
      arn = aws_sqs_queue.failed.arn
    }
  }
  depends_on = [aws_iam_role_policy.scheduler] # the first tick may come at once
  lifecycle {
    precondition {
      condition     = local.tick_minutes >= 5
      error_message = "set tick_minutes to the minutes between two ticks, 5 or more: ${var.tick} does not say them"
    }
  }
}

resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-failed"
  kms_master_key_id         = local.own_key
  message_retention_seconds = 1209600
  tags                      = var.tags
}
