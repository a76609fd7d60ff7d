"""What every store of objects can do. Adapters live next to this file, one per store; wrappers are stores too.

A store is bound to one folder of objects (an :class:`~keepstep.stores.address.Address`), and keys are relative
to it. A key is text whose UTF-8 form is the store's own, byte for byte; order is that of the UTF-8 bytes, which
is the order of code points. Sizes are bytes. Times are whole microseconds since 1970-01-01 UTC. Methods are
coroutines of one event loop and may run many at once. Every method may be repeated after a failure.

Errors, everywhere: :class:`Transient` after the adapter's own retries, :class:`Denied`, :class:`NotFound`,
:class:`Corrupt`, :class:`ConfigError`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import lt
from typing import NamedTuple, Protocol, runtime_checkable

from keepstep.errors import Error, NotFound
from keepstep.stores.address import Address

Buffer = bytes | bytearray | memoryview
OnSent = Callable[[], None]


class Missing(NotFound):
    """The store says of this object that there is none: not of its bucket, and not that it may be forbidden."""


class Entry(NamedTuple):
    """One object as a listing shows it."""

    key: str
    size: int
    time: int
    """Last modified, microseconds since 1970 UTC."""
    etag: str = ""
    """The store's own tag of this state of the object, without quotes; empty where there is none."""
    unfit: str = ""
    """Why this object cannot be read (a named pipe, an archived object); empty when it can."""
    digest: str = ""
    """MD5 of the contents in hex, or of the parts' MD5s and after a dash their number; empty where not known."""

    @property
    def tag(self) -> str:
        """What is known of the contents: the digest, or else a text that changes when they do."""
        return self.digest or self.etag


@dataclass(slots=True)
class Page:
    """Consecutive objects of a listing, as columns of equal length, ordered by key."""

    keys: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    unfit: dict[int, str] = field(default_factory=dict)
    """By index, only where there is a reason (see :attr:`Entry.unfit`)."""
    digests: list[str] = field(default_factory=list)
    """Of all of them, or nothing (see :attr:`Entry.digest`)."""

    def __len__(self) -> int:
        return len(self.keys)

    def entry(self, index: int) -> Entry:
        return Entry(
            self.keys[index],
            self.sizes[index],
            self.times[index],
            self.etags[index],
            self.unfit.get(index, ""),
            self.digests[index] if self.digests else "",
        )

    @property
    def tags(self) -> list[str]:
        """See :attr:`Entry.tag`."""
        return list(map(_either, self.digests, self.etags)) if self.digests else self.etags

    @property
    def is_ordered(self) -> bool:
        """True when every key is greater than the one before it."""
        return all(map(lt, self.keys, islice(self.keys, 1, None)))

    def part(self, start: int, stop: int) -> Page:
        """The objects from ``start`` up to ``stop``."""
        unfit = {n - start: why for n, why in self.unfit.items() if start <= n < stop} if self.unfit else {}
        return Page(
            self.keys[start:stop],
            self.sizes[start:stop],
            self.times[start:stop],
            self.etags[start:stop],
            unfit,
            self.digests[start:stop],
        )

    def append(self, entry: Entry) -> None:
        if entry.unfit:
            self.unfit[len(self.keys)] = entry.unfit
        if entry.digest or self.digests:
            self.digests += [*[""] * (len(self.keys) - len(self.digests)), entry.digest]
        self.keys.append(entry.key)
        self.sizes.append(entry.size)
        self.times.append(entry.time)
        self.etags.append(entry.etag)


def _either(digest: str, etag: str) -> str:
    return digest or etag


class Span(NamedTuple):
    """The keys after ``after``, up to and including ``until``.

    None stands for the beginning and for the end. The empty text does not: it is a key, that of an object named
    exactly like the folder.
    """

    after: str | None = None
    until: str | None = None

    def holds(self, key: str) -> bool:
        return (self.after is None or self.after < key) and (self.until is None or key <= self.until)

    @property
    def is_empty(self) -> bool:
        """True when no key can lie in it."""
        return self.after is not None and self.until is not None and self.until <= self.after

    def may_hold(self, prefix: str) -> bool:
        """Whether a key that begins with ``prefix`` can be in it."""
        is_behind = self.after is None or self.after < prefix or self.after.startswith(prefix)
        return is_behind and (self.until is None or self.until >= prefix)


EVERYTHING = (Span(),)


class Listing(Protocol):
    """Every object of a folder, or of the spans that were asked for, in order, page by page.

    Iterating raises when a page cannot be obtained for good: what came before it stands, what follows is unknown.
    A listing that can skip an unreadable part goes on, and names that part in ``unreadable_prefixes``.
    A listing is certified when it ended without raising and without unreadable prefixes.
    """

    unreadable_prefixes: list[tuple[str, Error]]
    """Prefixes whose objects are unknown, each with the reason; known before any key after it is given."""
    unrepresentable_names: list[tuple[str, str]]
    """Names that cannot be keys (not UTF-8), in printable form, each with the reason. No page contains them."""

    def __aiter__(self) -> AsyncIterator[Page]: ...


