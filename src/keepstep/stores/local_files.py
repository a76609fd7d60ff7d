"""Files as they are read and written: one state of a file or an error, whole under its name or not at all."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from keepstep.clouds.blocks import BLOCKS, LEAST
from keepstep.clouds.workers import Workers
from keepstep.errors import Conflict, Corrupt, Unsupported
from keepstep.flush import NO_FLUSH, flush
from keepstep.stores.interface import Buffer, Properties
from keepstep.stores.local_paths import fail, printable

State = str
"""Of a file: ``device-inode-size-mtime-ctime`` in hex, times in nanoseconds. Changes whenever the file does."""

OnLapse = Callable[[str, OSError], None]
"""Told what could not be done, and how the file system refused it. Called in any thread."""

_NO_TIMES = NO_FLUSH | {errno.EPERM}
"""How file systems say that times are not to be set: they belong to somebody else there, or to nobody."""

_DIRECT = getattr(os, "O_DIRECT", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalSource:
    """One open file. Its size, time and identity are those of the moment it was opened.

    With ``folder``, the descriptor of the folder that it is in, no link is followed to it; without, every link.
    Raises ``OSError`` where it cannot be opened, and :class:`Unsupported` when it is no regular file.
    """

    def __init__(self, workers: Workers, path: str, limit: int, *, folder: int | None = None) -> None:
        self._workers = workers
        self._path = path
        # O_NONBLOCK: a named pipe that took the file's place must not block the run.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        if folder is None:
            self._descriptor = os.open(path, flags)
        else:
            self._descriptor = os.open(os.path.basename(path), flags | os.O_NOFOLLOW, dir_fd=folder)
        try:
            self._state = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._state.st_mode):
                raise Unsupported(f"{printable(path)} is not a regular file any more")
            self.size = self._state.st_size
            self.first: Buffer = self._read_first(limit)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.etag = ""
        self.proves = True
        self.properties = Properties(time=self._state.st_mtime_ns // 1000)
        self._limit = limit

    @property
    def state(self) -> State:
        return state_of(self._state)

    def is_steady(self) -> bool:
        """False when it is to be opened again. A small file is read by now: it is closed."""
        if self.size > self._limit:
            return True
        try:
            return len(self.first) == self.size and not self._has_changed(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    async def read(self, offset: int, length: int) -> Buffer:
        return await self._workers.run(self._read, offset, length)

    async def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            await self._workers.run(self._close, descriptor)

    def discard(self) -> None:
        """Closes it, for a caller who is gone."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_first(self, limit: int) -> Buffer:
        if min(limit, self.size) >= LEAST:
            block = BLOCKS.take(min(limit, self.size))
            return block[: self._fill(block, 0)]
        # One byte more than expected shows a file that grows.
        data = os.read(self._descriptor, min(limit, self.size + 1))
        while len(data) < min(limit, self.size) and (
            more := os.read(self._descriptor, min(limit, self.size) - len(data))
        ):
            data += more
        return data

    def _read(self, offset: int, length: int) -> Buffer:
        data = BLOCKS.take(length) if length >= LEAST else memoryview(bytearray(length))
        with translated(self._path):
            if self._fill(data, offset) < length:
                raise Conflict(f"{printable(self._path)} became shorter while it was read")
        return data

    def _fill(self, view: memoryview, offset: int) -> int:
        """Reads until the view is full or the file ends; returns how many bytes came."""
        filled = 0
        while filled < len(view) and (count := os.preadv(self._descriptor, [view[filled:]], offset + filled)):
            filled += count
        return filled

    def _close(self, descriptor: int) -> None:
        try:
            has_changed = self._has_changed(descriptor)
        finally:
            os.close(descriptor)
        if has_changed:
            raise Conflict(f"{printable(self._path)} changed while it was read")

    def _has_changed(self, descriptor: int) -> bool:
        now, then = os.fstat(descriptor), self._state
        # The change time shows also what sets the modification time back. Both are as fine as the kernel's clock
        # for files: before Linux 6.13 that is a tick of some milliseconds.
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (then.st_size, then.st_mtime_ns, then.st_ctime_ns)


