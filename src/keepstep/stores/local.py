"""A folder on this machine.

A file appears under its name whole or not at all: it is written to a temporary file in the folder of its final
place, with its final mode and time, flushed to the device, and renamed. What a killed run leaves is a temporary
file, locked while its writer lives, that the next run removes.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from keepstep.clouds.workers import Workers
from keepstep.errors import Conflict, Error, NotFound, Unsupported
from keepstep.stores.address import Address
from keepstep.stores.group_commit import GroupCommit
from keepstep.stores.interface import (
    EVERYTHING,
    Buffer,
    Entry,
    Lapse,
    Missing,
    OnSent,
    Page,
    Properties,
    Span,
    Store,
)
from keepstep.stores.local_files import (
    LocalSource,
    LocalUpload,
    State,
    TemporaryFile,
    remove_unless_locked,
    translated,
)
from keepstep.stores.local_names import escaped
from keepstep.stores.local_paths import components, fail, open_folder, open_root, printable
from keepstep.stores.local_tree import FOLDER, Walk
from keepstep.stores.names_on_device import NamesOnDevice

_SMALL = 64 * 1024
"""Files up to this many bytes are read on the spot, as long as that is quick."""
_ATTEMPTS = 3
"""How often a small file that changes while it is read is read again."""


class LocalStore:
    """Files beneath one folder. As a target (``writable``) the folder may be missing and is made when needed."""

    def __init__(
        self,
        address: Address,
        *,
        writable: bool = False,
        follow: bool = True,
        escapes: bool = False,
        tells_states: bool = False,
        apart_from: Sequence[str] = (),
        is_relied_on: bool = False,
    ) -> None:
        """With ``escapes`` keys that cannot be names are written as :mod:`keepstep.stores.local_names` has it.

        With ``tells_states`` the ETag of a file in a listing is its state. The folders ``apart_from`` are in no
        listing, whatever leads to them. With ``is_relied_on`` a file that was put survives a crash of the machine
        under its name: something else is deleted then. Without it, that is so from the first delete here on.
        """
        self.address = address
        self.path = os.path.abspath(address.path)
        self.requests: Counter[str] = Counter()
        self.throttle_count = 0
        self.notices: list[str] = []
        self._writable = writable
        self._follow = follow and not writable
        self._escapes = escapes
        self._tells_states = tells_states
        self._apart_from = apart_from
        self._leftovers: list[str] = []
        self._workers = Workers()
        self._group = GroupCommit(self._workers)
        self._names_on_device = NamesOnDevice(self._workers, self._reopened, self._note_lapse)
        self._is_relied_on = is_relied_on
        self._root: int | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def list(self, spans: Sequence[Span] = EVERYTHING) -> LocalListing:
        walk = Walk(
            self.path,
            spans=spans,
            follow=self._follow,
            is_source=not self._writable,
            tells_states=self._tells_states,
            escapes=self._escapes,
            apart_from=self._apart_from,
            root=self._root_for_reading,
        )
        self._leftovers = walk.leftovers
        return LocalListing(walk, self._workers, may_be_missing=self._writable)

    def admit(self, key: str) -> None:
        self._names(key)

    async def open(self, entry: Entry, limit: int) -> LocalSource:
        acquire = self._workers.acquire_briefly if entry.size <= _SMALL else self._workers.acquire
        return await acquire(lambda: self._open(entry.key, limit), LocalSource.discard)

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> State:
        acquire = self._workers.acquire_briefly if len(data) <= _SMALL else self._workers.acquire
        temporary = await acquire(lambda: self._write(key, data, properties), TemporaryFile.remove)
        appeared = self._group.appear(temporary)
        if on_sent:
            on_sent()
        await appeared
        await self._has_appeared(key, temporary)
        return temporary.state

    async def _has_appeared(self, key: str, temporary: TemporaryFile) -> None:
        self._names_on_device.add(temporary.device, key)
        if self._is_relied_on:
            await self._names_on_device.flush()

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> LocalUpload:
        temporary = await self._workers.acquire(lambda: self._create(key), TemporaryFile.remove)
        done = partial(self._has_appeared, key, temporary)
        return LocalUpload(self._workers, temporary, size, part_size, properties.time, done)

    async def resume(self, key: str, token: str, size: int, part_size: int) -> LocalUpload | None:
        return None

    async def copy(self, source: Store, entry: Entry) -> str | None:
        return None

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        return {}

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        await self._names_on_device.flush()
        return await self._workers.run(self._delete, keys)

    async def tidy(self) -> None:
        """Removes the temporary files that the listing met and whose writers are gone."""
        if self._leftovers:
            await self._workers.run(self._sweep, self._leftovers)

    async def close(self) -> None:
        await self._group.finish()
        self._workers.close()
        with self._lock:
            self._is_closed = True
            if self._root is not None:
                os.close(self._root)
                self._root = None

    # what follows runs in the workers' threads

    def _open(self, key: str, limit: int) -> LocalSource:
        names = self._names(key)
        path = os.path.join(self.path, *names)
        try:
            for _ in range(_ATTEMPTS):
                source = self._opened(path, names, limit)
                if source.is_steady():
                    return source
        except FileNotFoundError:
            raise Missing(f"{printable(path)} is no longer there") from None
        except OSError as exc:
            if exc.errno == errno.ELOOP and not self._follow:
                raise Unsupported(f"{printable(path)} is a link by now, and is not followed") from exc
            fail(path, exc)
        raise Conflict(f"{printable(path)} keeps changing while it is read")

    def _opened(self, path: str, names: Sequence[str], limit: int) -> LocalSource:
        if self._follow:
            return LocalSource(self._workers, path, limit)
        # From the root down: a folder may have been replaced by a link since it was listed.
        folder = self._folder(names[:-1], create=False)
        try:
            return LocalSource(self._workers, path, limit, folder=folder)
        finally:
            os.close(folder)

    def _write(self, key: str, data: Buffer, properties: Properties) -> TemporaryFile:
        temporary = self._create(key)
        try:
            temporary.write(data, 0)
            temporary.complete(properties.time, len(data))
        except BaseException:
            temporary.remove()
            raise
        return temporary

    def _create(self, key: str) -> TemporaryFile:
        *above, name = self._names(key)
        with translated(self.address.of(key)):
            folder = self._folder(above, create=True)
            return TemporaryFile(folder, name, self.address.of(key), self._note_lapse)

    def _delete(self, keys: Sequence[str]) -> dict[str, Error]:
        failures: dict[str, Error] = {}
        for key in keys:
            try:
                *above, name = self._names(key)
                with translated(self.address.of(key)), suppress(FileNotFoundError):
                    self._unlink(above, name)
            except Error as exc:
                failures[key] = exc
        return failures

    def _reopened(self, key: str) -> int:
        """The folder that a key is in, for reading."""
        folder = self._folder(self._names(key)[:-1], create=False)
        try:
            return os.open(".", FOLDER, dir_fd=folder)
        finally:
            os.close(folder)

    def _root_for_reading(self) -> int:
        return self._reopened("-")

    def _note_lapse(self, what: str, exc: OSError) -> None:
        why = f"{printable(self.address.path)}: {what} here ({exc.strerror}); the objects were transferred anyway"
        with self._lock:
            if why not in self.notices:
                self.notices.append(Lapse(why))

    def _names(self, key: str) -> Sequence[str]:
        return components(escaped(key) if self._escapes else key)

    def _unlink(self, above: Sequence[str], name: str) -> None:
        folder = self._folder(above, create=False)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def _sweep(self, leftovers: Sequence[str]) -> None:
        for key in leftovers:
            with suppress(OSError, Error):
                way, _, name = key.rpartition("/")
                above = self._names(way) if way else []
                folder = self._folder(above, create=False)
                try:
                    remove_unless_locked(name, folder)
                finally:
                    os.close(folder)

    def _folder(self, names: Sequence[str], *, create: bool) -> int:
        """A descriptor of the caller's own."""
        with self._lock:
            if self._is_closed:
                raise Error(f"{self.address}: the store has been closed")
            if self._root is None and self._writable:
                self._root = open_root(self.path, create=create)
            elif self._root is None:  # a source is what the user named, whatever links lead there
                self._root = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            root = os.dup(self._root)
        return open_folder(root, names, create=create)


class LocalListing:
    """A walk of the folder in a thread, page by page."""

    def __init__(self, walk: Walk, workers: Workers, *, may_be_missing: bool) -> None:
        self.unreadable_prefixes = walk.unreadable_prefixes
        self.unrepresentable_names = walk.unrepresentable_names
        self._walk = walk
        self._workers = workers
        self._may_be_missing = may_be_missing

    async def __aiter__(self) -> AsyncIterator[Page]:
        pages = self._walk.pages()
        try:
            while (page := await self._workers.run(_next_page, pages)) is not None:
                yield page
        except NotFound:
            if not self._may_be_missing:
                raise


def _next_page(pages: Iterator[Page]) -> Page | None:
    return next(pages, None)
