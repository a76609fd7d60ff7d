variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-sync"
}

variable "image" {
  description = "The image, by its digest: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/keepstep@sha256:…"
  type        = string
  validation {
    condition     = strcontains(var.image, "@sha256:")
    error_message = "name the image by its digest, so that what runs is what was checked"
  }
}

variable "source_bucket" {
  description = "The bucket that is read."
  type        = string
}

variable "source_prefix" {
  description = "The folder in it, such as reports/; empty for all of it."
  type        = string
  default     = ""
}

variable "target_bucket" {
  description = "The bucket that is brought in step."
  type        = string
}

variable "target_prefix" {
  description = "The folder in it; empty for all of it."
  type        = string
  default     = ""
}

variable "sync_params" {
  description = "Options of `keepstep sync`, as SYNC_PARAMS takes them."
  type        = string
  default     = ""
}

variable "may_delete" {
  description = "Whether --delete is in sync_params: only then is s3:DeleteObject granted."
  type        = bool
  default     = false
}

variable "schedule" {
  description = "An expression of EventBridge Scheduler."
  type        = string
  default     = "rate(6 hours)"
}

variable "period_minutes" {
  description = "The least minutes between two runs; needed for cron(…), which does not say it. A run is stopped before they are over."
  type        = number
  default     = null
}

variable "vpc_id" {
  description = "Where the task runs."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to S3: a NAT gateway, or the gateway endpoint and those of ECR and Logs."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "The key of the buckets' objects, if it is one of your own."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "A mail address that is told of failures and silence, once it has confirmed the mail that SNS sends it."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "An SNS topic of your own, instead of the module's; README.md shows the policy that it needs."
  type        = string
  default     = null
}

variable "alarm_after_hours" {
  description = "How long no run may succeed before somebody is told; twice the time between two runs and an hour if not given."
  type        = number
  default     = null
}

variable "architecture" {
  description = "What the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64"
  }
}

variable "tags" {
  description = "Of everything that can have tags."
  type        = map(string)
  default     = {}
}

variable "cpu" {
  description = "Of the task, in units of 1/1024 CPU."
  type        = number
  default     = 1024
}

variable "memory" {
  description = "Of the task, in MiB."
  type        = number
  default     = 2048
}
