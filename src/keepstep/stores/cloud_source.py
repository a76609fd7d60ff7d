"""Reading one state of an object, in either cloud, and proving that it arrived as it is stored.

Every answer is held against what was asked for: the state (ETag), the range, the size that the listing showed. What
a store knows of the contents (:mod:`keepstep.stores.proof`) is compared with what came, whole or in pieces.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Protocol

from keepstep.clouds.http import Response, TooLarge
from keepstep.clouds.workers import Workers
from keepstep.errors import Conflict, Corrupt, Denied, Error, NotFound
from keepstep.stores.checksums import INLINE, inline
from keepstep.stores.interface import Buffer, Entry, Properties
from keepstep.stores.proof import ClaimedDigest, Running, digest_now, running

HeaderPair = tuple[str, str]

_ATTEMPTS = 3
"""How often a piece is asked for when the answer is another one."""
_CUT = 8 * 1024 * 1024 - 4093
"""Bytes that are read at a time to look again: cut elsewhere than before, so that what hurts an answer at a fixed
place hurts another byte."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\s*\Z")
_HINT = "something between here and the store may be changing what it sends"


class Reader(Protocol):
    """How one object of a cloud is asked for."""

    thing: str
    """How errors call the object."""
    workers: Workers
    suspects: dict[str, tuple[bytes, ...]]
    """States of objects that arrived otherwise than they are stored, and how."""
    encodings: list[str]
    """Values for ``accept-encoding``; the first one that gives the bytes as they are stored stays the first."""

    def get(self, headers: Sequence[HeaderPair], most: int) -> Awaitable[Response]:
        """GetObject; the answer has ``most`` bytes at most."""
        ...

    async def head(self) -> Response: ...

    def properties(self, response: Response) -> Properties: ...

    def is_proved(self, response: Response) -> bool:
        """Whether a small whole answer is what is stored, seen at a glance; False when that takes a closer look."""
        ...

    def claim(self, response: Response) -> ClaimedDigest | None:
        """What the headers of an answer say of the whole object without any further question."""
        ...

    async def find_claim(self, tag: str, size: int) -> ClaimedDigest | None:
        """What the store says of the state ``tag`` when it is asked; None when it says nothing that helps."""
        ...

    def held(self, claim: ClaimedDigest) -> None:
        """A claim that is not certain has turned out to be true."""
        ...

    async def doubt(self, claim: ClaimedDigest) -> None:
        """The claim differs from what two ways of reading agree on. Raises :class:`Corrupt`, or learns from it."""
        ...


