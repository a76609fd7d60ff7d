variable "tenancy_ocid" {
  description = "Dynamic groups live in the tenancy."
  type        = string
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
  description = "Oracle Linux 9 or Ubuntu 24.04."
  type        = string
}

variable "shape" {
  description = "Of the machine, with its CPUs and memory (GB) if it is flexible."
  type        = object({ name = string, ocpus = optional(number), memory = optional(number) })
  default     = { name = "VM.Standard.A1.Flex", ocpus = 1, memory = 6 }
}

variable "ssh_public_key" {
  description = "For the bastion; without it nobody logs in."
  type        = string
  default     = null
}

variable "package" {
  description = "What pip installs: keepstep with its extras, and a version."
  type        = string
  default     = "keepstep[oci,secrets]==0.1.0"
}
