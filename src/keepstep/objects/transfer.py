"""Moves one object: whole when it is small, in parts when it is large, never torn.

Memory is bounded by a budget that all transfers share. An object that changes while it is read is sent again.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from keepstep.errors import Conflict, Corrupt, Error
from keepstep.stores.interface import Buffer, Entry, Properties, Source, Store, Upload

MIB = 1024 * 1024
PART_SIZE = 16 * MIB
"""Bytes. Larger objects travel in parts of this size, or of a larger one when 10,000 would not suffice."""
_MOST_PARTS = 10_000
"""S3's and OCI's limit (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
_PARTS_AT_ONCE = 8
_ATTEMPTS = 3


class Budget:
    """Bytes that may be held in memory at a time; first come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Waits until ``size`` bytes are free. More than everything means everything: it then runs alone."""
        size = min(size, self._size)
        if self._waiters or size > self._free:
            await self._wait(size)
        else:
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._wake()

    async def _wait(self, size: int) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((size, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._free += size
            else:
                self._waiters.remove((size, future))
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._free:
            size, future = self._waiters.popleft()
            if not future.done():
                self._free -= size
                future.set_result(None)


class Mover:
    """Moves objects from one store to another."""

    def __init__(self, source: Store, target: Store, *, budget: Budget, on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._target = target
        self._budget = budget
        self._on_bytes = on_bytes

    async def move(self, entry: Entry) -> int:
        """Brings one object to the target and returns its size in bytes.

        Raises :class:`NotFound` when the source is gone, and what the stores raise. After a failure nothing is
        left behind at the target; repeating is safe.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(entry)
            except (Conflict, Corrupt):
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _once(self, entry: Entry) -> int:
        if await self._target.copy(self._source, entry):
            self._on_bytes(entry.size)
            return entry.size
        part_size = part_size_for(entry.size)
        source: Source | None = None
        upload: Upload | None = None
        try:
            async with self._budget.hold(min(entry.size, part_size)):
                source = await self._source.open(entry, part_size)
                properties = self._properties(entry, source)
                if source.size <= len(source.first):
                    await self._target.put(entry.key, source.first, properties)
                    self._on_bytes(source.size)
                    return source.size
                upload = await self._target.begin(entry.key, source.size, part_size, properties)
                await self._send(0, source.first[:part_size], upload)
                source.first = b""  # given back to the budget
            await self._send_rest(source, upload, part_size)
            await source.close()
            await upload.commit()
            return source.size
        except BaseException:
            if source is not None:
                with suppress(Error):
                    await source.close()
            if upload is not None:
                await asyncio.shield(upload.abort())
            raise

    async def _send_rest(self, source: Source, upload: Upload, part_size: int) -> None:
        """All parts but the first, several at a time."""
        numbers = iter(range(1, -(-source.size // part_size)))

        async def send() -> None:
            for number in numbers:
                offset = number * part_size
                length = min(part_size, source.size - offset)
                async with self._budget.hold(length):
                    await self._send(number, await source.read(offset, length), upload)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_PARTS_AT_ONCE):
                    group.create_task(send())
        except BaseExceptionGroup as exc:
            raise _first(exc) from None

    async def _send(self, number: int, data: Buffer, upload: Upload) -> None:
        await upload.write(number, data)
        self._on_bytes(len(data))

    def _properties(self, entry: Entry, source: Source) -> Properties:
        """What the source says of the object; a file's type is guessed from its name, as the AWS CLI does."""
        if self._source.address.kind == "local":
            guess, _ = mimetypes.guess_type(entry.key)
            return replace(source.properties, content_type=guess or "")
        if source.etag == entry.etag:  # listings know the time more exactly than HTTP headers
            return replace(source.properties, time=entry.time)
        return source.properties


def part_size_for(size: int) -> int:
    """Bytes per part: the smallest multiple of :data:`PART_SIZE` that needs no more than 10,000 parts."""
    return PART_SIZE * max(1, -(-size // (PART_SIZE * _MOST_PARTS)))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real cause of a task group's failure."""
    for exc in group.exceptions:
        return _first(exc) if isinstance(exc, BaseExceptionGroup) else exc
    return group
