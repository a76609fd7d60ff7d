# Credentials are those of the oci and aws commands (~/.oci/config, AWS_PROFILE …): none is written here.

provider "oci" {
  region = var.region
}

# Users, groups and policies are written in the tenancy's home region, wherever the machine is.
provider "oci" {
  alias  = "home"
  region = local.home_region
}

provider "aws" {
  region = var.aws_region
  default_tags {
    tags = var.tags
  }
}

data "oci_identity_region_subscriptions" "all" {
  tenancy_id = var.tenancy_ocid
}

locals {
  home_region = one([for each in data.oci_identity_region_subscriptions.all.region_subscriptions : each.region_name if each.is_home_region])
}
