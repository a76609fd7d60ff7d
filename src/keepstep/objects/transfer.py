"""Moves one object: whole when it is small, in parts when it is large, never torn.

Memory is bounded by a budget that all transfers share. An object that changes while it is read is sent again.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from keepstep.errors import Conflict, Corrupt, Error, NotFound
from keepstep.objects.budget import Budget
from keepstep.stores.interface import Buffer, Entry, Properties, Source, Store, Upload

MIB = 1024 * 1024
PART_SIZE = 16 * MIB
"""Bytes. Larger objects travel in parts of this size, or of a larger one when 10,000 would not suffice."""
_MOST_PARTS = 10_000
"""S3's and OCI's limit (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
_PARTS_AT_ONCE = 8
_ATTEMPTS = 3


class Vanished(NotFound):
    """The object was listed, and is no longer at the source."""


@dataclass(frozen=True)
class Mover:
    """Moves objects from one store to another."""

    source: Store
    target: Store
    budget: Budget
    on_bytes: Callable[[int], None]
    """Told of every part that has arrived, in bytes; of a negative number when those have to be sent again."""
    part_size: int = PART_SIZE

    async def move(self, entry: Entry) -> int:
        """Brings one object to the target and returns its size in bytes.

        Raises :class:`Vanished`, and what the stores raise. After a failure nothing is left behind at the target;
        repeating is safe.
        """
        for _ in range(_ATTEMPTS - 1):
            with suppress(Conflict, Corrupt):
                return await self._once(entry)
        return await self._once(entry)

    async def _once(self, entry: Entry) -> int:
        if await self.target.copy(self.source, entry):
            self.on_bytes(entry.size)
            return entry.size
        attempt = _Attempt(self, entry)
        try:
            return await attempt.run()
        except BaseException:
            await attempt.undo()
            raise

    def part_size_for(self, size: int) -> int:
        """Bytes per part: the smallest multiple of ``part_size`` that needs no more than 10,000 parts."""
        return self.part_size * max(1, -(-size // (self.part_size * _MOST_PARTS)))


class _Attempt:
    """One attempt at one object."""

    def __init__(self, mover: Mover, entry: Entry) -> None:
        self._mover = mover
        self._entry = entry
        self._source: Source | None = None
        self._upload: Upload | None = None
        self._sent = 0

    async def run(self) -> int:
        mover, entry = self._mover, self._entry
        set_aside = max(1, min(entry.size, mover.part_size_for(entry.size)))
        async with mover.budget.hold(set_aside):
            self._source = source = await self._open(set_aside)
            properties = self._properties(source)
            if source.size <= len(source.first):
                await source.close()
                await mover.target.put(entry.key, source.first, properties)
                self._count(source.size)
                return source.size
            part_size = mover.part_size_for(source.size)
            self._upload = upload = await mover.target.begin(entry.key, source.size, part_size, properties)
            has_first = len(source.first) == part_size
            if has_first:
                await self._send(0, source.first)
            source.first = b""  # given back to the budget
        await self._send_parts(source, part_size, range(has_first, -(-source.size // part_size)))
        await source.close()
        await upload.commit()
        return source.size

    async def undo(self) -> None:
        """Leaves nothing open, and nothing behind at the target."""
        self._mover.on_bytes(-self._sent)
        if self._source is not None:
            with suppress(Error):
                await self._source.close()
        if self._upload is not None:
            await asyncio.shield(self._upload.abort())

    async def _open(self, limit: int) -> Source:
        try:
            return await self._mover.source.open(self._entry, limit)
        except NotFound as exc:
            raise Vanished(exc.message, hint=exc.hint) from exc

    async def _send_parts(self, source: Source, part_size: int, numbers: range) -> None:
        """Several at a time."""
        remaining = iter(numbers)

        async def send() -> None:
            for number in remaining:
                offset = number * part_size
                length = min(part_size, source.size - offset)
                async with self._mover.budget.hold(length):
                    await self._send(number, await source.read(offset, length))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_PARTS_AT_ONCE, len(numbers))):
                    group.create_task(send())
        except BaseExceptionGroup as exc:
            raise first_of(exc) from None

    async def _send(self, number: int, data: Buffer) -> None:
        assert self._upload is not None
        await self._upload.write(number, data)
        self._count(len(data))

    def _count(self, size: int) -> None:
        self._sent += size
        self._mover.on_bytes(size)

    def _properties(self, source: Source) -> Properties:
        """What the source says of the object; a file's type is guessed from its name, as the AWS CLI does."""
        if self._mover.source.address.kind == "local":
            guess, _ = mimetypes.guess_type(self._entry.key)
            return replace(source.properties, content_type=guess or "")
        if source.etag and source.etag == self._entry.etag:
            # Listings know the time more exactly than HTTP headers.
            return replace(source.properties, time=self._entry.time)
        return source.properties


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause of a task group's failure, so that callers need not know of groups."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
