# Who the task is, and what it may do: what a sync calls, and nothing more.

locals {
  words        = regexall("[^ =]+", var.sync_params)
  has_contents = can(regex("--compare[ =]+checksum", var.sync_params))
  has_acl      = contains(local.words, "--acl") || contains(local.words, "--grants")
  trash        = one(regexall("--trash[ =]+s3://([^/ ]+)/([^ ]*)", var.sync_params))
  repository   = one(regexall("^([0-9]{12})[.]dkr[.-]ecr(?:-fips)?[.]([a-z0-9-]+)[.][a-z.]+/([^@:]+)", var.image))
}

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
    for_each = local.has_contents || local.trash != null ? [1] : []
    content {
      sid       = "ReadTarget"
      actions   = ["s3:GetObject"]
      resources = ["${local.target}/${var.target_prefix}*"]
    }
  }
  dynamic "statement" {
    for_each = local.trash == null ? [] : [1]
    content {
      sid       = "ReadTargetsTags"
      actions   = ["s3:GetObjectTagging"]
      resources = ["${local.target}/${var.target_prefix}*"]
    }
  }
  dynamic "statement" {
    for_each = local.trash == null ? [] : [local.trash]
    content {
      sid       = "KeepInTrash"
      actions   = ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"]
      resources = ["${local.arn}:s3:::${statement.value[0]}/${statement.value[1]}*"]
    }
  }
  dynamic "statement" {
    for_each = local.has_acl ? [1] : []
    content {
      sid       = "SetAcl"
      actions   = ["s3:PutObjectAcl"]
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

# what Fargate itself does to start it

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  dynamic "statement" {
    for_each = local.repository == null ? [] : [local.repository]
    content {
      sid       = "PullImage"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["${local.arn}:ecr:${statement.value[1]}:${statement.value[0]}:repository/${statement.value[2]}"]
    }
  }
  dynamic "statement" {
    for_each = local.repository == null ? [] : [1]
    content {
      #checkov:skip=CKV_AWS_356:ECR knows no resource for it
      sid       = "LogInToRegistry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"]
    }
  }
}

# Each service assumes its role for this account's own tasks and schedules alone.

locals {
  assumed_for = {
    ecs-tasks = "${local.arn}:ecs:${local.region}:${local.account}:*"
    scheduler = "${local.arn}:scheduler:${local.region}:${local.account}:schedule-group/default"
  }
}

data "aws_iam_policy_document" "assumed_by" {
  for_each = local.assumed_for
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [each.value]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ecs-tasks"].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "task" {
  name   = "sync"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ecs-tasks"].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}
