# Who is told: of runs that failed, were killed or could not be started, and of runs that do not come.

locals {
  topic         = var.alarm_topic_arn == null ? aws_sns_topic.alarms[0].arn : var.alarm_topic_arn
  silence_hours = coalesce(var.alarm_after_hours, ceil(2 * local.period_minutes / 60) + 1)
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:a message says a task's name and exit code; the key that AWS manages lets neither service publish
  count = var.alarm_topic_arn == null ? 1 : 0
  name  = "${var.name}-alarms"
  tags  = var.tags
}

data "aws_iam_policy_document" "alarms" {
  count = var.alarm_topic_arn == null ? 1 : 0
  statement {
    sid       = "Runs"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms[0].arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.failed.arn]
    }
  }
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
      values   = ["${local.arn}:cloudwatch:${local.region}:${local.account}:alarm:${var.name}-*"]
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

# a run that ended: its exit code is not 0, or it did not end by itself, or it never started

resource "aws_cloudwatch_event_rule" "failed" {
  name        = "${var.name}-failed"
  description = "A run failed, was killed, or could not be started."
  tags        = var.tags
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.this.arn]
      lastStatus = ["STOPPED"]
      "$or" = [
        { containers = { exitCode = [{ anything-but = [0] }] } },
        { containers = { exitCode = [{ exists = false }] } },
        { stopCode = [{ anything-but = ["EssentialContainerExited"] }] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "failed" {
  rule = aws_cloudwatch_event_rule.failed.name
  arn  = local.topic
  input_transformer {
    input_paths = {
      task   = "$.detail.taskArn"
      code   = "$.detail.containers[0].exitCode"
      reason = "$.detail.stoppedReason"
      when   = "$.detail.stoppedAt"
    }
    input_template = "\"A run of ${var.name} failed at <when>: exit code <code>, <reason>. Task <task>; log group ${aws_cloudwatch_log_group.this.name}\""
  }
  dead_letter_config {
    arn = aws_sqs_queue.failed.arn
  }
  depends_on = [aws_sqs_queue_policy.failed]
}

data "aws_iam_policy_document" "failed" {
  statement {
    sid       = "LeaveUndelivered"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.failed.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "failed" {
  queue_url = aws_sqs_queue.failed.url
  policy    = data.aws_iam_policy_document.failed.json
}

resource "aws_cloudwatch_metric_alarm" "not_started" {
  alarm_name          = "${var.name}-not-started"
  alarm_description   = "A run could not be started, or a message not be delivered; the reason is in the queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.failed.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic]
  ok_actions          = [local.topic]
  tags                = var.tags
}

# runs that do not come, or do not end: no success for so long

resource "aws_cloudwatch_log_metric_filter" "succeeded" {
  name           = "${var.name}-succeeded"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.event = \"run ended\" && $.exit_code = 0 }"
  metric_transformation {
    name      = "${var.name}-succeeded"
    namespace = "keepstep"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${var.name}-silent"
  alarm_description   = "No run has succeeded for ${local.silence_hours} hours."
  namespace           = "keepstep"
  metric_name         = "${var.name}-succeeded"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = local.silence_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [local.topic]
  ok_actions          = [local.topic]
  tags                = var.tags
  lifecycle {
    precondition {
      condition     = local.silence_hours >= 1 && local.silence_hours <= 168
      error_message = "CloudWatch looks back seven days at most: set alarm_after_hours to 168 or less, and run more often than that"
    }
  }
}
