# A private subnet: out by NAT, to Oracle's services without leaving their network, and nobody in but by the bastion.

data "oci_core_services" "all" {
  filter {
    name   = "name"
    values = ["All .* Services In Oracle Services Network"]
    regex  = true
  }
}

locals {
  oracle = data.oci_core_services.all.services[0]

  # Mail servers of alert_urls: the port of the address, else the usual one of its kind.
  mail = [for url in var.alert_urls : url if can(regex("^mailtos?:", url))]
  mail_ports = [for url in local.mail : try(
    regex("^mailtos?://(?:[^/@]*@)?[^/:?@]+:([0-9]+)", url)[0],
    can(regex("^mailtos.*[?&]mode=ssl", url)) ? "465" : can(regex("^mailtos", url)) ? "587" : "25",
  )]
  ports = merge(
    { for port in distinct(local.mail_ports) : port => "mail servers of alert_urls" },
    { for port in compact([var.mirror_port]) : port => "the image's package mirror" },
    { 443 = "the clouds' endpoints, and packages" },
  )
}

resource "oci_core_vcn" "this" {
  compartment_id = local.compartment
  freeform_tags  = var.tags
  display_name   = var.name
  cidr_blocks    = [var.vcn_cidr]
  dns_label      = "keepstep"

  lifecycle {
    precondition {
      condition     = local.compartment != ""
      error_message = "Give compartment_ocid (or existing_compartment_id)."
    }
    precondition {
      condition     = local.bucket != ""
      error_message = "Give bucket_name (or aws_s3_bucket_name)."
    }
    precondition {
      condition     = var.api_public_key != null || var.oci_api_key_fingerprint != null || !local.is_ready
      error_message = "Give api_public_key, or the oci_api_key_fingerprint of a key that was added in the Console."
    }
  }
}

resource "oci_core_nat_gateway" "this" {
  compartment_id = local.compartment
  freeform_tags  = var.tags
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
}

resource "oci_core_service_gateway" "this" {
  compartment_id = local.compartment
  freeform_tags  = var.tags
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  services {
    service_id = local.oracle.id
  }
}

resource "oci_core_route_table" "this" {
  compartment_id = local.compartment
  freeform_tags  = var.tags
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  route_rules {
    network_entity_id = oci_core_nat_gateway.this.id
    destination       = "0.0.0.0/0"
    destination_type  = "CIDR_BLOCK"
  }
  route_rules {
    network_entity_id = oci_core_service_gateway.this.id
    destination       = local.oracle.cidr_block
    destination_type  = "SERVICE_CIDR_BLOCK"
  }
}

resource "oci_core_security_list" "this" {
  #checkov:skip=CKV_OCI_17:a stateful rule lets answers out without a rule that lets anything out
  compartment_id = local.compartment
  freeform_tags  = var.tags
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  dynamic "egress_security_rules" {
    for_each = local.ports
    content {
      description = egress_security_rules.value
      destination = "0.0.0.0/0"
      protocol    = "6"
      tcp_options {
        min = egress_security_rules.key
        max = egress_security_rules.key
      }
    }
  }
  dynamic "ingress_security_rules" {
    for_each = length(var.bastion_client_cidrs) > 0 ? [1] : []
    content {
      description = "sessions of the bastion, whose endpoint is in this subnet"
      source      = var.vcn_cidr
      protocol    = "6"
      stateless   = false
      tcp_options {
        min = 22
        max = 22
      }
    }
  }
}

resource "oci_core_subnet" "this" {
  compartment_id             = local.compartment
  freeform_tags              = var.tags
  vcn_id                     = oci_core_vcn.this.id
  display_name               = var.name
  cidr_block                 = var.vcn_cidr
  dns_label                  = "reports"
  route_table_id             = oci_core_route_table.this.id
  security_list_ids          = [oci_core_security_list.this.id]
  prohibit_public_ip_on_vnic = true
}

resource "oci_bastion_bastion" "this" {
  count                        = length(var.bastion_client_cidrs) > 0 ? 1 : 0
  bastion_type                 = "STANDARD"
  compartment_id               = local.compartment
  freeform_tags                = var.tags
  target_subnet_id             = oci_core_subnet.this.id
  name                         = replace(var.name, "/[^a-zA-Z0-9]/", "")
  client_cidr_block_allow_list = var.bastion_client_cidrs
  max_session_ttl_in_seconds   = 10800
}
