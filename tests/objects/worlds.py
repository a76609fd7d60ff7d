"""What the tests of the sync engine share: pages, stores that fail as they are told, and somebody who watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from keepstep.errors import Error
from keepstep.objects.plan import Direction, Rules
from keepstep.objects.sync import Sync
from keepstep.objects.wiring import SyncOptions
from keepstep.runs.report import Action, Failure, Report
from keepstep.stores.address import Address
from keepstep.stores.interface import EVERYTHING, Entry, Page, Span, Store
from keepstep.stores.local import LocalStore
from keepstep.testing.stores import MemoryStore

T = TypeVar("T")

examples = settings(deadline=None, derandomize=True, max_examples=150)
"""Hypothesis, the same examples every time."""

keys = st.text(alphabet="ab/-.0é", min_size=1, max_size=4)
"""Few different ones, so that two sides often share some; ``-`` and ``.`` sort before ``/``, ``0`` behind it."""

entries = st.builds(Entry, keys, st.integers(0, 2), st.integers(0, 2))
"""Sizes and times that are often equal."""


def page_of(items: Iterable[Entry]) -> Page:
    """In order; of two with one key the first."""
    page = Page()
    for _, entry in sorted({entry.key: entry for entry in reversed(list(items))}.items()):
        page.append(entry)
    return page


pages = st.lists(entries, max_size=12).map(page_of)


@dataclass
class Watcher:
    """An observer that remembers."""

    actions: list[Action] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    planned_objects: int = 0
    planned_bytes: int = 0
    bytes: int = 0

    def planned(self, objects: int, size: int) -> None:
        self.planned_objects += objects
        self.planned_bytes += size

    def moved(self, size: int) -> None:
        self.bytes += size

    def did(self, action: Action) -> None:
        self.actions.append(action)

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def words(self) -> list[str]:
        return sorted(f"{action.action} {action.target}" for action in self.actions)


class FixedListing:
    """Pages that were made beforehand; then, if there is one, an error."""

    def __init__(self, pages: Sequence[Page], error: BaseException | None = None) -> None:
        self.unreadable_prefixes: list[tuple[str, Error]] = []
        self.unrepresentable_names: list[tuple[str, str]] = []
        self._pages = pages
        self._error = error

    async def __aiter__(self) -> AsyncIterator[Page]:
        for page in self._pages:
            await asyncio.sleep(0)
            yield page
        if self._error:
            raise self._error


class FaultyStore:
    """A store whose listing, or whose operations on single objects, go wrong as they are told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.list_error: Error | None = None
        self.list_error_after = 0
        """Pages that come before it."""
        self.unreadable_prefixes: list[tuple[str, Error]] = []
        self.unrepresentable_names: list[tuple[str, str]] = []
        self.before: dict[str, Callable[..., Awaitable[None]]] = {}
        """By the name of a method: awaited with its arguments, and may raise."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        before = self.before.get(name)
        if before is None:
            return method

        async def call(*args: Any) -> Any:
            await before(*args)
            return await method(*args)

        return call

    def list(self, spans: Sequence[Span] = EVERYTHING) -> Any:
        return _FaultyListing(self, spans)


class _FaultyListing:
    def __init__(self, store: FaultyStore, spans: Sequence[Span]) -> None:
        self._store = store
        self._listing = store._store.list(spans)
        self.unrepresentable_names = store.unrepresentable_names

    @property
    def unreadable_prefixes(self) -> list[tuple[str, Error]]:
        return [*self._listing.unreadable_prefixes, *self._store.unreadable_prefixes]

    async def __aiter__(self) -> AsyncIterator[Page]:
        left = self._store.list_error_after
        async for page in self._listing:
            if self._store.list_error and not left:
                raise self._store.list_error
            left -= 1
            yield page
        if self._store.list_error and not left:
            raise self._store.list_error


def memory(contents: dict[str, bytes], *, time_us: int = 0, page_size: int = 1000) -> MemoryStore:
    store = MemoryStore(page_size=page_size)
    for key, data in contents.items():
        store.add(key, data, time_us=time_us)
    return store


def contents(store: MemoryStore | FaultyStore) -> dict[str, bytes]:
    return {key: stored.data for key, stored in store.objects.items()}


def options(*, delete: bool = False, direction: Direction = Direction.COPY, **more: Any) -> SyncOptions:
    return SyncOptions(more.pop("rules", None) or Rules(direction, delete=delete), **more)


def synced(source: Any, target: Any, given: SyncOptions | None = None) -> tuple[Report, Watcher]:
    """Runs one sync to its end."""

    async def main() -> tuple[Report, Watcher]:
        watcher = Watcher()
        report = await asyncio.wait_for(Sync(source, target, given or options(), watcher).run(), 60)
        return report, watcher

    return asyncio.run(main())


def local_sync(source: Path, target: Path, given: SyncOptions | None = None) -> tuple[Report, Watcher]:
    """From folder to folder."""

    async def main() -> tuple[Report, Watcher]:
        ours = LocalStore(Address("local", path=str(source)))
        theirs = LocalStore(Address("local", path=str(target)), writable=True)
        watcher = Watcher()
        try:
            return await Sync(ours, theirs, given or options(), watcher).run(), watcher
        finally:
            await ours.close()
            await theirs.close()

    return asyncio.run(main())


def raising(error: Exception, *keys: str) -> Callable[..., Awaitable[None]]:
    """For :attr:`FaultyStore.before`: fails for these keys, or always."""

    async def fail(*args: Any) -> None:
        key = args[0].key if args and isinstance(args[0], Entry) else args[0] if args else None
        if not keys or key in keys:
            raise error

    return fail
