# A Lambda function that looks every twenty minutes whether the credential is due, alone, and with a log that it cannot
# take back.

data "aws_partition" "here" {}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

locals {
  arn          = "arn:${data.aws_partition.here.partition}"
  region       = data.aws_region.here.name
  account      = data.aws_caller_identity.here.account_id
  own_key      = aws_kms_key.this.arn
  rotated      = compact([var.aws_secret_arn, var.aws_connection_blob_arn])
  parameter    = "${local.arn}:ssm:${local.region}:${local.account}:parameter/${trimprefix(var.audit_salt_parameter, "/")}"
  egress_ports = toset([for port in concat([var.database.port], var.extra_database_ports) : tostring(port)])
}

# the function

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:a trace would hold nothing that the report does not say
  #checkov:skip=CKV_AWS_272:code signing is for archives, and this is an image named by its digest
  function_name = var.name
  package_type  = "Image"
  architectures = [var.architecture]
  tags          = var.tags
  image_uri     = var.image_uri
  role          = aws_iam_role.function.arn
  timeout       = 300 # of which a run has 288, see docs/serverless.md
  memory_size   = 1024
  kms_key_arn   = local.own_key
  # One at a time. That two would do no harm is what the protocol sees to.
  reserved_concurrent_executions = 1

  environment {
    variables = merge({
      ROTATION_MINUTES          = tostring(var.rotation_minutes)
      AWS_SECRET_ID             = var.aws_secret_arn
      AWS_CONN_BLOB_SECRET_ID   = var.aws_connection_blob_arn == null ? "" : var.aws_connection_blob_arn
      ADMIN_SECRET_ID           = var.admin_secret_arn == null ? "" : var.admin_secret_arn
      OCI_SECRET_OCID           = var.oci_secret_ocid
      OCI_CONN_BLOB_SECRET_OCID = var.oci_connection_blob_ocid
      RDS_ENGINE                = var.database.engine
      RDS_HOST                  = var.database.host
      RDS_DBNAME                = var.database.name
      RDS_PORT                  = tostring(var.database.port)
      AUDIT_HASH_SALT_SSM       = var.audit_salt_parameter
      AUDIT_LOG                 = "s3://${aws_s3_bucket.audit.bucket}/rotations/"
      KEEPSTEP_SECRETS          = "OCI_CLI_KEY_CONTENT=${var.oci_key_secret_arn}"
      OCI_CLI_TENANCY           = var.oci_user.tenancy
      OCI_CLI_USER              = var.oci_user.user
      OCI_CLI_FINGERPRINT       = var.oci_user.fingerprint
      OCI_CLI_REGION            = var.oci_user.region
    }, var.environment)
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.this.id]
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.failed.arn
  }

  # The platform's rights too: without them Lambda can neither join the network nor, at the end, leave it.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.function, aws_iam_role_policy.platform]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  function_name = aws_lambda_function.this.function_name
  # The next tick is the retry.
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 300
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = 365
  tags              = var.tags
  kms_key_id        = local.own_key
}

# who it is: the actions that it calls, on the things that it calls them for

data "aws_iam_policy_document" "function" {
  statement {
    sid = "RotateCredential"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = local.rotated
  }
  statement {
    sid       = "ReadOthers"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = compact([var.oci_key_secret_arn, var.admin_secret_arn])
  }
  statement {
    sid       = "ReadSalt"
    actions   = ["ssm:GetParameter"]
    resources = [local.parameter]
  }
  dynamic "statement" {
    for_each = var.secrets_kms_key_arn == null ? [] : [var.secrets_kms_key_arn]
    content {
      sid       = "UseSecretsKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
  statement {
    sid       = "FindLastEntry"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.audit.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["rotations/*"]
    }
  }
  statement {
    sid       = "AppendEntry"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.audit.arn}/rotations/*"]
  }
  statement {
    sid       = "UseOwnKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.own_key, aws_kms_key.audit.arn]
  }
}

# what Lambda itself does in the function's name

data "aws_iam_policy_document" "platform" {
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  statement {
    sid       = "LeaveFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
  }
  statement {
    #checkov:skip=CKV_AWS_111:EC2 knows no resource for these
    #checkov:skip=CKV_AWS_356:EC2 knows no resource for these
    sid = "JoinNetwork"
    actions = [
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:AssignPrivateIpAddresses",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
  }
  # The platform may, the function itself may not: it cannot open another way out.
  statement {
    sid    = "NotTheFunctionItself"
    effect = "Deny"
    actions = [
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:AssignPrivateIpAddresses",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "lambda:SourceFunctionArn"
      values   = ["${local.arn}:lambda:${local.region}:${local.account}:function:${var.name}"]
    }
  }
}

# EventBridge Scheduler assumes its role for this account's own schedules alone. Lambda documents no such condition for
# the role of a function; who may give a function a role at all is what iam:PassRole says, within one account.
data "aws_iam_policy_document" "assumed_by_scheduler" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.arn}:scheduler:${local.region}:${local.account}:schedule-group/default"]
    }
  }
}

data "aws_iam_policy_document" "assumed_by_lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name               = "${var.name}-function"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_lambda.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "function" {
  name   = "rotate"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

resource "aws_iam_role_policy" "platform" {
  name   = "platform"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.platform.json
}
