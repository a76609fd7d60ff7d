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

variable "alarm_topic_arn" {
  description = "An SNS topic that is told when a run could not be started, or failed."
  type        = string
  default     = null
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
