# To the databases and, by TLS, to the clouds; nobody in.

resource "aws_security_group" "this" {
  name        = var.name
  description = "keepstep: to databases and the clouds' endpoints"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.this.id
  description       = "the clouds' endpoints"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database" {
  for_each          = local.egress_ports
  security_group_id = aws_security_group.this.id
  description       = "databases"
  cidr_ipv4         = var.database_cidr
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
  tags              = var.tags
}
