"""A folder on this machine.

A file appears under its name whole or not at all: it is written to a temporary file beside its final place,
with its final mode and time, flushed to the device, and renamed. What a killed run leaves is a temporary file,
locked while its writer lives, that the next run removes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress

from keepstep.errors import Conflict, Error, NotFound, Unsupported
from keepstep.stores import local_tree
from keepstep.stores.address import Address
from keepstep.stores.interface import Buffer, Entry, Page, Properties, Store
from keepstep.stores.local_tree import Walk, components, open_folder
from keepstep.stores.workers import Workers

_ATTEMPTS = 3
"""How often a small file that changes while it is read is read again."""


class LocalStore:
    """Files beneath one folder. As a target (``writable``) the folder may be missing and is made when needed."""

    def __init__(self, address: Address, *, writable: bool = False) -> None:
        self.address = address
        self.path = os.path.abspath(address.path)
        self.requests: Counter[str] = Counter()
        self._writable = writable
        self._leftovers: list[str] = []
        self._workers = Workers()
        self._root: int | None = None
        self._lock = threading.Lock()

    def list(self) -> LocalListing:
        walk = Walk(self.path, follow=not self._writable)
        self._leftovers = walk.leftovers
        return LocalListing(walk, self._workers, may_be_missing=self._writable)

    async def open(self, entry: Entry, limit: int) -> LocalSource:
        return await self._workers.run(self._open, entry.key, limit)

    async def put(self, key: str, data: Buffer, properties: Properties) -> None:
        await self._workers.run(self._put, key, data, properties)

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> LocalUpload:
        temporary = await self._workers.run(self._create, key)
        return LocalUpload(self._workers, temporary, part_size, properties.time)

    async def copy(self, source: Store, entry: Entry) -> bool:
        return False

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        return await self._workers.run(self._delete, keys)

    async def tidy(self) -> None:
        """Removes the temporary files that the listing met and whose writers are gone."""
        if self._leftovers:
            await self._workers.run(self._sweep, self._leftovers)

    async def close(self) -> None:
        self._workers.close()
        if self._root is not None:
            os.close(self._root)
            self._root = None

    # what follows runs in the workers' threads

    def _open(self, key: str, limit: int) -> LocalSource:
        path = os.path.join(self.path, key)
        try:
            for _ in range(_ATTEMPTS):
                source = LocalSource(self._workers, path, limit)
                if source.is_whole_and_steady():
                    return source
        except FileNotFoundError:
            raise NotFound(f"{local_tree.printable(path)} is no longer there") from None
        except OSError as exc:
            local_tree.fail(path, exc)
        raise Conflict(f"{local_tree.printable(path)} keeps changing while it is read")

    def _put(self, key: str, data: Buffer, properties: Properties) -> None:
        temporary = self._create(key)
        try:
            temporary.write(data, 0)
            temporary.appear(properties.time)
        finally:
            temporary.remove()

    def _create(self, key: str) -> TemporaryFile:
        names = components(key)
        with _translated(os.path.join(self.path, key)):
            folder = open_folder(self._root_descriptor(), names[:-1], create=True)
            return TemporaryFile(folder, names[-1], os.path.join(self.path, key))

    def _delete(self, keys: Sequence[str]) -> dict[str, Error]:
        failures: dict[str, Error] = {}
        for key in keys:
            try:
                names = components(key)
                with _translated(os.path.join(self.path, key)), suppress(FileNotFoundError):
                    folder = open_folder(self._root_descriptor(), names[:-1], create=False)
                    try:
                        os.unlink(names[-1], dir_fd=folder)
                    finally:
                        os.close(folder)
            except Error as exc:
                failures[key] = exc
        return failures

    def _sweep(self, leftovers: Sequence[str]) -> None:
        for key in leftovers:
            with suppress(OSError, Error):
                *above, name = key.split("/")
                folder = open_folder(self._root_descriptor(), above, create=False)
                try:
                    _remove_unless_locked(name, folder)
                finally:
                    os.close(folder)

    def _root_descriptor(self) -> int:
        with self._lock:
            if self._root is None:
                os.makedirs(self.path, exist_ok=True)
                self._root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            return self._root


class LocalListing:
    """A walk of the folder in a thread, page by page."""

    def __init__(self, walk: Walk, workers: Workers, *, may_be_missing: bool) -> None:
        self.holes = walk.holes
        self.strays = walk.strays
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


class LocalSource:
    """One open file. Its size, time and identity are those of the moment it was opened."""

    def __init__(self, workers: Workers, path: str, limit: int) -> None:
        self._workers = workers
        self._path = path
        # O_NONBLOCK: a named pipe that took the file's place must not hold us.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._state = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._state.st_mode):
                raise Unsupported(f"{local_tree.printable(path)} is not a regular file any more")
            self.size = self._state.st_size
            # One byte more than expected shows a file that grows.
            self.first: Buffer = os.read(self._descriptor, min(limit, self.size + 1))
        except BaseException:
            os.close(self._descriptor)
            raise
        self.etag = ""
        self.properties = Properties(time=self._state.st_mtime_ns // 1000)

    def is_whole_and_steady(self) -> bool:
        """False when to open it again. A small file is read by now: it is closed, and must not have changed."""
        if self.size > len(self.first) > 0:
            return True
        try:
            return self.size == len(self.first) and not self._has_changed()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    async def read(self, offset: int, length: int) -> Buffer:
        return await self._workers.run(self._read, offset, length)

    async def close(self) -> None:
        if self._descriptor >= 0:
            await self._workers.run(self._close)

    def _read(self, offset: int, length: int) -> Buffer:
        data = bytearray(length)
        view = memoryview(data)
        with _translated(self._path):
            while view:
                count = os.preadv(self._descriptor, [view], offset)
                if not count:
                    raise Conflict(f"{local_tree.printable(self._path)} became shorter while it was read")
                view, offset = view[count:], offset + count
        return data

    def _close(self) -> None:
        has_changed = self._has_changed()
        os.close(self._descriptor)
        self._descriptor = -1
        if has_changed:
            raise Conflict(f"{local_tree.printable(self._path)} changed while it was read")

    def _has_changed(self) -> bool:
        now, then = os.fstat(self._descriptor), self._state
        return (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns)


class TemporaryFile:
    """A file without its name yet. Takes over the descriptor of its folder."""

    def __init__(self, folder: int, name: str, path: str) -> None:
        self.path = path
        self._folder = folder
        self._name = name
        self._temporary = f".keepstep-{secrets.token_hex(8)}.part"
        try:
            self.descriptor = os.open(
                self._temporary,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o666,
                dir_fd=folder,
            )
            with suppress(OSError):  # says to another run's sweep that somebody still writes here
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(folder)
            raise

    def write(self, data: Buffer, offset: int) -> None:
        view = memoryview(data)
        with _translated(self.path):
            while view:
                count = os.pwrite(self.descriptor, view, offset)
                view, offset = view[count:], offset + count

    def appear(self, time: int | None) -> None:
        """Gives the file its time and its name, once its bytes are on the device."""
        with _translated(self.path):
            if time is not None:
                os.utime(self.descriptor, ns=(time * 1000, time * 1000))
            os.fsync(self.descriptor)
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""

    def remove(self) -> None:
        """Leaves nothing open, and nothing behind but a file that has appeared. Safe to call twice."""
        if self._folder < 0:
            return
        with suppress(OSError):
            if self._temporary:
                os.unlink(self._temporary, dir_fd=self._folder)
        os.close(self.descriptor)
        os.close(self._folder)
        self._folder = -1


class LocalUpload:
    """A large file, its parts written in place."""

    def __init__(self, workers: Workers, temporary: TemporaryFile, part_size: int, time: int | None) -> None:
        self._workers = workers
        self._temporary = temporary
        self._part_size = part_size
        self._time = time

    async def write(self, number: int, data: Buffer) -> None:
        await self._workers.run(self._temporary.write, data, number * self._part_size)

    async def commit(self) -> None:
        await self._workers.run(self._temporary.appear, self._time)
        await self.abort()

    async def abort(self) -> None:
        await self._workers.run(self._temporary.remove)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except (IsADirectoryError, NotADirectoryError) as exc:
        raise Unsupported(f"{local_tree.printable(path)}: a folder stands where the file would have to be") from exc
    except OSError as exc:
        local_tree.fail(path, exc)


def _next_page(pages: Iterator[Page]) -> Page | None:
    return next(pages, None)


def _remove_unless_locked(name: str, folder: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(descriptor)
