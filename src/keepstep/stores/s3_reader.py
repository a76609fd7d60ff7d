"""One object of S3, as it is asked for, and what the store says of its contents.

Checksums come with the answer where they are asked for (``x-amz-checksum-mode``): of the contents, or of the parts'
checksums with their number after a dash ("Checking object integrity in Amazon S3"). Where there are none the ETag
may be an MD5 (:mod:`keepstep.stores.s3_etags`).
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Awaitable, Mapping, Sequence

from keepstep.clouds.http import Buffer, Response
from keepstep.clouds.workers import Workers
from keepstep.errors import ConfigError, Corrupt, Error
from keepstep.stores.checksums import ALGORITHMS, Patience, checksum, has_crt, hasher, is_at_hand, likely_part_sizes
from keepstep.stores.cloud_source import bare
from keepstep.stores.headers import S3_FIELDS, from_headers
from keepstep.stores.interface import Properties
from keepstep.stores.proof import ClaimedDigest
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_errors import NotOffered
from keepstep.stores.s3_etags import Etags

METADATA = "x-amz-meta-"
CHECKSUM_MODE = ("x-amz-checksum-mode", "ENABLED")
_HEADERS = tuple((f"x-amz-checksum-{name.lower()}", name) for name in ("CRC64NVME", "CRC32", "CRC32C"))
_SLOW_HEADERS = tuple((f"x-amz-checksum-{name.lower()}", name) for name in ALGORITHMS[1:] if "CRC" not in name)
_MOST_LOOKED_AT = 100
"""Parts whose sizes are asked for, one by one."""


class S3Reads:
    """What all objects of one bucket have in common."""

    def __init__(self, client: S3Client, workers: Workers, etags: Etags, prefix: str) -> None:
        self.client = client
        self.workers = workers
        self.etags = etags
        self.prefix = prefix
        self.encodings = ["identity", "gzip"]
        """The second one for gateways that unpack what is stored packed unless the client can take it so."""
        self.suspects: dict[str, tuple[bytes, ...]] = {}
        self.asks_checksums = True
        self.patience = Patience()

    async def call(
        self, operation: str, method: str, key: str, headers: Sequence[HeaderPair] = (), **rest: object
    ) -> Response:
        """With the header that asks for checksums, unless the store refuses it."""
        if self.asks_checksums:
            is_asked = CHECKSUM_MODE in self.client.headers_of(operation)
            more = headers if is_asked else [*headers, CHECKSUM_MODE]
            try:
                return await self.client.call(operation, method, key, headers=more, **rest)  # type: ignore[arg-type]
            except Error as exc:
                if type(exc) not in (Error, NotOffered):
                    raise
        response = await self.client.call(operation, method, key, headers=headers, **rest)  # type: ignore[arg-type]
        self.asks_checksums = False
        return response


class S3Reader:
    """A :class:`~keepstep.stores.cloud_source.Reader`."""

    def __init__(self, reads: S3Reads, key: str) -> None:
        self.thing = reads.client.thing(key)
        self.workers = reads.workers
        self.encodings = reads.encodings
        self.suspects = reads.suspects
        self._reads = reads
        self._key = key

    def get(self, headers: Sequence[HeaderPair], most: int) -> Awaitable[Response]:
        return self._reads.call("GetObject", "GET", self._key, headers, most=most)

    async def head(self) -> Response:
        return await self._reads.call("HeadObject", "HEAD", self._key)

    def properties(self, response: Response) -> Properties:
        return from_headers(response.headers, METADATA, S3_FIELDS)

    def is_proved(self, response: Response) -> bool:
        headers, body = response.headers, response.body
        for header, algorithm in _HEADERS:
            if header in headers and (is_at_hand(algorithm) or self._is_worth_loading(len(body))):
                return self._is_crc(algorithm, headers, header, body)
        etag = headers.get("etag", "").strip('"')
        if len(etag) != 32 or hashlib.md5(body, usedforsecurity=False).hexdigest() != etag:
            return False
        self._reads.etags.are_md5 = True
        return True

    def _is_worth_loading(self, size: int) -> bool:
        return has_crt() and not self._reads.patience.lasts(size)

    def _is_crc(self, algorithm: str, headers: Mapping[str, str], header: str, body: Buffer) -> bool:
        try:
            return checksum(algorithm)(body) == headers[header] and not is_composite(algorithm, headers)
        except ConfigError:  # nothing here computes it
            return False

    def claim(self, response: Response) -> ClaimedDigest | None:
        return self._claim(response.headers, int(response.headers.get("content-length") or len(response.body)))

    async def find_claim(self, tag: str, size: int) -> ClaimedDigest | None:
        response = await self.head()
        if bare(response.headers.get("etag", "")) != bare(tag):
            return None  # it has changed; reading on will say so
        claim = self._claim(response.headers, size)
        if claim is None or not claim.parts:
            return claim
        told = await self._part_size(tag, 1)
        if told and -(-size // told) == claim.parts:
            return claim._replace(part_sizes=(told,))
        return claim

    def held(self, claim: ClaimedDigest) -> None:
        if not claim.parts:
            self._reads.etags.are_md5 = True

    async def doubt(self, claim: ClaimedDigest) -> None:
        if claim.parts and not await self._is_cut_evenly(claim):
            return
        if not claim.is_certain and not await self._reads.etags.decide(self._reads.prefix, self._key):
            return
        raise Corrupt(
            f"{self.thing} is damaged where it is stored ({claim.algorithm} differs)",
            hint="two ways of reading it agree, and the store's own checksum does not: restore the object",
        )

    def _claim(self, headers: Mapping[str, str], size: int) -> ClaimedDigest | None:
        """The one that costs least to check; of the contents rather than of parts."""
        md5 = self._reads.etags.md5_in(headers)
        has_md5 = md5 is not None and not md5[1]
        stored = [found for found in _HEADERS if found[0] in headers]
        stored.sort(key=lambda found: not is_at_hand(found[1]))
        if md5 and has_md5 and stored and not is_at_hand(stored[0][1]) and not self._is_worth_loading(size):
            return ClaimedDigest("MD5", bytes.fromhex(md5[0]), is_certain=False)
        if not has_md5:
            stored += [found for found in _SLOW_HEADERS if found[0] in headers]
        of_parts: ClaimedDigest | None = None
        for header, algorithm in stored:
            claim = _parsed(algorithm, headers[header], size, is_composite=is_composite(algorithm, headers))
            if claim and not claim.parts:
                return claim
            of_parts = of_parts or claim
        if md5 and has_md5:
            return ClaimedDigest("MD5", bytes.fromhex(md5[0]), is_certain=False)
        if of_parts or md5 is None:
            return of_parts
        return ClaimedDigest(
            "MD5", bytes.fromhex(md5[0]), md5[1], likely_part_sizes(size, md5[1]), is_certain=False
        )

    async def _part_size(self, tag: str, number: int) -> int | None:
        """Bytes of a part, where the store knows it (HeadObject, ``partNumber``)."""
        condition = [] if tag.startswith("W/") else [("if-match", tag)]
        try:
            response = await self._reads.client.call(
                "HeadObject", "HEAD", self._key, query=[("partNumber", str(number))], headers=condition
            )
        except Error:
            return None
        told = response.headers.get("content-length", "")
        has_parts = response.status == 206 or "x-amz-mp-parts-count" in response.headers
        return int(told) if has_parts and told.isdigit() else None

    async def _is_cut_evenly(self, claim: ClaimedDigest) -> bool:
        """Whether it is certain that all parts but the last have the size that the claim was checked with."""
        if len(claim.part_sizes) != 1 or claim.parts > _MOST_LOOKED_AT:
            return False
        head = await self.head()
        tag = head.headers.get("etag", "")
        sizes = [await self._part_size(tag, number) for number in range(1, claim.parts)]
        return all(size == claim.part_sizes[0] for size in sizes)


def is_composite(algorithm: str, headers: Mapping[str, str]) -> bool:
    """Whether a checksum is one of the parts' checksums, also where its value does not say so.

    What came in parts has a checksum of its whole contents only if it is a CRC ("Checking object integrity in
    Amazon S3"); its ETag has a dash. moto leaves out the number behind the checksum's own dash, and the type.
    """
    came_in_parts = "-" in headers.get("etag", "")
    return headers.get("x-amz-checksum-type") == "COMPOSITE" or (came_in_parts and "CRC" not in algorithm)


def _parsed(algorithm: str, text: str, size: int, *, is_composite: bool) -> ClaimedDigest | None:
    """None where the value is none, or nothing here computes it."""
    value, _, count = text.partition("-")
    try:
        digest = b64decode(value, validate=True)
        hasher(algorithm)
        if not count:
            return None if is_composite else ClaimedDigest(algorithm, digest)
        return ClaimedDigest(algorithm, digest, int(count), likely_part_sizes(size, int(count)))
    except (ValueError, ZeroDivisionError, ConfigError):
        return None
