# Entries that nobody can change or delete before their time, and the keys that encrypt what this module keeps.

# What can be made again has this key.
resource "aws_kms_key" "this" {
  description         = "keepstep: queue, alarms, logs and the function's settings"
  enable_key_rotation = true
  tags                = var.tags
  policy              = data.aws_iam_policy_document.key.json
}

# The audit log has a key of its own: without it no entry can be read, however long the bucket keeps it.
resource "aws_kms_key" "audit" {
  description             = "keepstep: audit log"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags
  policy                  = data.aws_iam_policy_document.audit_key.json
  lifecycle {
    prevent_destroy = true # README.md, "Taking it down", says how to do it on purpose
  }
}

resource "aws_kms_alias" "audit" {
  name          = "alias/${var.name}-audit"
  target_key_id = aws_kms_key.audit.key_id
}

data "aws_iam_policy_document" "audit_key" {
  #checkov:skip=CKV_AWS_109:a key's policy speaks of the key alone, and the account must not lose it
  #checkov:skip=CKV_AWS_111:a key's policy speaks of the key alone
  #checkov:skip=CKV_AWS_356:in a key's policy * is the key
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["${local.arn}:iam::${local.account}:root"]
    }
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's policy speaks of the key alone, and the account must not lose it
  #checkov:skip=CKV_AWS_111:a key's policy speaks of the key alone
  #checkov:skip=CKV_AWS_356:in a key's policy * is the key
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["${local.arn}:iam::${local.account}:root"]
    }
  }
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["${local.arn}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name}"]
    }
  }
  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]
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

resource "aws_s3_bucket" "audit" {
  #checkov:skip=CKV_AWS_18:CloudTrail's data events tell more than access logs; they are the account's matter
  #checkov:skip=CKV_AWS_144:the second copy that matters is the anchor in the other cloud, see docs/audit.md
  #checkov:skip=CKV2_AWS_61:entries are kept
  #checkov:skip=CKV2_AWS_62:nobody waits for entries
  bucket_prefix       = "${var.name}-audit-"
  object_lock_enabled = true
  tags                = var.tags
  lifecycle {
    prevent_destroy = true # README.md, "Taking it down", says how to do it on purpose
  }
}

resource "aws_s3_bucket_versioning" "audit" {
  bucket = aws_s3_bucket.audit.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "audit" {
  bucket = aws_s3_bucket.audit.id
  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.audit_retention_days
    }
  }
  depends_on = [aws_s3_bucket_versioning.audit]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "audit" {
  bucket = aws_s3_bucket.audit.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.audit.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "audit" {
  bucket                  = aws_s3_bucket.audit.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "audit" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.audit.arn, "${aws_s3_bucket.audit.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "audit" {
  bucket     = aws_s3_bucket.audit.id
  policy     = data.aws_iam_policy_document.audit.json
  depends_on = [aws_s3_bucket_public_access_block.audit]
}
