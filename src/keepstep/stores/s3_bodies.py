"""How bodies go to S3 so that a damaged one is noticed, each byte hashed once.

S3 itself refuses a body that differs from its checksum, or, over plain HTTP, from its signed SHA-256. Stores that
only speak S3 may look at neither, so what one of them looks at is found out when there is enough to send
(:mod:`keepstep.stores.s3_body_trials`). Until that is known, and where nothing is looked at, the answer's ETag is
compared with the MD5 of what was sent, which costs many times as much as a CRC. Figures in
docs/adr/0013-one-hash-a-byte.md.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from keepstep.errors import ConfigError, Denied, Error
from keepstep.stores.checksums import checksum, has_crt, is_at_hand
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_body_trials import BodyChecks, BodyTrials
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_errors import NotOffered

_WORTH = 20 * 1024 * 1024
"""Bytes of bodies from which a trial costs less than the MD5s that it may spare."""
_MANY = 256 * 1024 * 1024
"""Bytes from which a CRC64NVME costs less than a CRC32, although its library has to be loaded."""


class Way(NamedTuple):
    """How a body is sent."""

    algorithm: str
    """Of the checksum that goes with it; empty where none does."""
    signs: bool
    """Whether its SHA-256 is part of the signature."""
    compares: bool
    """Whether the ETag in the answer has to be compared with its MD5, because nobody else looks at what arrives."""


SIGNED = Way("", signs=True, compares=True)
"""For any store."""


class Bodies:
    """The ways of one bucket, in one run."""

    def __init__(self, client: S3Client, prefix: str, notices: list[str], options: TransferOptions) -> None:
        self.asked = options.checksum_algorithm
        """Of the checksum that the user wants with every body; empty where none was asked for."""
        if self.asked:
            checksum(self.asked)  # which may need a library that is not there
        self._client = client
        self._trials = BodyTrials(client, prefix, notices)
        self._sent = 0
        self._signed: set[str] = set()
        """Operations whose bodies have to be signed: the store refuses others."""
        self._proved: set[str] = set()
        """Operations with which a body that is not signed was taken."""

    def whole(self, size: int) -> Way:
        """For an object of ``size`` bytes. What needs a trial is found out meanwhile, for those that follow."""
        self._sent += size
        algorithm = self.asked or _cheapest(self._sent)
        if self._client.endpoint.is_of_aws:
            return self._of_aws("PutObject", algorithm)
        if self._sent > _WORTH:
            trial = self._trials.of("PutObject", algorithm)
            if trial.done():
                return self._way("PutObject", algorithm, trial.result())
        return Way(self.asked, signs=True, compares=True)

    async def parts(self, size: int) -> Way:
        """For an object of ``size`` bytes that is about to be sent in parts."""
        algorithm = self.asked or _cheapest(size)
        if self._client.endpoint.is_of_aws:
            return self._of_aws("UploadPart", algorithm)
        return self._way("UploadPart", algorithm, await self._found(algorithm, size))

    async def resumed(self, declared: str, size: int) -> Way:
        """For an upload that began with the announcement of such checksums; empty where it announced none.

        Its parts have to have what was announced, and nothing else. Raises as
        :func:`~keepstep.stores.checksums.checksum` does.
        """
        if declared:
            checksum(declared)
        if self._client.endpoint.is_of_aws:
            return Way(declared, not declared or self._is_signed("UploadPart"), compares=False)
        found = await self._found(declared or self.asked or _cheapest(size), size)
        checks = found.checks_signed or (bool(declared) and found.checks_sum)
        return Way(declared, signs=not (declared and found.checks_sum), compares=not checks)

    def now(self, operation: str, way: Way) -> Way:
        """The same way, with what has been learnt since."""
        return way._replace(signs=True) if operation in self._signed else way

    def after(self, error: Error, operation: str, way: Way) -> Way | None:
        """Another way, if the store may have refused a body because it was not signed, or for its checksum."""
        if way.signs or operation in self._proved or type(error) not in (Error, Denied, ConfigError, NotOffered):
            return None
        compares = way.compares or not self._client.endpoint.is_of_aws
        if operation == "PutObject" and type(error) is not Denied:
            return Way(self.asked, signs=True, compares=compares)
        return Way(way.algorithm, signs=True, compares=compares)

    def note_taken(self, operation: str, way: Way) -> None:
        """A body was."""
        if not way.signs:
            self._proved.add(operation)

    def note_signed(self, operation: str) -> None:
        """A body was taken that had been refused without a signature."""
        self._signed.add(operation)

    async def close(self) -> None:
        await self._trials.close()

    async def _found(self, algorithm: str, size: int) -> BodyChecks:
        if size <= _WORTH:
            return BodyChecks()
        return await asyncio.shield(self._trials.of("UploadPart", algorithm))

    def _of_aws(self, operation: str, algorithm: str) -> Way:
        """It looks at both; what is not encrypted on its way is signed."""
        is_signed = self._is_signed(operation)
        return Way(self.asked if is_signed else algorithm, is_signed, compares=False)

    def _is_signed(self, operation: str) -> bool:
        return self._client.endpoint.scheme != "https" or operation in self._signed

    def _way(self, operation: str, algorithm: str, found: BodyChecks) -> Way:
        if operation in self._signed:
            return Way(self.asked, signs=True, compares=not found.checks_signed)
        if found.checks_sum:
            return Way(algorithm, signs=False, compares=False)
        return Way(self.asked, signs=not found.takes_unsigned, compares=not found.checks_signed)


def _cheapest(size: int) -> str:
    """The checksum that costs least for so many bytes."""
    return "CRC64NVME" if is_at_hand("CRC64NVME") or (size >= _MANY and has_crt()) else "CRC32"
