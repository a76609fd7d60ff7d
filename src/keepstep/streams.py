"""Standard streams that are closed, full or no longer read do not end a run, or corrupt a file.

Output that cannot be written is dropped, with one warning on standard error; exit codes stay those of the run. A
closed descriptor below 3 would be reused for the first opened file, and terminal output would be written into it:
it is opened onto /dev/null first.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any

_NOBODY = (errno.EPIPE, errno.EBADF)
"""The reader is gone, or the stream was never open: not worth a warning."""


def secure() -> None:
    """Call this first. Leaves replaced streams alone; calling it again does nothing."""
    closed = {fd for fd in range(3) if _opened_onto_nothing(fd)}
    if sys.stdin is None or 0 in closed:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lasting(fd, stream))


def _opened_onto_nothing(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        found = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is this one
        os.set_inheritable(found, True)
        return True
    return False


def _lasting(fd: int, stream: Any) -> io.TextIOWrapper:
    errors = getattr(stream, "errors", "strict")
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(fd)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace" if errors == "strict" else errors,
        # python -u, and PYTHONUNBUFFERED, which images set: each line at once.
        line_buffering=getattr(stream, "line_buffering", fd == 2) or getattr(stream, "write_through", False),
    )


class _Lasting(io.RawIOBase):
    """A descriptor. After a failed write, everything written is dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        while not self._is_lost:
            try:
                return os.write(self._fd, view)
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError as exc:
                self._is_lost = True
                if exc.errno not in _NOBODY and self._fd == 1 and sys.stderr is not None:
                    sys.stderr.write(f"warning: standard output cannot be written: {exc.strerror}\n")
        return len(view)
