"""Interprets a job's ``audit`` table, in one place for all callers: its log, key and anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.audit.log import folder_of
from keepstep.errors import ConfigError
from keepstep.jobs.settings import naming, secret_setting
from keepstep.rotation.settings import Called, as_key
from keepstep.stores.address import Address, parse

if TYPE_CHECKING:
    from keepstep.config import Audit
    from keepstep.vaults.address import SecretAddress


@dataclass(frozen=True, kw_only=True)
class Places:
    """One job's log."""

    chain: str
    """Its name: that of the job, unless the table sets another."""
    root: Address
    """The configured folder."""
    log: Address
    key: SecretAddress
    anchor: Address | None = None
    anchor_root: Address | None = None
    """The log's folder at the anchor, and the configured one."""


def places_of(job: str, audit: Audit, called: Called = as_key) -> Places:
    """Parses the table. Raises :class:`ConfigError` that names the setting as its user does."""
    chain = audit.name or job
    with naming(called("audit.log")):
        root = bucket_of(audit.log)
    with naming(called("audit.anchor")):
        anchor_root = bucket_of(audit.anchor) if audit.anchor else None
    return Places(
        chain=chain,
        root=root,
        log=folder_of(root, chain),
        key=key_of(audit.key, called("audit.key")),
        anchor=folder_of(anchor_root, chain) if anchor_root else None,
        anchor_root=anchor_root,
    )


def key_of(text: str, called: str = "") -> SecretAddress:
    """Parses a key's address; a bare name or path is that of a parameter, as in ``AUDIT_HASH_SALT_SSM``."""
    return secret_setting(text, "aws-ssm", called=called)


def bucket_of(text: str) -> Address:
    address = parse(f"{text.rstrip('/')}/")
    if address.kind == "local":
        raise ConfigError(f"{text} cannot hold an audit log", hint="name a bucket, s3://… or oci://…")
    return address
