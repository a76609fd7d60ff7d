"""One object's contents, read once through any number of checksums, in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from keepstep.errors import Conflict, Denied, Error
from keepstep.objects.account import Observer
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.stores.checksums import Hasher
from keepstep.stores.interface import Buffer, Entry, Source, Store

MIB = 1024 * 1024
_CHUNK = 8 * MIB
_AT_ONCE = 4
"""Chunks of one object in memory."""
_INLINE = 64 * 1024
"""Bytes that are hashed on the spot; a thread would cost more."""
_USUAL = tuple(
    MIB * n
    for n in (5, 6, 7, 8, 10, 12, 15, 16, 20, 24, 25, 32, 40, 48, 50, 64, 80, 96, 100, 128, 200, 256, 512, 1024)
)
"""Bytes of a part, as the clients of S3 and OCI have it by default or as people set it."""


async def read_through(
    store: Store,
    entry: Entry,
    hashers: Sequence[Hasher],
    budget: Budget,
    observer: Observer,
    bandwidth: Bandwidth | None = None,
) -> None:
    """Feeds the contents of this state of the object to the hashers.

    Raises :class:`Conflict` when the object is another one by now, :class:`Denied` when it cannot be read, and what
    the store raises.
    """
    if entry.unfit:
        raise Denied(f"{store.address.of(entry.key)} {entry.unfit}")
    observer.planned(0, entry.size)
    async with budget.hold(max(1, min(entry.size, _AT_ONCE * _CHUNK))):
        if bandwidth:
            await bandwidth.take(min(entry.size, _CHUNK))
        source = await store.open(entry, _CHUNK)
        try:
            if (source.state, source.size) != (entry.etag, entry.size):
                raise Conflict(f"{store.address.of(entry.key)} has changed since it was listed")
            async with aclosing(_chunks(source, bandwidth)) as chunks:
                async for data in chunks:
                    await _feed(data, hashers)
                    observer.moved(len(data))
        except BaseException:
            with suppress(Error):
                await source.close()
            raise
        await source.close()


async def _chunks(source: Source, bandwidth: Bandwidth | None) -> AsyncGenerator[Buffer, None]:
    """In order; while one is looked at the next ones are fetched."""
    first, source.first = source.first, b""
    waiting: deque[asyncio.Task[Buffer]] = deque()
    loop = asyncio.get_running_loop()
    try:
        yield first
        for offset in range(len(first), source.size, _CHUNK):
            waiting.append(loop.create_task(_read(source, offset, bandwidth)))
            if len(waiting) == _AT_ONCE - 1:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _read(source: Source, offset: int, bandwidth: Bandwidth | None) -> Buffer:
    length = min(_CHUNK, source.size - offset)
    if bandwidth:
        await bandwidth.take(length)
    return await source.read(offset, length)


async def _feed(data: Buffer, hashers: Sequence[Hasher]) -> None:
    if len(data) <= _INLINE:
        _update(data, hashers)
    else:
        await asyncio.to_thread(_update, data, hashers)


def _update(data: Buffer, hashers: Sequence[Hasher]) -> None:
    for each in hashers:
        each.update(data)


class PartsDigest:
    """The ETag that S3, and the digest that OCI gives to an object that came in parts of ``part_size`` bytes.

    The MD5 of the parts' MD5s, and behind a dash how many they are ("Checking object integrity in Amazon S3").
    """

    def __init__(self, part_size: int) -> None:
        self._part_size = self._left = part_size
        self._part = hashlib.md5(usedforsecurity=False)
        self._digests: list[bytes] = []

    def update(self, data: Buffer, /) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._part.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._digests.append(self._part.digest())
                self._part, self._left = hashlib.md5(usedforsecurity=False), self._part_size

    def digest(self) -> bytes:
        last = [self._part.digest()] if self._left < self._part_size else []
        return hashlib.md5(b"".join([*self._digests, *last]), usedforsecurity=False).digest()


def part_sizes(size: int, count: int, *ours: int) -> list[int]:
    """Bytes of a part: which of the usual sizes, ``ours`` among them, make ``count`` parts of ``size`` bytes."""
    least = -(-size // count)
    rounded = -(-least // MIB) * MIB
    candidates = {*_USUAL, *ours, least, rounded} if count > 1 else {least}
    return sorted(each for each in candidates if -(-size // each) == count)
