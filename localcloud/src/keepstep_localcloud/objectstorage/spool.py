"""How bytes arrive: hashed on their way, kept in memory while they are few and in a file from then on."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

INLINE = 64 * 1024
"""Bytes up to which a content lies in the database."""


@dataclass(frozen=True)
class Received:
    """A content that has arrived and belongs to nothing until :meth:`Contents.keep`."""

    blob: int
    size: int
    digests: Mapping[str, bytes]
    """By the algorithm's name as OCI writes it."""
    data: bytes | None
    """The bytes themselves when they are few; otherwise they are in the blob's file."""

    @property
    def md5(self) -> str:
        """Base64, as OCI shows it."""
        return base64.b64encode(self.digests["MD5"]).decode()


class Spool:
    """Takes bytes: into memory while they are few, into a file from then on."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self._number = number
        self._memory = bytearray()
        self._size = 0
        self._file: IO[bytes] | None = None

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._file is None and self._size > INLINE:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._file.write(self._memory)
        if self._file is None:
            self._memory += chunk
        else:
            self._file.write(chunk)

    def received(self, digests: Mapping[str, bytes]) -> Received:
        data = bytes(self._memory) if self._file is None else None
        return Received(self._number, self._size, digests, data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def new_hash(algorithm: str) -> Hasher:
    if algorithm == "CRC32C":
        # Comes with the oci SDK; few clients ask for it.
        from crc32c import CRC32CHash

        return CRC32CHash()
    return hashlib.new(algorithm, usedforsecurity=False)
