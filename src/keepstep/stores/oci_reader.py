"""One object of OCI, as it is asked for, and what the service says of its contents.

It keeps the MD5 of what came whole, the MD5 of the parts' MD5s of what came in parts, and other checksums where
they were asked for (GetObject in the API reference). It does not tell how large the parts were.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from keepstep.clouds.http import Response
from keepstep.clouds.workers import Workers
from keepstep.errors import ConfigError, Corrupt
from keepstep.stores.checksums import Patience, hasher, is_at_hand, likely_part_sizes
from keepstep.stores.cloud_source import bare
from keepstep.stores.headers import from_headers
from keepstep.stores.interface import Properties
from keepstep.stores.oci_client import HeaderPair, OciClient
from keepstep.stores.proof import ClaimedDigest

METADATA = "opc-meta-"
_HEADERS = (
    ("opc-content-crc32c", "CRC32C"),
    ("opc-content-sha256", "SHA256"),
    ("content-md5", "MD5"),
    ("opc-multipart-md5", "MD5"),
)
"""The cheapest first, what is of parts last."""


@dataclass(slots=True)
class OciReads:
    """What all objects of one bucket have in common."""

    client: OciClient
    workers: Workers
    encodings: list[str] = field(default_factory=lambda: ["identity", "gzip"])
    suspects: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)


class OciReader:
    """A :class:`~keepstep.stores.cloud_source.Reader`."""

    def __init__(self, reads: OciReads, name: str) -> None:
        self.thing = reads.client.thing(name)
        self.workers = reads.workers
        self.encodings = reads.encodings
        self.suspects = reads.suspects
        self._client = reads.client
        self._name = name
        self._patience = reads.patience

    def get(self, headers: Sequence[HeaderPair], most: int) -> Awaitable[Response]:
        return self._client.call("GetObject", "GET", "o", self._name, headers=headers, most=most)

    async def head(self) -> Response:
        return await self._client.call("HeadObject", "HEAD", "o", self._name)

    def properties(self, response: Response) -> Properties:
        return from_headers(response.headers, METADATA)

    def is_proved(self, response: Response) -> bool:
        stored = response.headers.get("content-md5")
        if stored is None:
            return False
        return b64encode(hashlib.md5(response.body, usedforsecurity=False).digest()).decode() == stored

    def claim(self, response: Response) -> ClaimedDigest | None:
        return _claim(response.headers, len(response.body), self._patience)

    async def find_claim(self, tag: str, size: int) -> ClaimedDigest | None:
        response = await self.head()
        is_same = bare(response.headers.get("etag", "")) == bare(tag)
        return _claim(response.headers, size, self._patience) if is_same else None

    def held(self, claim: ClaimedDigest) -> None:
        return

    async def doubt(self, claim: ClaimedDigest) -> None:
        if claim.is_certain:
            raise Corrupt(
                f"{self.thing} is damaged where it is stored ({claim.algorithm} differs)",
                hint="two ways of reading it agree, and the service's own checksum does not: restore the object",
            )


def _claim(headers: Mapping[str, str], size: int, patience: Patience) -> ClaimedDigest | None:
    found: ClaimedDigest | None = None
    for header, algorithm in _HEADERS:
        if header in headers and "content-md5" in headers and not is_at_hand(algorithm) and patience.lasts(size):
            continue
        if header in headers and (claim := _parsed(algorithm, headers[header], size)):
            if not claim.parts:
                return claim
            found = found or claim
    return found


def _parsed(algorithm: str, text: str, size: int) -> ClaimedDigest | None:
    value, _, count = text.partition("-")
    try:
        digest = b64decode(value, validate=True)
        hasher(algorithm)
        if not count:
            return ClaimedDigest(algorithm, digest)
        return ClaimedDigest(algorithm, digest, int(count), likely_part_sizes(size, int(count)), is_certain=False)
    except (ValueError, ZeroDivisionError, ConfigError):
        return None
