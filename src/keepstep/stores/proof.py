"""Whether what arrived is what the store says that it holds.

A store keeps digests with an object: of its contents, or, of an object that came in parts, of the parts' digests.
An object that is read in pieces, several at once and in any order, is compared with them all the same: CRCs of
pieces can be combined, other digests are fed in the order of the object.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from keepstep.clouds.http import Buffer
from keepstep.clouds.workers import Workers
from keepstep.stores.checksums import CRCS, INLINE, Hasher, PartsDigest, combined, hasher, inline


class ClaimedDigest(NamedTuple):
    """What a store says of an object's contents."""

    algorithm: str
    """As S3 names it, or ``MD5``."""
    digest: bytes
    parts: int = 0
    """How many digests of parts this is a digest of; 0: it is one of the contents."""
    part_sizes: tuple[int, ...] = ()
    """Bytes of each of those parts but the last: one of these, or nobody knows."""
    is_certain: bool = True
    """False where the store may mean something else by it, as by an ETag that looks like an MD5."""


class Running(Protocol):
    """The digests of an object that a claim may be about, while its bytes come."""

    def expect(self, offset: int, length: int) -> None:
        """These bytes have been asked for."""
        ...

    async def add(self, offset: int, data: Buffer) -> None:
        """These bytes have come. May wait for those before them."""
        ...

    def digests(self) -> tuple[bytes, ...]:
        """One for each way in which the parts may have been cut; none when not every byte came."""
        ...


def running(claim: ClaimedDigest, size: int, workers: Workers) -> Running:
    """For an object of ``size`` bytes."""
    kind = _InAnyOrder if claim.algorithm in CRCS else _InOrder
    return kind(claim, size, workers)


def digest_now(claim: ClaimedDigest, data: Buffer) -> tuple[bytes, ...]:
    """As :meth:`Running.digests`, of an object that is here whole."""
    hashers = _hashers(claim)
    for each in hashers:
        each.update(data)
    return tuple(each.digest() for each in hashers)


def _hashers(claim: ClaimedDigest) -> list[Hasher]:
    if not claim.parts:
        return [hasher(claim.algorithm)]
    return [PartsDigest(size, claim.algorithm) for size in claim.part_sizes]


class _InAnyOrder:
    """CRCs of pieces, cut where parts may end."""

    def __init__(self, claim: ClaimedDigest, size: int, workers: Workers) -> None:
        self._claim = claim
        self._size = size
        self._workers = workers
        self._pieces: dict[int, tuple[int, int]] = {}
        """By offset: CRC and length."""
        sizes = claim.part_sizes if claim.parts else ()
        self._ends = sorted({end for part in sizes for end in range(part, size, part)})

    def expect(self, offset: int, length: int) -> None:
        return

    async def add(self, offset: int, data: Buffer) -> None:
        if len(data) <= inline(self._claim.algorithm):
            self._pieces.update(self._crcs(offset, data))
        else:
            self._pieces.update(await self._workers.run(self._crcs, offset, data))

    def digests(self) -> tuple[bytes, ...]:
        pieces = list(self._in_order())
        if sum(length for _, _, length in pieces) != self._size:
            return ()
        width = CRCS[self._claim.algorithm][0] // 8
        if not self._claim.parts:
            return (self._combined(pieces).to_bytes(width, "big"),)
        return tuple(self._of_parts(pieces, size, width) for size in self._claim.part_sizes)

    def _crcs(self, offset: int, data: Buffer) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        view, stop = memoryview(data), offset + len(data)
        while offset < stop:
            place = bisect_right(self._ends, offset)
            end = min(stop, self._ends[place]) if place < len(self._ends) else stop
            piece, view = view[: end - offset], view[end - offset :]
            crc = hasher(self._claim.algorithm)
            crc.update(piece)
            found[offset] = int.from_bytes(crc.digest(), "big"), len(piece)
            offset = end
        return found

    def _in_order(self) -> Iterator[tuple[int, int, int]]:
        """Offset, CRC and length of pieces that follow each other; of two at one place the longer came later."""
        offset = 0
        while offset in self._pieces:
            crc, length = self._pieces[offset]
            yield offset, crc, length
            offset += length

    def _combined(self, pieces: list[tuple[int, int, int]]) -> int:
        return combined(self._claim.algorithm, [(crc, length) for _, crc, length in pieces])

    def _of_parts(self, pieces: list[tuple[int, int, int]], size: int, width: int) -> bytes:
        parts: dict[int, list[tuple[int, int, int]]] = {}
        for piece in pieces:
            parts.setdefault(piece[0] // size, []).append(piece)
        whole = hasher(self._claim.algorithm)
        whole.update(b"".join(self._combined(part).to_bytes(width, "big") for part in parts.values()))
        return whole.digest()


class _InOrder:
    """Digests that are fed from the first byte to the last; pieces wait for those before them."""

    def __init__(self, claim: ClaimedDigest, size: int, workers: Workers) -> None:
        self._claim = claim
        self._size = size
        self._workers = workers
        self._hashers = _hashers(claim)
        self._at = 0
        self._expected = 0
        self._has_gap = False
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def expect(self, offset: int, length: int) -> None:
        if offset == 0:
            self._expected = 0
        if offset != self._expected and not self._has_gap:
            # Somebody needs only some of the bytes, and waiting for the others would never end.
            self._has_gap = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(None)
        self._expected += length

    async def add(self, offset: int, data: Buffer) -> None:
        if offset == 0 and self._at:  # what was read at a glance is read once more
            self._hashers, self._at = _hashers(self._claim), 0
        if offset != self._at and not self._has_gap:
            future = self._waiting[offset] = asyncio.get_running_loop().create_future()
            await future
        if self._has_gap:
            return
        if len(data) <= INLINE:
            self._update(data)
        else:
            await self._workers.run(self._update, data)
        self._at = offset + len(data)
        if (next_one := self._waiting.pop(self._at, None)) and not next_one.done():
            next_one.set_result(None)

    def digests(self) -> tuple[bytes, ...]:
        if self._has_gap or self._at != self._size:
            return ()
        return tuple(each.digest() for each in self._hashers)

    def _update(self, data: Buffer) -> None:
        for each in self._hashers:
            each.update(data)
