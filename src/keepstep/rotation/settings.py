"""What a setting is called where the user wrote it: a key of keepstep.toml, or a variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

VARIABLES: Mapping[str, str] = {
    "admin": "ADMIN_SECRET_ID",
    "audit.key": "AUDIT_HASH_SALT_SSM",
    "audit.log": "AUDIT_LOG",
    "aws_secret": "AWS_SECRET_ID",
    "ca": "RDS_CA",
    "connection_blob.aws": "AWS_CONN_BLOB_SECRET_ID",
    "connection_blob.oci": "OCI_CONN_BLOB_SECRET_OCID",
    "dsn": "OCI_ADB_DSN",
    "engine": "RDS_ENGINE",
    "host": "RDS_HOST",
    "interval": "ROTATION_MINUTES",
    "name": "RDS_DBNAME",
    "oci_secret": "OCI_SECRET_OCID",
    "port": "RDS_PORT",
    "strategy": "ROTATION_STRATEGY",
    "username": "OCI_ADB_USER",
    "wallet": "OCI_ADB_WALLET",
}
"""By the key of keepstep.toml."""

Called = Callable[[str], str]
"""From a key of keepstep.toml to what the user calls it."""


def as_key(name: str) -> str:
    return name


def as_variable(name: str) -> str:
    return VARIABLES.get(name, name)
