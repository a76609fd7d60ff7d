"""One file as it is found and replaced: whole under its name, or as it was before.

The new content is written under a name of its own, gets owner and mode on its descriptor, reaches the device, and
takes the old one's place in one step (rename(2)). Anybody who has the old one open keeps it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress

from keepstep.flush import flush
from keepstep.secrets.delivery import FileAttributes
from keepstep.secrets.diff import Is, Observed

_TEMPORARY = re.compile(r"\.keepstep-[0-9a-f]{16}\.part\Z")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Is.FILE,
    stat.S_IFLNK: Is.LINK,
    stat.S_IFDIR: Is.FOLDER,
    stat.S_IFIFO: Is.PIPE,
    stat.S_IFSOCK: Is.SOCKET,
}
_MOST = 16 * 1024 * 1024
"""Bytes; no vault has secrets of this size, so what is larger differs."""


def observe(folder: int, name: str) -> Observed:
    """What stands under a name; links are not followed. Raises ``OSError``."""
    try:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(state.st_mode), Is.DEVICE)
        if kind is not Is.FILE:
            return Observed(kind)
        descriptor = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        return Observed(Is.NOTHING)
    try:
        state = os.fstat(descriptor)
        content = _read(descriptor)
    finally:
        os.close(descriptor)
    return Observed(kind, content, stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid)


def _read(descriptor: int) -> bytes:
    chunks = []
    left = _MOST
    while left > 0 and (chunk := os.read(descriptor, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def replace(folder: int, name: str, content: bytes, attributes: FileAttributes, before: Callable[[], None]) -> None:
    """Puts a file in the place of what stands there. ``before`` is called when only the last step is left.

    Raises ``OSError``; what stood there then still does, and nothing else is left behind.
    """
    descriptor, temporary = _create(folder)
    try:
        write(descriptor, content, attributes)
        before()
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        temporary = ""
        flush(folder)
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
        os.close(descriptor)


def write(descriptor: int, content: bytes, attributes: FileAttributes) -> None:
    """Content, owner and mode, all of it on the device. No other user can open the file before the mode is set."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    settle(descriptor, attributes.mode, attributes)


def settle(descriptor: int, mode: int, attributes: FileAttributes) -> None:
    """Owner first, since changing it may take bits of the mode away (chown(2))."""
    if attributes.uid is not None or attributes.gid is not None:
        os.fchown(
            descriptor,
            -1 if attributes.uid is None else attributes.uid,
            -1 if attributes.gid is None else attributes.gid,
        )
    os.fchmod(descriptor, mode)
    flush(descriptor)


def _create(folder: int) -> tuple[int, str]:
    """A new file, locked, which says to another run's sweep that somebody still writes here."""
    while True:
        temporary = f".keepstep-{secrets.token_hex(8)}.part"
        descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=folder)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, temporary
        os.close(descriptor)  # swept before it was locked


def sweep(folder: int) -> None:
    """Removes the temporary files of runs that were killed; those of runs that live are locked."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if _TEMPORARY.match(name):
                with suppress(OSError):
                    _remove_unless_locked(folder, name)


def _remove_unless_locked(folder: int, name: str) -> None:
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(descriptor)