class TemporaryFile:
    """A file without its name yet. Takes over the descriptor of its folder. Safe to use from several threads."""

    def __init__(self, folder: int, name: str, path: str, on_lapse: OnLapse | None = None) -> None:
        """``on_lapse`` is called with what the file system cannot do."""
        self._path = path
        self._on_lapse = on_lapse
        self._folder = folder
        self._name = name
        self.state: State = ""
        """Once it has appeared."""
        self.is_direct = False
        """Whether what is written goes to the device at once (docs/adr/0004-large-files.md)."""
        # A thread may still have a part in hand when the file is removed, and its descriptor given to another one.
        self._lock = threading.Lock()
        try:
            self._descriptor = self._create()
        except BaseException:
            os.close(folder)
            raise

    def _create(self) -> int:
        """Locked, which says to another run's sweep that somebody still writes here."""
        while True:
            self._temporary = f".keepstep-{os.urandom(8).hex()}.part"
            descriptor = os.open(self._temporary, _CREATE, 0o666, dir_fd=self._folder)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            state = os.fstat(descriptor)
            if state.st_nlink:
                self.device = state.st_dev
                return descriptor
            os.close(descriptor)  # swept before it was locked

    def write(self, data: Buffer, offset: int) -> None:
        view = memoryview(data)
        with self._lock, translated(self._path):
            written = self._write_direct(view, offset) if self.is_direct else 0
            while written < len(view):
                written += os.pwrite(self._open(), view[written:], offset + written)

    def _write_direct(self, view: memoryview, offset: int) -> int:
        """Writes past the page cache what begins and ends on a page; returns how many bytes those were.

        Not every file system can, nor any buffer (open(2), O_DIRECT): then it is not tried again.
        """
        whole = len(view) - len(view) % mmap.PAGESIZE
        if not whole or offset % mmap.PAGESIZE:
            return 0
        descriptor = self._open()
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        written = 0
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT)
            while written < whole and not written % mmap.PAGESIZE:
                written += os.pwrite(descriptor, view[written:whole], offset + written)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            self.is_direct = False
        finally:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        return written

    def complete(self, time: int | None, size: int) -> None:
        """Checks that the file has ``size`` bytes, and gives it its time."""
        with self._lock, translated(self._path):
            descriptor = self._open()
            if os.fstat(descriptor).st_size != size:
                raise Corrupt(f"{printable(self._path)} did not arrive whole")
            if time is not None:
                self._set_time(descriptor, time)

    def flush_file_system(self, syncfs: Callable[[int], bool]) -> bool:
        """Whether everything written to this file's file system so far is on the device now."""
        with self._lock:
            return self._descriptor >= 0 and syncfs(self._descriptor)

    def appear(self, *, is_flushed: bool = False) -> None:
        """Gives a complete file its name, once it is on the device."""
        with self._lock, translated(self._path):
            if not is_flushed:
                refusal = flush(self._open())
                if refusal and self._on_lapse:
                    self._on_lapse("files cannot be flushed to the device", refusal)
            self._rename()
            self._temporary = ""
            self.state = state_of(os.fstat(self._open()))

    def remove(self) -> None:
        """Leaves nothing open, and nothing behind but a file that has appeared. Never raises; may be repeated."""
        with self._lock:
            if self._descriptor < 0:
                return
            with suppress(OSError):
                if self._temporary:
                    os.unlink(self._temporary, dir_fd=self._folder)
            for descriptor in (self._descriptor, self._folder):
                with suppress(OSError):
                    os.close(descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        if self._descriptor < 0:
            raise Conflict(f"{printable(self._path)}: the upload has ended")
        return self._descriptor

    def _set_time(self, descriptor: int, time: int) -> None:
        """A file system that cannot do this at all is no reason to leave a whole file out."""
        try:
            os.utime(descriptor, ns=(time * 1000, time * 1000))
        except OSError as exc:
            if exc.errno not in _NO_TIMES:
                raise
            if self._on_lapse:
                self._on_lapse("times of files cannot be set", exc)

    def _rename(self) -> None:
        try:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except IsADirectoryError:
            # An empty folder is not a key, and gives way.
            with suppress(OSError):
                os.rmdir(self._name, dir_fd=self._folder)
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)


class LocalUpload:
    """A large file, its parts written in place."""

    token = ""
    done: frozenset[int] = frozenset()

    def __init__(
        self,
        workers: Workers,
        temporary: TemporaryFile,
        size: int,
        part_size: int,
        time: int | None,
        on_appeared: Callable[[], Awaitable[None]],
    ) -> None:
        """``on_appeared`` is called, and waited for, when the file has its name."""
        self._workers = workers
        self._temporary = temporary
        self._size = size
        self._part_size = part_size
        self._time = time
        self._on_appeared = on_appeared
        temporary.is_direct = True

    async def holds(self, number: int, data: Buffer) -> bool:
        return False

    async def write(self, number: int, data: Buffer) -> None:
        await self._workers.run(self._temporary.write, data, number * self._part_size)

    async def commit(self) -> State:
        await self._workers.run(self._appear)
        await self.abort()
        await self._on_appeared()
        return self._temporary.state

    def _appear(self) -> None:
        self._temporary.complete(self._time, self._size)
        self._temporary.appear()

    async def abort(self) -> bool:
        await self._workers.run(self._temporary.remove)
        return True


def state_of(seen: os.stat_result) -> State:
    return f"{seen.st_dev:x}-{seen.st_ino:x}-{seen.st_size:x}-{seen.st_mtime_ns:x}-{seen.st_ctime_ns:x}"


def remove_unless_locked(name: str, folder: int) -> None:
    """Removes a temporary file whose writer is gone. Raises ``OSError`` when it lives, or the file is not a
    file."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(descriptor)


class translated:  # noqa: N801 - reads as a sentence
    """Translates refusals of the file system into errors that name the path. A class: it is used several times a
    file."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, IsADirectoryError | NotADirectoryError):
            why = "a folder stands where the file would have to be"
            raise Unsupported(f"{printable(self._path)}: {why}") from error
        if isinstance(error, OSError):
            fail(self._path, error)
