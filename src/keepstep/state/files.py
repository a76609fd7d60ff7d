"""Files of the state: private, and usable by the owner of the state even if root created them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def ensure(path: Path) -> None:
    """Creates a missing file with its folder, and refuses an existing one that cannot be trusted.

    A file that exists is not opened: with the first descriptor of it that a process closes, the process loses the
    locks that SQLite holds on it (fcntl(2), "record locks"). Raises ``OSError``.
    """
    descriptor = _created(path, None)
    if descriptor is None:
        _check(path.lstat(), path)
    else:
        os.close(descriptor)


def opened(path: Path, *, like: Path | None = None) -> int:
    """Opens a file, and creates it with its folder if it is missing. Raises ``OSError``.

    A new file gets the owner, group and mode of ``like`` if that exists, otherwise the owner of its folder and
    0600. A file that belongs neither to this user, nor to root, nor to the folder's owner is refused: it was
    planted.
    """
    descriptor = _created(path, like)
    if descriptor is None:
        descriptor = os.open(path, _FLAGS & ~os.O_CREAT)
        try:
            _check(os.fstat(descriptor), path)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _created(path: Path, like: Path | None) -> int | None:
    """The descriptor of a new file; None if the file exists."""
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700, parents=True)
    try:
        descriptor = os.open(path, _FLAGS | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with suppress(OSError):
        _pass_on(descriptor, path, like)
    return descriptor


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a file")
    if found.st_uid not in (os.geteuid(), 0, path.parent.stat().st_uid):
        raise OSError(errno.EPERM, "it belongs to another user")


def _pass_on(descriptor: int, path: Path, like: Path | None) -> None:
    pattern = like.stat(follow_symlinks=False) if like and os.path.exists(like) else None
    folder = path.parent.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, *((pattern.st_uid, pattern.st_gid) if pattern else (folder.st_uid, folder.st_gid)))
    if pattern:
        os.fchmod(descriptor, stat.S_IMODE(pattern.st_mode) & 0o666)
