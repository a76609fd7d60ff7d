# An ECS task on Fargate that is started on a schedule, syncs once, and ends.

data "aws_region" "here" {}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

locals {
  arn    = "arn:${data.aws_partition.here.partition}"
  source = "${local.arn}:s3:::${var.source_bucket}"
  target = "${local.arn}:s3:::${var.target_bucket}"
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  container_definitions = jsonencode([{
    name                   = "keepstep"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    environment = [
      { name = "SYNC_MODE", value = "STARTUP" },
      { name = "SYNC_FROM", value = "s3://${var.source_bucket}/${var.source_prefix}" },
      { name = "SYNC_TO", value = "s3://${var.target_bucket}/${var.target_prefix}" },
      { name = "SYNC_PARAMS", value = var.sync_params },
    ]
    mountPoints = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = "run"
      }
    }
  }])

  volume {
    name = "tmp"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:names of objects are no secret, and CloudWatch encrypts them with its own key
  name              = "/keepstep/${var.name}"
  retention_in_days = 365
}

# who the task is, and nothing more than it calls

data "aws_iam_policy_document" "task" {
  statement {
    sid       = "ListBoth"
    actions   = ["s3:ListBucket"]
    resources = distinct([local.source, local.target])
  }
  statement {
    sid       = "ReadSource"
    actions   = ["s3:GetObject", "s3:GetObjectTagging"]
    resources = ["${local.source}/${var.source_prefix}*"]
  }
  statement {
    sid       = "WriteTarget"
    actions   = ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${local.target}/${var.target_prefix}*"]
  }
  dynamic "statement" {
    for_each = var.may_delete ? [1] : []
    content {
      sid       = "DeleteFromTarget"
      actions   = ["s3:DeleteObject"]
      resources = ["${local.target}/${var.target_prefix}*"]
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [1]
    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
    }
  }
}

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["ecs-tasks", "scheduler"])
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ecs-tasks"].json
}

resource "aws_iam_role_policy" "task" {
  name   = "sync"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ecs-tasks"].json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "${local.arn}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

# out, by TLS, and nobody in

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:it is attached to each task that the schedule starts
  name        = var.name
  description = "keepstep: to the cloud's endpoints only"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.this.id
  description       = "the cloud's endpoints"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# the schedule

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
}

# who is told

resource "aws_cloudwatch_metric_alarm" "not_started" {
  alarm_name          = "${var.name}-not-started"
  alarm_description   = "A run could not be started; the reason is in the queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.failed.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  ok_actions          = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_log_metric_filter" "failed" {
  name           = "${var.name}-failed"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "\"error:\""
  metric_transformation {
    name      = "${var.name}-failed"
    namespace = "keepstep"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "failed" {
  alarm_name          = "${var.name}-failed"
  alarm_description   = "A run said what went wrong; see the log group."
  namespace           = "keepstep"
  metric_name         = "${var.name}-failed"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  ok_actions          = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}
