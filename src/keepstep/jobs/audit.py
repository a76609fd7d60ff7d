"""What a job's ``audit`` table means: which log, which key, which anchor. Everybody who asks, asks here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.audit.log import folder_of
from keepstep.errors import ConfigError
from keepstep.stores.address import Address, parse
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.address import parse as parse_secret

if TYPE_CHECKING:
    from keepstep.config import Audit


@dataclass(frozen=True, kw_only=True)
class Places:
    """One job's log."""

    chain: str
    """Its name: the job's, if the table does not say another."""
    root: Address
    """The folder that the configuration names."""
    log: Address
    key: SecretAddress
    anchor: Address | None = None


def places_of(job: str, audit: Audit) -> Places:
    """Raises :class:`ConfigError`."""
    chain = audit.name or job
    root = bucket_of(audit.log)
    return Places(
        chain=chain,
        root=root,
        log=folder_of(root, chain),
        key=key_of(audit.key),
        anchor=folder_of(bucket_of(audit.anchor), chain) if audit.anchor else None,
    )


def key_of(text: str) -> SecretAddress:
    """A bare name or path is a parameter's, as in ``AUDIT_HASH_SALT_SSM``."""
    return parse_secret(text, bare="aws-ssm")


def bucket_of(text: str) -> Address:
    address = parse(f"{text.rstrip('/')}/")
    if address.kind == "local":
        raise ConfigError(f"{text} cannot hold an audit log", hint="name a bucket, s3://… or oci://…")
    return address
