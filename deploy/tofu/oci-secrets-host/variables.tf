variable "tenancy_ocid" {
  description = "Dynamic groups live in the tenancy."
  type        = string
}

variable "region" {
  description = "Where the machine and the vault are; that of ~/.oci/config if not given."
  type        = string
  default     = null
}

variable "compartment_ocid" {
  description = "Where the machine is."
  type        = string
}

variable "secrets" {
  description = "What is delivered. Values stay in the vault: not one is in the state."
  type = list(object({
    ocid      = string
    path      = string
    mode      = optional(string, "0600")
    container = optional(string, "")
    signal    = optional(string, "")
  }))
}

variable "secrets_compartment_ocid" {
  description = "Where the secrets are, if not in compartment_ocid."
  type        = string
  default     = null
}

variable "interval_hours" {
  description = "How often secrets are looked at. An alarm is raised after three times of it and an hour without success."
  type        = number
  default     = 6
  validation {
    condition     = var.interval_hours >= 1 && var.interval_hours <= 23
    error_message = "1 to 23 hours: OCI's alarms on absence look back 72 hours at most."
  }
}

variable "alert_email" {
  description = "Who gets mail, by Notifications, when a delivery fails or none has succeeded for too long. Confirm the subscription."
  type        = string
  default     = null
}

variable "alert_urls" {
  description = "More places to send alerts to, as Apprise writes addresses. What is secret in them is in the state."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Of everything that can have tags."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "Of everything that is made."
  type        = string
  default     = "keepstep-secrets"
}

variable "subnet_ocid" {
  description = "A private subnet with a service gateway."
  type        = string
}

variable "availability_domain" {
  description = "Of the machine."
  type        = string
}

variable "image_ocid" {
  description = "Counts when the machine is made. Its Python, or one of its package mirror, is 3.11 or newer; systemd 250 or newer."
  type        = string
}

variable "shape" {
  description = "Of the machine, with its CPUs and memory (GB) if it is flexible."
  type        = object({ name = string, ocpus = optional(number), memory = optional(number) })
  default     = { name = "VM.Standard.A1.Flex", ocpus = 1, memory = 6 }
}

variable "ssh_public_key" {
  description = "For the bastion; without it nobody logs in. Counts when the machine is made."
  type        = string
  default     = null
}

variable "package" {
  description = "What pip installs: keepstep with its extras, and a version. A change arrives like any other."
  type        = string
  default     = "keepstep[oci,secrets,daemon]==0.1.0"
}
