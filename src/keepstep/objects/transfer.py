"""Moves one object: whole when it is small, in parts when it is large, never torn.

Memory is bounded by a budget that all transfers share. An object that changes while it is read is sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from keepstep.errors import Conflict, Corrupt, Error, NotFound
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.objects.concurrency import Concurrency, Pacer
from keepstep.objects.journal import OpenUpload, SyncJournal
from keepstep.objects.plan import have_same_digest
from keepstep.stores.interface import Buffer, Entry, OnSent, Properties, Source, Store, Upload
from keepstep.stores.options import TransferOptions

MIB = 1024 * 1024
PART_SIZE = 10 * MIB
"""Bytes; OCI recommends no less. Parts are larger where 10,000 of them would not suffice. Larger ones take more
memory, and fresh memory costs more than requests do (docs/adr/0004-large-files.md)."""
_WHOLE = 16 * MIB
"""Bytes of an object that travels in one piece, where nothing else is asked for: parts cost three requests more."""
_MOST_PARTS = 10_000
"""S3's and OCI's limit (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
_SMALLEST_PART = {"local": 1, "s3": 5 * MIB, "oci": 10 * MIB}
"""Bytes. S3's limit; OCI's recommendation ("Using Multipart Uploads")."""
_LARGEST_WHOLE = 64 * MIB
"""Bytes of an object in one piece, whatever threshold is asked for: it is held in memory."""
_FIRST_PARTS, _MOST_PARTS_AT_ONCE = 4, 8
"""Parts of all objects together that are in flight at first, and at most."""
_GAIN, _MISSES = 1.25, 1
"""Twice as many parts need twice the memory: they must make it this much faster, and at once."""
_MANY = 4
"""An object of so many parts is opened at a glance, so that its parts can be asked for all at once."""
_GLANCE = 64 * 1024
"""Bytes."""
_TRANSPORT = 512 * 1024
"""Bytes that a connection holds besides an object's own: those that are being encrypted or decrypted."""
_ATTEMPTS = 3
_RANKS = itertools.count()
"""Of objects that travel in parts, in the order in which they begin."""


def parts_in_flight(jobs: int | None, throttle_count: Callable[[], int]) -> Concurrency:
    """Slots for parts: as many as pay, or ``jobs``. ``throttle_count`` counts how often a store asked for less."""
    fixed = min(jobs, _MOST_PARTS_AT_ONCE) if jobs else None
    pacer = Pacer(first=_FIRST_PARTS, most=_MOST_PARTS_AT_ONCE, gain=_GAIN, misses=_MISSES)
    return Concurrency(fixed, throttle_count, pacer)


def _with_transport(size: int) -> int:
    """Bytes of memory that an object of ``size`` bytes takes while it is in flight."""
    return size + min(size, _TRANSPORT)


class Vanished(NotFound):
    """The object was listed but is no longer at the source."""


@dataclass(frozen=True)
class Mover:
    """Moves objects from one store to another."""

    source: Store
    target: Store
    budget: Budget
    on_bytes: Callable[[int], None]
    """Called with the bytes of every part that has arrived; the number is negative when they have to be sent
    again."""
    part_size: int = PART_SIZE
    options: TransferOptions = field(default_factory=TransferOptions)
    bandwidth: Bandwidth | None = None
    """The bandwidth limit; None means no limit."""
    parts: Concurrency = field(default_factory=lambda: parts_in_flight(None, lambda: 0))
    """How many parts are in flight."""
    journal: SyncJournal | None = None
    """Where large transfers are noted, for a later run to go on with."""

    async def move(self, entry: Entry, on_sent: OnSent | None = None) -> int:
        """Brings one object to the target and returns its size in bytes.

        ``on_sent`` is called, maybe more than once, when no store is busy with it any more and only a device is.
        Raises :class:`Vanished`, and what the stores raise. After a failure nothing is left at the target
        except parts of a large object that the journal knows of; repeating is safe.
        """
        self.target.admit(entry.key)
        for _ in range(_ATTEMPTS - 1):
            with suppress(Conflict, Corrupt):
                return await self._once(entry, on_sent)
        return await self._once(entry, on_sent)

    async def _once(self, entry: Entry, on_sent: OnSent | None) -> int:
        tag = await self.target.copy(self.source, entry)
        if tag is not None:
            self.on_bytes(entry.size)
            self.note_equal(entry, tag)
            return entry.size
        attempt = _Attempt(self, entry, on_sent)
        try:
            return await attempt.run()
        except BaseException as exc:
            await attempt.undo(exc)
            raise

    async def tidy(self) -> None:
        """Removes the parts of large objects that earlier runs left behind and this one did not take up.

        Raises the first :class:`Error`, after all have been tried; a later run tries those that are left again.
        """
        first: Error | None = None
        for begun in self.journal.abandoned() if self.journal else ():
            try:
                upload = await self.target.resume(begun.key, begun.token, 0, begun.part_size)
                if not await self._forget(begun.key, begun.token, upload):
                    raise Error(f"{self.target.address.of(begun.key)}: the parts that a run left of it")
            except Error as exc:
                first = first or exc
        if first:
            raise first

    async def begin(self, key: str, state: str, size: int, part_size: int, properties: Properties) -> Upload:
        """A new upload, or the one that an earlier run began of the same state of the source."""
        if begun := self.journal.find(key) if self.journal else None:
            upload = await self.target.resume(key, begun.token, size, part_size)
            if upload is not None and (begun.state, begun.part_size) == (state, part_size):
                return self._noted(upload, OpenUpload(key, upload.token, state, part_size))
            await self._forget(key, begun.token, upload)
        upload = await self.target.begin(key, size, part_size, properties)
        return self._noted(upload, OpenUpload(key, upload.token, state, part_size))

    def _noted(self, upload: Upload, begun: OpenUpload) -> Upload:
        if self.journal and begun.token:
            self.journal.begin(begun)
        return upload

    async def _forget(self, key: str, token: str, upload: Upload | None) -> bool:
        """Whether nothing is left of an upload. Where something is, it stays noted, for a later run to remove."""
        is_gone = upload is None or await upload.abort()
        if self.journal and token:
            if is_gone:
                self.journal.gone(token)
            else:
                self.journal.leave(key, token)
        return is_gone

    def note_equal(self, entry: Entry, tag: str) -> None:
        """The target holds, under this tag, what the listing showed of the source."""
        if self.journal and self.options.tells_contents and not have_same_digest(entry.tag, tag):
            self.journal.note_equal(entry.key, entry.tag, tag, is_ours=True)

    def part_size_for(self, size: int) -> int:
        """Bytes per part: the smallest multiple of the usual size that needs no more than 10,000 parts."""
        usual = self.part_size
        if wanted := self.options.multipart_chunksize:
            usual = max(wanted, _SMALLEST_PART[self.target.address.kind])
        return usual * max(1, -(-size // (usual * _MOST_PARTS)))

    def most_at_once(self, size: int) -> int:
        """Bytes of an object of ``size`` that travel in one piece: all of them, or a part's."""
        part_size = self.part_size_for(size)
        threshold = self.options.multipart_threshold
        if threshold is None:
            is_whole = part_size == PART_SIZE and size <= _WHOLE
        else:
            is_whole = size < threshold and size <= _LARGEST_WHOLE
        return size if is_whole else part_size


class _Attempt:
    """One attempt at one object."""

    def __init__(self, mover: Mover, entry: Entry, on_sent: OnSent | None) -> None:
        self._mover = mover
        self._on_sent = on_sent
        self._entry = entry
        self._source: Source | None = None
        self._upload: Upload | None = None
        self._sent = 0

    async def run(self) -> int:
        mover, entry = self._mover, self._entry
        set_aside = max(1, min(entry.size, mover.most_at_once(entry.size)))
        async with mover.budget.hold(_with_transport(set_aside)):
            look = self._first_look(set_aside)
            if mover.bandwidth:
                await mover.bandwidth.take(min(look, entry.size))
            self._source = source = await self._open(look)
            properties = self._properties(source)
            if source.size <= len(source.first):
                await source.close()
                tag = await mover.target.put(entry.key, source.first, properties, self._on_sent)
                self._count(source.size)
                self._note_equal(source, tag)
                return source.size
            part_size = mover.part_size_for(source.size)
            state = _state_of(source, properties, mover.options)
            self._upload = upload = await mover.begin(entry.key, state, source.size, part_size, properties)
            # Of a cloud's object all bytes are read, also those of parts that an earlier run sent: only all of them
            # can be compared with what the store says of the object. A file proves nothing by being read again.
            done = upload.done if mover.source.address.kind == "local" else frozenset[int]()
            missing = [n for n in range(-(-source.size // part_size)) if n not in done]
            self._count(source.size - sum(min(part_size, source.size - n * part_size) for n in missing))
            if missing and missing[0] == 0 and len(source.first) == part_size:
                await self._send(missing.pop(0), source.first)
            source.first = b""  # given back to the budget
        await self._send_parts(source, part_size, missing)
        await source.close()
        self._note_equal(source, await upload.commit())
        if mover.journal and upload.token:
            mover.journal.end(entry.key)
        return source.size

    def _first_look(self, part: int) -> int:
        """Bytes that are read with the opening: a part's, or few where that part would hold up many others."""
        return min(part, _GLANCE) if self._entry.size >= _MANY * part else part

    async def undo(self, error: BaseException) -> None:
        """Leaves nothing open, and nothing behind at the target but parts that a later run can use."""
        self._mover.on_bytes(-self._sent)
        if self._source is not None:
            with suppress(Error):
                await self._source.close()
        if self._upload is not None and not self._can_go_on(self._upload, error):
            await asyncio.shield(self._mover._forget(self._entry.key, self._upload.token, self._upload))

    def _can_go_on(self, upload: Upload, error: BaseException) -> bool:
        """Whether a later run may find the parts and use them."""
        journal = self._mover.journal
        is_noted = bool(upload.token) and journal is not None and journal.find(self._entry.key) is not None
        return is_noted and not isinstance(error, Conflict | Corrupt)

    def _note_equal(self, source: Source, tag: str) -> None:
        if source.state == self._entry.etag:
            self._mover.note_equal(self._entry, tag)

    async def _open(self, limit: int) -> Source:
        try:
            return await self._mover.source.open(self._entry, limit)
        except NotFound as exc:
            raise Vanished(exc.message, hint=exc.hint) from exc

    async def _send_parts(self, source: Source, part_size: int, numbers: Sequence[int]) -> None:
        """Several at a time. Objects that began earlier go first, so that few are started and not whole."""
        remaining, parts = iter(numbers), self._mover.parts
        rank = next(_RANKS)

        async def send() -> None:
            for number in remaining:
                offset = number * part_size
                length = min(part_size, source.size - offset)
                async with parts.slot(rank), self._mover.budget.hold(length):
                    if self._mover.bandwidth:
                        await self._mover.bandwidth.take(length)
                    await self._send(number, await source.read(offset, length))
                parts.done(length)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(parts.most, len(numbers))):
                    group.create_task(send())
        except BaseExceptionGroup as exc:
            raise first_of(exc) from None

    async def _send(self, number: int, data: Buffer) -> None:
        upload = self._upload
        assert upload is not None
        if number not in upload.done or not await upload.holds(number, data):
            await upload.write(number, data)
        self._count(len(data))

    def _count(self, size: int) -> None:
        self._sent += size
        self._mover.on_bytes(size)

    def _properties(self, source: Source) -> Properties:
        """What the source says of the object, and the options."""
        options, properties = self._mover.options, source.properties
        if self._mover.source.address.kind == "local":
            return options.of_file(self._entry.key, properties)
        if source.etag and source.etag == self._entry.etag:
            # Listings know the time more exactly than HTTP headers.
            properties = properties._replace(time=self._entry.time)
        return properties if options.is_plain else options.of_copy(properties)


def _state_of(source: Source, properties: Properties, options: TransferOptions) -> str:
    """Changes with the object at the source, and with what is said of it at the target."""
    text = repr((source.size, source.state, properties, options))
    key = options.target_key.reveal_bytes() if options.target_key else b""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape") + key).hexdigest()


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause of a task group's failure, so that callers need not know of groups."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
