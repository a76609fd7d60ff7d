# As oci-rclone-sync's README asks for them: every variable that it names.
region                  = "us-ashburn-1"
tenancy_ocid            = "ocid1.tenancy.oc1..aaaa"
existing_compartment_id = "ocid1.compartment.oc1..aaaa"

aws_s3_bucket_name = "finops-reports"
aws_s3_prefix      = "oci-cost-reports"
aws_region         = "eu-west-1"
aws_access_key     = "AKIAIOSFODNN7EXAMPLE"
aws_secret_key     = "not-a-secret-key"
create_aws_secrets = true

oci_api_key_fingerprint = "aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99"
oci_api_private_key     = <<-PEM
  -----BEGIN PRIVATE KEY-----
  bm90IGEga2V5
  -----END PRIVATE KEY-----
PEM

oci_rclone_user_email = "finops@example.com"
alert_email_address   = "ops@example.com"

inject_oci_private_key_via_cloud_init = true
inject_aws_credentials_via_cloud_init = true
