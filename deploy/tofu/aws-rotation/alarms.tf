# Who is told. Alarms follow the tick: each looks at periods as long as the time between two ticks.

locals {
  topic         = var.alarm_topic_arn == null ? aws_sns_topic.alarms[0].arn : var.alarm_topic_arn
  alarm_arns    = "${local.arn}:cloudwatch:${local.region}:${local.account}:alarm:${var.name}-*"
  period        = local.tick_minutes * 60
  silence_hours = var.alarm_after_ticks * local.tick_minutes / 60
  function      = { FunctionName = aws_lambda_function.this.function_name }
  alarms = {
    failed = {
      text       = "A tick failed. The credential that is current works; see the log for what to do."
      namespace  = "AWS/Lambda", metric = "Errors", statistic = "Sum"
      dimensions = local.function
    }
    left = {
      text       = "A tick was not delivered; the reason is in the queue."
      namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
      dimensions = { QueueName = aws_sqs_queue.failed.name }
    }
    throttled = {
      text       = "Ticks overlap, or the account has no concurrency left: one tick was not run."
      namespace  = "AWS/Lambda", metric = "Throttles", statistic = "Sum"
      dimensions = local.function
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
  period              = local.period
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic]
  ok_actions          = [local.topic]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${var.name}-silent"
  alarm_description   = "No tick has succeeded for ${var.alarm_after_ticks} ticks."
  evaluation_periods  = var.alarm_after_ticks
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [local.topic]
  ok_actions          = [local.topic]
  tags                = var.tags
  metric_query {
    id          = "succeeded"
    label       = "Ticks that succeeded"
    expression  = "invocations - errors"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { invocations = "Invocations", errors = "Errors" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/Lambda"
        metric_name = metric_query.value
        dimensions  = local.function
        period      = local.period
        stat        = "Sum"
      }
    }
  }
  lifecycle {
    precondition {
      condition     = local.silence_hours <= (local.tick_minutes < 60 ? 24 : 168)
      error_message = "CloudWatch looks back one day at most, seven where ticks are an hour apart or more: lower alarm_after_ticks"
    }
  }
}

resource "aws_sns_topic" "alarms" {
  count             = var.alarm_topic_arn == null ? 1 : 0
  name              = "${var.name}-alarms"
  kms_master_key_id = local.own_key
  tags              = var.tags
}

data "aws_iam_policy_document" "alarms" {
  count = var.alarm_topic_arn == null ? 1 : 0
  statement {
    sid       = "Alarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms[0].arn]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [local.alarm_arns]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  count  = var.alarm_topic_arn == null ? 1 : 0
  arn    = aws_sns_topic.alarms[0].arn
  policy = data.aws_iam_policy_document.alarms[0].json
}

resource "aws_sns_topic_subscription" "mail" {
  count     = var.alert_email == null ? 0 : 1
  topic_arn = local.topic
  protocol  = "email"
  endpoint  = var.alert_email
}
