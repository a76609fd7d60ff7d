"""One object's contents, read once through any number of checksums, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from keepstep.errors import Conflict, Denied, Error
from keepstep.objects.account import Observer
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.stores.checksums import MIB, Hasher
from keepstep.stores.interface import Buffer, Entry, Source, Store

_CHUNK = 8 * MIB
_AT_ONCE = 4
"""Chunks of one object in memory."""
_INLINE = 64 * 1024
"""Bytes that are hashed on the spot; a thread would cost more."""


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
        source.proves = False  # a difference that is none is found by comparing, and costs no request
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