class Properties(NamedTuple):
    """The properties of an object in addition to its bytes. Empty means unspecified."""

    content_type: str = ""
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    expires: str = ""
    """As HTTP writes a moment. OCI cannot keep it."""
    metadata: tuple[tuple[str, str], ...] = ()
    """The user's own, names in lower case without the cloud's prefix."""
    time: int | None = None
    """Last modified at the source. Local stores set it; clouds cannot."""


class Source(Protocol):
    """One object opened for reading: one state of it, or an error.

    ``first`` holds the first bytes: all of them when the object is not larger than the limit it was opened with.
    """

    size: int
    etag: str
    properties: Properties
    first: Buffer
    proves: bool
    """Whether what is read is compared with what the store says of it, which may cost a request. True unless it is
    set to False before the first :meth:`read`, by somebody who only compares the bytes with others."""

    @property
    def state(self) -> str:
        """Changes whenever the object does; the ETag where there is one."""
        ...

    async def read(self, offset: int, length: int) -> Buffer:
        """Exactly ``length`` bytes. Raises :class:`Conflict` when the object is no longer what was opened."""
        ...

    async def close(self) -> None:
        """Raises :class:`Conflict` when the object changed while it was read; never leaks.

        Raises :class:`Corrupt` when the bytes that were read, if all were, are not those that the store holds.
        """
        ...


class Upload(Protocol):
    """An upload of a large object. Nothing is visible under its key before :meth:`commit`."""

    @property
    def token(self) -> str:
        """By which :meth:`Store.resume` finds it again after a crash; empty where nothing would be left to find."""
        ...

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the parts that are there already."""
        ...

    async def holds(self, number: int, data: Buffer) -> bool:
        """Whether part ``number``, one of those that are there, is certainly these bytes."""
        ...

    async def write(self, number: int, data: Buffer) -> None:
        """Part ``number``, from 0; every part but the last has the same size. Any order, many at once."""
        ...

    async def commit(self) -> str:
        """Makes the object appear, whole. Returns as :meth:`Store.put`."""
        ...

    async def abort(self) -> bool:
        """Whether nothing is left behind. Never raises; safe after a failed commit."""
        ...


class Lapse(str):
    """A notice of something that was not done as promised, though the objects are there: the run ends with 2."""

    __slots__ = ()


class Store(Protocol):
    """A folder of objects."""

    address: Address
    notices: list[str]
    """What users should know about this store, found out during the run, each once. It only grows."""

    @property
    def requests(self) -> Counter[str]:
        """What was asked over the wire so far, by the cloud's name of the operation: the part that is billed."""
        ...

    @property
    def throttle_count(self) -> int:
        """How often a request had to be repeated because the store was overtaxed, or away."""
        ...

    def list(self, spans: Sequence[Span] = EVERYTHING) -> Listing:
        """The objects whose keys lie in one of the spans, which are ordered and apart."""
        ...

    async def open(self, entry: Entry, limit: int) -> Source:
        """The object as it is now, which may be newer than ``entry``. Raises :class:`NotFound` when it is gone."""
        ...

    def admit(self, key: str) -> None:
        """Raises :class:`Unsupported` when no object of that key can be here, whatever it holds."""
        ...

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> str:
        """Writes one object whole. Raises :class:`Unsupported` when this store cannot hold such a key.

        Returns the tag that a listing will show (:attr:`Entry.tag`); empty where the store does not tell.
        ``on_sent`` is called when nothing but a device is waited for any more, by stores that have one.
        """
        ...

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> Upload:
        """Starts a large object of exactly ``size`` bytes, in parts of ``part_size``. Raises as ``put`` does."""
        ...

    async def resume(self, key: str, token: str, size: int, part_size: int) -> Upload | None:
        """The upload that an earlier run began and did not end; None when the store knows it no more."""
        ...

    async def copy(self, source: Store, entry: Entry) -> str | None:
        """Copies an object on the server side; None when these two stores cannot.

        Returns as ``put``; empty also when it is not certain that ``entry`` is what was copied.
        """
        ...

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        """Checksums that are stored of this state's contents: base64, by S3's names of algorithms and ``MD5``.

        One request at most; nothing where nothing is stored, or the object is another one by now.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        """Deletes objects; those already gone count as deleted. Returns what failed, and does the rest."""
        ...

    async def tidy(self) -> None:
        """Removes what interrupted runs of keepstep left in this folder. To be called after a whole listing."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Appendable(Store, Protocol):
    """A store in which an object can be put on the condition that there is none of its key."""

    async def create(self, key: str, data: Buffer, content_type: str) -> None:
        """Puts one object whole. Raises :class:`Conflict` when there is one: of any number of writers one wins.

        Where the answer was lost and the request repeated, the existing object may be the one just put.
        """
        ...
