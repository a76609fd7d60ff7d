"""Checksums that a store keeps with an object, by S3's names for them.

Source: "Checking object integrity in Amazon S3"; values are base64 of the big-endian digest.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from keepstep.clouds.http import Buffer
from keepstep.errors import ConfigError

Compute = Callable[[Buffer], str]

ALGORITHMS = ("CRC64NVME", "CRC32", "SHA256", "SHA1", "CRC32C", "SHA512", "XXHASH64", "XXHASH3", "XXHASH128")
_XXHASH = {"XXHASH64": "new_xxhash64", "XXHASH3": "new_xxhash3_64", "XXHASH128": "new_xxhash3_128"}


def checksum(algorithm: str) -> Compute:
    """The function that computes it. Raises :class:`ConfigError` when it needs a library that is not installed."""
    match algorithm:
        case "CRC32":
            return lambda data: _text(zlib.crc32(data).to_bytes(4, "big"))
        case "SHA1" | "SHA256" | "SHA512":
            return lambda data: _text(hashlib.new(algorithm, data, usedforsecurity=False).digest())
        case "CRC32C":
            crc32c = _crt(algorithm).crc32c
            return lambda data: _text(crc32c(data).to_bytes(4, "big"))
        case "CRC64NVME":
            crc64 = _crt(algorithm).crc64nvme
            return lambda data: _text(crc64(data).to_bytes(8, "big"))
        case _:
            make = getattr(_crt(algorithm).XXHash, _XXHASH[algorithm])
            return lambda data: _text(_digest(make(), data))


def _digest(hasher: Any, data: Buffer) -> bytes:
    hasher.update(data)
    return bytes(hasher.finalize())


def _text(digest: bytes) -> str:
    return b64encode(digest).decode()


def _crt(algorithm: str) -> Any:
    try:
        from awscrt import checksums
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the checksum {algorithm} needs the library awscrt, which is not installed",
            hint="pip install 'keepstep[checksums]'; CRC32, SHA1, SHA256 and SHA512 need nothing",
        ) from exc
    return checksums
