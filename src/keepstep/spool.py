"""A buffer: in memory while it is small, in an unnamed file once it is large."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from typing import Any, BinaryIO

from keepstep.errors import Error

_BLOCK = 64 * 1024
"""Bytes written to the file at a time."""


class Spool:
    """A queue of bytes: writes append and reads consume, in any order."""

    def __init__(self, in_memory: int) -> None:
        self._file: BinaryIO | None = None
        self._size = 0
        """Bytes in the file."""
        self._tail = bytearray()
        self._most = in_memory

    def write(self, data: bytes) -> None:
        """Appends. Raises :class:`Error` if the temporary folder is full; the data then stays in memory."""
        self._tail += data
        if len(self._tail) >= self._most:
            try:
                self._spill()
            except OSError as exc:
                self._most = 2 * len(self._tail)
                raise _refused(exc) from exc

    def reader(self) -> io.BufferedReader:
        """Reads what has been written so far."""
        return io.BufferedReader(_Reader(self._file, self._size, bytes(self._tail)), _BLOCK)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._size, self._tail = None, 0, bytearray()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        written = 0
        while written < len(self._tail):
            with memoryview(self._tail) as view:
                written += os.pwrite(self._file.fileno(), view[written:], self._size + written)
        self._size += written
        self._tail.clear()
        self._most = _BLOCK


class _Reader(io.RawIOBase):
    def __init__(self, file: BinaryIO | None, size: int, tail: bytes) -> None:
        self._file = file
        self._size = size
        self._tail = memoryview(tail)
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        ahead = self._size - self._offset
        if self._file is not None and ahead > 0:
            count = os.preadv(self._file.fileno(), [memoryview(buffer)[:ahead]], self._offset)
        else:
            part = self._tail[-ahead : -ahead + len(buffer)]
            count = len(part)
            buffer[:count] = part
        self._offset += count
        return count


def _refused(exc: OSError) -> Error:
    hints = {
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.ENFILE: "the limit of open files is reached",
    }
    folder = tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - to name it
    return Error(
        f"cannot write to the temporary folder {folder}: {exc.strerror}",
        hint=hints.get(exc.errno or 0, "free space there, or name a folder that has some: TMPDIR=/path"),
    )
