# The bucket, and who may write into it: an IAM user whose key never comes near the state, or no key at all.

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  bucket_arn  = "arn:${data.aws_partition.here.partition}:s3:::${local.bucket}"
  makes_user  = var.roles_anywhere == null && !local.brings_key
  makes_right = !local.brings_key || var.roles_anywhere != null
}

resource "aws_s3_bucket" "reports" {
  count = local.bucket_exists ? 0 : 1
  #checkov:skip=CKV_AWS_18:access logs are the account's matter
  #checkov:skip=CKV_AWS_144:Oracle keeps the originals for a year
  #checkov:skip=CKV_AWS_145:S3's own key encrypts it; a key of your own would need a grant for the readers of your reports
  #checkov:skip=CKV2_AWS_62:nobody waits for reports
  bucket = local.bucket

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "reports" {
  count  = local.bucket_exists ? 0 : 1
  bucket = aws_s3_bucket.reports[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "reports" {
  count  = local.bucket_exists ? 0 : 1
  bucket = aws_s3_bucket.reports[0].id
  rule {
    id     = "leftovers"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
  }
}

resource "aws_s3_bucket_public_access_block" "reports" {
  count                   = local.bucket_exists ? 0 : 1
  bucket                  = aws_s3_bucket.reports[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "write" {
  statement {
    sid       = "Compare"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket_arn]
  }
  statement {
    sid       = "Write"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${local.bucket_arn}/${local.prefix}*"]
  }
}

resource "aws_iam_policy" "write" {
  count  = local.makes_right ? 1 : 0
  name   = var.name
  policy = data.aws_iam_policy_document.write.json
}

# with a key: `aws iam create-access-key --user-name …`, and into the vault

resource "aws_iam_group" "machine" {
  count = local.makes_user ? 1 : 0
  name  = var.name
}

resource "aws_iam_group_policy_attachment" "machine" {
  count      = local.makes_user ? 1 : 0
  group      = aws_iam_group.machine[0].name
  policy_arn = aws_iam_policy.write[0].arn
}

resource "aws_iam_user" "machine" {
  #checkov:skip=CKV_AWS_273:a machine outside of AWS has no single sign-on; roles_anywhere does without the user
  count = local.makes_user ? 1 : 0
  name  = var.name
}

resource "aws_iam_user_group_membership" "machine" {
  count  = local.makes_user ? 1 : 0
  user   = aws_iam_user.machine[0].name
  groups = [aws_iam_group.machine[0].name]
}

# without: IAM Roles Anywhere

resource "aws_rolesanywhere_trust_anchor" "this" {
  count   = var.roles_anywhere == null ? 0 : 1
  name    = var.name
  enabled = true
  source {
    source_type = "CERTIFICATE_BUNDLE"
    source_data {
      x509_certificate_data = var.roles_anywhere.ca_certificate
    }
  }
}

resource "aws_iam_role" "machine" {
  count = var.roles_anywhere == null ? 0 : 1
  name  = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "rolesanywhere.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
      Condition = {
        ArnEquals    = { "aws:SourceArn" = aws_rolesanywhere_trust_anchor.this[0].arn }
        StringEquals = { "aws:PrincipalTag/x509Subject/CN" = var.name }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "machine" {
  count      = var.roles_anywhere == null ? 0 : 1
  role       = aws_iam_role.machine[0].name
  policy_arn = aws_iam_policy.write[0].arn
}

resource "aws_rolesanywhere_profile" "this" {
  count     = var.roles_anywhere == null ? 0 : 1
  name      = var.name
  enabled   = true
  role_arns = [aws_iam_role.machine[0].arn]
}
