"""Checksums that a store keeps with an object, by S3's names for them.

Source: "Checking object integrity in Amazon S3"; values are base64 of the big-endian digest.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Protocol

from keepstep.clouds.http import Buffer
from keepstep.errors import ConfigError

Compute = Callable[[Buffer], str]

ALGORITHMS = ("CRC64NVME", "CRC32", "SHA256", "SHA1", "CRC32C", "SHA512", "XXHASH64", "XXHASH3", "XXHASH128")
_XXHASH = {"XXHASH64": "new_xxhash64", "XXHASH3": "new_xxhash3_64", "XXHASH128": "new_xxhash3_128"}


class Hasher(Protocol):
    """One checksum of contents that come piece by piece."""

    def update(self, data: Buffer, /) -> object: ...

    def digest(self) -> bytes: ...


def checksum(algorithm: str) -> Compute:
    """The function that computes it. Raises :class:`ConfigError` when it needs a library that is not installed."""
    hasher(algorithm)

    def compute(data: Buffer) -> str:
        running = hasher(algorithm)
        running.update(data)
        return text_of(running)

    return compute


def hasher(algorithm: str) -> Hasher:
    """A new one; also of ``MD5``. Raises :class:`ConfigError` when it needs a library that is not installed."""
    match algorithm:
        case "CRC32":
            return _Crc(zlib.crc32, 4)
        case "MD5" | "SHA1" | "SHA256" | "SHA512":
            return hashlib.new(algorithm, usedforsecurity=False)
        case "CRC32C":
            return _Crc(_crt(algorithm).crc32c, 4)
        case "CRC64NVME":
            return _Crc(_crt(algorithm).crc64nvme, 8)
        case _:
            return _XxHash(getattr(_crt(algorithm).XXHash, _XXHASH[algorithm])())


def text_of(hasher: Hasher) -> str:
    """The value as stores write it."""
    return b64encode(hasher.digest()).decode()


class _Crc:
    def __init__(self, function: Callable[[Buffer, int], int], length: int) -> None:
        self._function = function
        self._length = length
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")


class _XxHash:
    def __init__(self, running: Any) -> None:
        self._running = running

    def update(self, data: Buffer, /) -> None:
        self._running.update(bytes(data))  # the library takes nothing that can be written to

    def digest(self) -> bytes:
        return bytes(self._running.finalize())


def _crt(algorithm: str) -> Any:
    try:
        from awscrt import checksums
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the checksum {algorithm} needs the library awscrt, which is not installed",
            hint="pip install 'keepstep[checksums]'; CRC32, SHA1, SHA256 and SHA512 need nothing",
        ) from exc
    return checksums
