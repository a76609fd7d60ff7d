# An ECS task on Fargate that is started on a schedule, syncs once, and ends.

data "aws_region" "here" {}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

locals {
  arn     = "arn:${data.aws_partition.here.partition}"
  region  = data.aws_region.here.name
  account = data.aws_caller_identity.here.account_id
  source  = "${local.arn}:s3:::${var.source_bucket}"
  target  = "${local.arn}:s3:::${var.target_bucket}"
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags
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
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = upper(var.architecture)
  }

  container_definitions = jsonencode([{
    name                   = "keepstep"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # A run that is told to stop has ended within 30 s.
    stopTimeout = 60
    environment = [
      { name = "SYNC_MODE", value = "STARTUP" },
      { name = "SYNC_FROM", value = "s3://${var.source_bucket}/${var.source_prefix}" },
      { name = "SYNC_TO", value = "s3://${var.target_bucket}/${var.target_prefix}" },
      { name = "SYNC_PARAMS", value = var.sync_params },
      { name = "SYNC_DEADLINE", value = "${local.deadline_minutes}m" },
    ]
    # Fargate gives it the owner and the mode that the image's VOLUME has.
    mountPoints = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
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
  tags              = var.tags
}

# out, by TLS, and nobody in

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:it is attached to each task that the schedule starts
  name        = var.name
  description = "keepstep: to the cloud's endpoints only"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.this.id
  description       = "the cloud's endpoints"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}
