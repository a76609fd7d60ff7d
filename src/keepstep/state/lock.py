"""Allows one run of a job at a time to all users of a SQLite state. The kernel frees the lock with its holder.

One file next to the state holds the locks of all jobs, each a byte whose offset is a hash of the job's name ("open
file description locks", fcntl(2)). Checking a lock does not take it. The file has the owner, group and mode of the
state, so that everybody who may use the state, and root, can use the locks.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keepstep.errors import ConfigError, Locked
from keepstep.permissions import denied_hint
from keepstep.state.files import opened

_FLOCK = struct.Struct("hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, process."""


@contextmanager
def only_run(job: str, state: Path) -> Iterator[None]:
    """Holds the job's lock. Raises :class:`Locked` at once if another run has it, and :class:`ConfigError`."""
    path = _path(state)
    try:
        descriptor = opened(path, like=state)
    except OSError as exc:
        own = "set [state] url to a path that this user can write"
        hint = denied_hint(path, exc) or "run as the owner of the state"
        raise ConfigError(
            f"cannot keep the lock of {job} in {path}: {exc.strerror}", hint=f"{hint}; or {own}"
        ) from exc
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(job))
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise ConfigError(f"cannot lock {path}: {exc.strerror}") from exc
            raise Locked(
                f"another run of {job} is in progress", hint="wait for it to finish, or see keepstep status"
            ) from None
        yield
    finally:
        os.close(descriptor)


def is_held(job: str, state: Path) -> bool:
    """Whether a run holds the job's lock. Raises :class:`ConfigError` if that cannot be determined."""
    path = _path(state)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ConfigError(f"cannot read the locks in {path}: {exc.strerror}") from exc
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request(job))
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def _path(state: Path) -> Path:
    return state.with_name(f"{state.name}.lock")


def _request(job: str) -> bytes:
    """The lock request for the byte of the job. A name may be any text, even with lone surrogates."""
    digest = hashlib.sha256(job.encode("utf-8", "surrogatepass")).digest()
    start = int.from_bytes(digest[:8], "big") >> 2
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