class CloudSource:
    """One state of an object."""

    def __init__(self, reader: Reader, response: Response, size: int, encoding: str) -> None:
        """``response`` has the first bytes of an object of ``size`` bytes; they were asked for in ``encoding``."""
        self.first: Buffer = response.body
        self.size = size
        self.properties = reader.properties(response)
        self._tag = response.headers.get("etag", "")
        self.etag = bare(self._tag)
        self._encoding = ("accept-encoding", encoding)
        self._reader = reader
        self.proves = True
        self._start = response.body if size > len(response.body) else b""
        self._preparing: asyncio.Task[None] | None = None
        self._running: Running | None = None
        self._claim: ClaimedDigest | None = None

    @property
    def state(self) -> str:
        return self.etag

    async def read(self, offset: int, length: int) -> Buffer:
        if not self.proves:
            self._start = b""
            return await self._read(offset, length)
        if self._preparing is None:
            self._preparing = asyncio.get_running_loop().create_task(self._prepare())
        await asyncio.shield(self._preparing)
        if self._running is None:
            return await self._read(offset, length)
        self._running.expect(offset, length)
        data = await self._read(offset, length)
        await self._running.add(offset, data)
        return data

    async def close(self) -> None:
        """Raises :class:`Corrupt` when the bytes that were read are not those that are stored."""
        if self._preparing is not None:
            self._preparing.cancel()
        if self._running is None or self._claim is None:
            return
        digests, self._running = self._running.digests(), None
        if digests:
            await self._settle(self._claim, digests)

    async def prove(self, response: Response) -> None:
        """To be called once, when it has just been opened. Raises as :meth:`close` does."""
        if self.size == len(self.first):
            await self._prove_whole(response)

    async def _prepare(self) -> None:
        """Finds out what a large object is to be compared with."""
        claim = None
        with suppress(Conflict, Denied, NotFound):  # reading on says what it is
            claim = await self._reader.find_claim(self._tag, self.size)
        if claim is not None:
            self._claim, self._running = claim, running(claim, self.size, self._reader.workers)
            self._running.expect(0, len(self._start))
            await self._running.add(0, self._start)
        self._start = b""

    async def _prove_whole(self, response: Response) -> None:
        claim = self._reader.claim(response)
        if claim is None or not self.size:  # nothing arrived, and nothing is stored: its size proves it
            return
        digests = await self._digests(claim)
        if claim.parts and claim.digest not in digests:  # they may have been cut otherwise than most are
            claim = await self._reader.find_claim(self._tag, self.size) or claim
            digests = await self._digests(claim)
        await self._settle(claim, digests)

    async def _digests(self, claim: ClaimedDigest) -> tuple[bytes, ...]:
        if len(self.first) <= inline(claim.algorithm):
            return digest_now(claim, self.first)
        return await self._reader.workers.run(digest_now, claim, self.first)

    async def _settle(self, claim: ClaimedDigest, digests: tuple[bytes, ...]) -> None:
        """Compares. What differs is to be fetched again; what differs in the same way then is looked into."""
        suspects, state = self._reader.suspects, f"{self._tag} of {self._reader.thing}"
        if claim.digest in digests:
            suspects.pop(state, None)
            if not claim.is_certain:
                self._reader.held(claim)
        elif suspects.get(state) == digests:
            await (self._look_again(claim, digests) if self.size > 1 else self._look_at_one_byte(claim))
        else:
            suspects[state] = digests
            raise self._corrupt(claim)

    def _corrupt(self, claim: ClaimedDigest) -> Corrupt:
        text = f"{self._reader.thing} did not arrive as it is stored ({claim.algorithm} differs)"
        return Corrupt(text, hint=_HINT)

    async def _look_at_one_byte(self, claim: ClaimedDigest) -> None:
        """It cannot be cut elsewhere; but when the claim is true of any byte, that is the one that is stored."""
        if any(claim.digest in digest_now(claim, bytes([value])) for value in range(256)):
            raise self._corrupt(claim)
        await self._reader.doubt(claim)

    async def _look_again(self, claim: ClaimedDigest, digests: tuple[bytes, ...]) -> None:
        """Reads everything once more, cut elsewhere: either it was hurt on its way, or the claim is wrong."""
        again = running(claim, self.size, self._reader.workers)
        cut = max(1, min(_CUT, self.size // 3))
        for offset in range(0, self.size, cut):
            length = min(cut, self.size - offset)
            again.expect(offset, length)
            await again.add(offset, await self._read(offset, length))
        if again.digests() != digests:
            raise self._corrupt(claim)
        await self._reader.doubt(claim)

    async def _read(self, offset: int, length: int) -> Buffer:
        condition = [("if-match", self._tag)] if self._tag and not self._tag.startswith("W/") else []
        headers = [("range", f"bytes={offset}-{offset + length - 1}"), self._encoding, *condition]
        wrong: Error | None = None
        for _ in range(_ATTEMPTS):
            try:
                response = await self._reader.get(headers, length)
            except TooLarge as exc:
                text = f"{self._reader.thing}: the answer to a part of {length} bytes has more"
                raise Error(text, hint="the store, or a proxy before it, does not know the header Range") from exc
            wrong = self._wrong(response, offset, length)
            if wrong is None:
                return response.body
            if isinstance(wrong, Conflict):
                break
        assert wrong is not None
        raise wrong

    def _wrong(self, response: Response, offset: int, length: int) -> Error | None:
        """What is wrong with an answer to a part; None when it is the one that was asked for."""
        tag = bare(response.headers.get("etag", ""))
        if tag and tag != self.etag:
            return Conflict(f"{self._reader.thing} changed while it was read")
        start, _, total = range_of(response)
        if total is not None and total != self.size:
            return Conflict(f"{self._reader.thing} changed while it was read (from {self.size} bytes to {total})")
        if start != offset or len(response.body) != length:
            asked = f"bytes {offset} to {offset + length - 1}"
            given = response.headers.get("content-range", f"{len(response.body)} bytes without a range")
            return Corrupt(f"{self._reader.thing}: {asked} were asked for, the answer has {given}", hint=_HINT)
        return None


async def opened(reader: Reader, entry: Entry, limit: int) -> CloudSource:
    """The object as it is now. Its first bytes, all when there are at most ``limit``, have been read and proved.

    Raises :class:`Corrupt` when the store sends something else than what it lists, and :class:`Conflict` when the
    object does not stand still.
    """
    for encoding in tuple(reader.encodings):
        response = await _first(reader, entry.size, limit, encoding)
        if response is None:
            continue
        is_proved = _is_as_listed(response, entry) and reader.is_proved(response)
        size = entry.size if is_proved else await _size_of(reader, response, entry, limit)
        if size is None:
            continue
        if encoding != reader.encodings[0]:
            reader.encodings.remove(encoding)
            reader.encodings.insert(0, encoding)
        source = CloudSource(reader, response, size, encoding)
        if not is_proved:
            await source.prove(response)
        return source
    raise Corrupt(
        f"{reader.thing}: the store lists {entry.size} bytes and sends something else",
        hint="a gateway may be unpacking or packing it on the way, or it is being replaced just now",
    )


def _is_as_listed(response: Response, entry: Entry) -> bool:
    """Whether it is the whole object, small, in the state and of the size that the listing showed."""
    length = len(response.body)
    is_whole = response.status == 200 and length == entry.size and length <= INLINE
    return is_whole and response.headers.get("etag", "").strip('"') == entry.etag


async def _first(reader: Reader, size: int, limit: int, encoding: str) -> Response | None:
    """The whole object, or its first ``limit`` bytes when it has more; None when neither can be obtained.

    ``size`` is what a listing said.
    """
    accept = ("accept-encoding", encoding)
    whole, ranged = (accept,), (("range", f"bytes=0-{limit - 1}"), accept)
    # Either may be wrong by now: it has grown since it was listed, or has no first byte any more.
    ways = (whole, ranged) if size <= limit else (ranged, whole)
    for number, headers in enumerate(ways):
        try:
            return await reader.get(headers, limit)
        except TooLarge:
            continue
        except Conflict:
            if number:
                raise
    return None


async def _size_of(reader: Reader, response: Response, entry: Entry, limit: int) -> int | None:
    """Bytes of the whole object; None when the answer cannot be the beginning of it.

    An answer that agrees with the listing is believed. Of any other the store is asked once more: the object may
    have changed, or its ETag and size may be those of what somebody made of it on the way.
    """
    tag = bare(response.headers.get("etag", ""))
    start, count, total = range_of(response)
    size = total
    if tag and tag == entry.etag:
        size = entry.size if total is None or total == entry.size else None
    elif not tag or entry.etag or total is None:
        head = await reader.head()
        is_same = bare(head.headers.get("etag", "")) == tag
        told = head.headers.get("content-length", "")
        size = int(told) if is_same and told.isdigit() and total in (None, int(told)) else None
    fits = size is not None and start == 0 and count == len(response.body) == min(limit, size)
    return size if fits else None


def range_of(response: Response) -> tuple[int | None, int, int | None]:
    """Where the bytes of an answer begin, how many they are, and of how many; None where it does not tell."""
    found = _RANGE.match(response.headers.get("content-range", ""))
    if not found:  # rclone serve s3 has the header with 200, too
        return (None, 0, None) if response.status == 206 else (0, len(response.body), len(response.body))
    first, last = int(found[1]), int(found[2])
    return first, last - first + 1, None if found[3] == "*" else int(found[3])


def bare(tag: str) -> str:
    """An ETag without its quotes, and without the mark of a weak one."""
    return tag.removeprefix("W/").strip('"')
