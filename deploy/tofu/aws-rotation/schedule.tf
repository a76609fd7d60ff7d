# The tick, what becomes of one that fails, and who is told.

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
  assume_role_policy = data.aws_iam_policy_document.assumed_by["scheduler"].json
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
}

resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-failed"
  kms_master_key_id         = local.own_key
  message_retention_seconds = 1209600
}

locals {
  alarms = {
    failed = {
      text       = "A tick failed. The credential that is current works; see the log for what to do."
      namespace  = "AWS/Lambda", metric = "Errors", statistic = "Sum", above = true, threshold = 0, periods = 1
      missing    = "notBreaching"
      dimensions = { FunctionName = aws_lambda_function.this.function_name }
    }
    left = {
      text       = "A tick was not delivered; the reason is in the queue."
      namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum", above = true, threshold = 0, periods = 1
      missing    = "notBreaching"
      dimensions = { QueueName = aws_sqs_queue.failed.name }
    }
    silent = {
      text       = "No tick for an hour."
      namespace  = "AWS/Lambda", metric = "Invocations", statistic = "Sum", above = false, threshold = 1, periods = 12
      missing    = "breaching"
      dimensions = { FunctionName = aws_lambda_function.this.function_name }
    }
    throttled = {
      text       = "Ticks overlap: one took longer than twenty minutes."
      namespace  = "AWS/Lambda", metric = "Throttles", statistic = "Sum", above = true, threshold = 0, periods = 1
      missing    = "notBreaching"
      dimensions = { FunctionName = aws_lambda_function.this.function_name }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarmed
  ok_actions          = local.alarmed
}
