# Credentials are those of the oci command (~/.oci/config): none is written here.

provider "oci" {
  region = var.region
}

# Groups and policies are written in the tenancy's home region, wherever the machine is.
provider "oci" {
  alias  = "home"
  region = local.home_region
}

data "oci_identity_region_subscriptions" "all" {
  tenancy_id = var.tenancy_ocid
}

locals {
  home_region = one([for each in data.oci_identity_region_subscriptions.all.region_subscriptions : each.region_name if each.is_home_region])
}
