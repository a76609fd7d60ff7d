"""Reads a keepstep.toml from S3 or OCI Object Storage, with the identity of the host."""

from __future__ import annotations

from keepstep.errors import ConfigError
from keepstep.jobs.assembly import Assembly
from keepstep.stores.address import parse
from keepstep.stores.interface import Entry

_LIMIT = 1024 * 1024
"""Bytes."""


async def fetch(address: str) -> bytes:
    """The object's content. Raises :class:`Error`; writes nothing to disk."""
    folder, _, name = address.rpartition("/")
    if not name:
        raise ConfigError(
            f"{address} is a folder", hint="KEEPSTEP_CONFIG names an object, s3://bucket/keepstep.toml"
        )
    store = Assembly().source(parse(folder + "/"))
    try:
        source = await store.open(Entry(name, 0, 0, ""), _LIMIT)
        try:
            if source.size > _LIMIT:
                raise ConfigError(f"{address} is not a keepstep.toml: it has {source.size} bytes")
            return bytes(source.first)
        finally:
            await source.close()
    finally:
        await store.close()
