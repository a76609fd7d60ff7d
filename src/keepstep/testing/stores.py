"""A store in memory: the model that the others are held against, and the fast half of many tests."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from keepstep.errors import Conflict, Error
from keepstep.stores.address import Address
from keepstep.stores.interface import EVERYTHING, Buffer, Entry, Missing, OnSent, Page, Properties, Span, Store


@dataclass(slots=True)
class StoredObject:
    """One object's present state."""

    data: bytes
    time: int
    etag: str
    properties: Properties = field(default_factory=Properties)


class MemoryStore:
    """Holds objects in a dictionary. ``page_size`` keys make a page."""

    def __init__(self, name: str = "memory", *, page_size: int = 1000, address: Address | None = None) -> None:
        self.address = address or Address("local", path=f"/{name}", origin=f"memory {id(self):x}")
        self.requests: Counter[str] = Counter()
        self.throttle_count = 0
        self.notices: list[str] = []
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, MemoryUpload] = {}
        """Those that have neither been committed nor aborted."""
        self._order: list[str] = []
        self._page_size = page_size
        self._changes = 0

    def list(self, spans: Sequence[Span] = EVERYTHING) -> MemoryListing:
        return MemoryListing(self, spans)

    async def open(self, entry: Entry, limit: int) -> MemorySource:
        stored = self._get(entry.key)
        return MemorySource(self, entry.key, stored, limit)

    def admit(self, key: str) -> None:
        return

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> str:
        self.add(key, bytes(data), properties=properties)
        return self.objects[key].etag

    async def create(self, key: str, data: Buffer, content_type: str) -> None:
        if key in self.objects:
            raise Conflict(f"{self.address.of(key)} is there already")
        await self.put(key, data, Properties(content_type=content_type))

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
        return MemoryUpload(self, key, properties)

    async def resume(self, key: str, token: str, size: int, part_size: int) -> MemoryUpload | None:
        return self.uploads.get(token)

    async def copy(self, source: Store, entry: Entry) -> str | None:
        return None

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        return {}

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        for key in keys:
            if self.objects.pop(key, None):
                del self._order[bisect_left(self._order, key)]
        return {}

    async def tidy(self) -> None:
        return

    async def close(self) -> None:
        return

    def add(
        self, key: str, data: bytes, *, time_us: int | None = None, properties: Properties | None = None
    ) -> None:
        """Puts an object, at a time of the caller's choice: the way tests set a scene."""
        self._changes += 1
        if key not in self.objects:
            insort(self._order, key)
        self.objects[key] = StoredObject(
            data,
            time.time_ns() // 1000 if time_us is None else time_us,
            f"v{self._changes}",
            (properties or Properties())._replace(time=None),
        )

    def _get(self, key: str) -> StoredObject:
        try:
            return self.objects[key]
        except KeyError:
            raise Missing(f"{self.address.of(key)} is not there") from None


class MemoryListing:
    """Pages over a moment's keys."""

    def __init__(self, store: MemoryStore, spans: Sequence[Span]) -> None:
        self._spans = spans
        self.unreadable_prefixes: list[tuple[str, Error]] = []
        self.unrepresentable_names: list[tuple[str, str]] = []
        self._store = store

    async def __aiter__(self) -> AsyncIterator[Page]:
        store = self._store
        order = [key for key in store._order if any(span.holds(key) for span in self._spans)]
        for start in range(0, len(order), store._page_size):
            page = Page()
            for key in order[start : start + store._page_size]:
                if stored := store.objects.get(key):
                    page.append(Entry(key, len(stored.data), stored.time, stored.etag))
            yield page


class MemorySource:
    """An object as it was when it was opened."""

    def __init__(self, store: MemoryStore, key: str, stored: StoredObject, limit: int) -> None:
        self.size = len(stored.data)
        self.etag = stored.etag
        self.properties = stored.properties._replace(time=stored.time)
        self.first: Buffer = stored.data[:limit]
        self.proves = True
        self._store, self._key = store, key

    @property
    def state(self) -> str:
        return self.etag

    async def read(self, offset: int, length: int) -> Buffer:
        return self._unchanged().data[offset : offset + length]

    async def close(self) -> None:
        if len(self.first) < self.size:
            self._unchanged()

    def _unchanged(self) -> StoredObject:
        stored = self._store.objects.get(self._key)
        if stored is None or stored.etag != self.etag:
            raise Conflict(f"{self._store.address.of(self._key)} changed while it was read")
        return stored


class MemoryUpload:
    """Parts, kept apart until they are committed."""

    def __init__(self, store: MemoryStore, key: str, properties: Properties) -> None:
        self._store, self._key, self._properties = store, key, properties
        self._parts: dict[int, bytes] = {}
        self.token = f"upload-{id(self):x}"
        store.uploads[self.token] = self

    @property
    def done(self) -> frozenset[int]:
        return frozenset(self._parts)

    async def holds(self, number: int, data: Buffer) -> bool:
        return self._parts[number] == data

    async def write(self, number: int, data: Buffer) -> None:
        self._parts[number] = bytes(data)

    async def commit(self) -> str:
        data = b"".join(self._parts[number] for number in range(len(self._parts)))
        self._store.add(self._key, data, properties=self._properties)
        self._store.uploads.pop(self.token, None)
        return self._store.objects[self._key].etag

    async def abort(self) -> bool:
        self._store.uploads.pop(self.token, None)
        self._parts.clear()
        return True
