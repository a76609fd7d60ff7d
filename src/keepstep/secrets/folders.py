"""The way to a file: every folder on it is opened from the one above, and a path that another user controls is
refused.

A folder that others can write is refused; a sticky one such as ``/tmp`` may be passed, but not hold the file. Links
on the way are followed where root owns the link and nobody else can write its folder (``/var/run``), and refused
elsewhere. So no link that somebody plants, now or meanwhile, leads a secret anywhere else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from keepstep.errors import ConfigError, Error, NotFound
from keepstep.permissions import denied_hint
from keepstep.secrets.delivery import FileAttributes
from keepstep.text import printable

_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
"""The kernel's own limit for one path (path_resolution(7))."""


@contextmanager
def opened(path: str, attributes: FileAttributes, *, create: bool) -> Iterator[int]:
    """A descriptor of the folder at an absolute path, for the time of the block.

    Raises :class:`NotFound` when it is missing and not to be made; :class:`ConfigError` when it is not a folder, or
    not to be trusted; :class:`Error` for what the file system refuses.
    """
    try:
        descriptor = _walk(path, attributes, create=create)
    except FileNotFoundError:
        raise NotFound(f"the folder {printable(path)} does not exist") from None
    except OSError as exc:
        raise Error(f"{printable(path)}: {exc.strerror}", hint=hint_for(path, exc)) from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(path: str, attributes: FileAttributes, *, create: bool) -> int:
    owners = {0, os.geteuid(), *([] if attributes.uid is None else [attributes.uid])}
    ahead = [name for name in path.split("/") if name not in ("", ".")][::-1]
    way = os.open("/", _WAY)
    links = 0
    try:
        _check(way, "/", path, owners, is_last=not ahead)
        while ahead:
            name = ahead.pop()
            try:
                inner = _enter(name, way, attributes, create=create)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP) or links == _MOST_LINKS:
                    raise
                links += 1
                destination = _trusted_link(name, way, path)
                ahead += [part for part in destination.split("/") if part not in ("", ".")][::-1]
                inner = os.open("/" if destination.startswith("/") else ".", _WAY, dir_fd=way)
            os.close(way)
            way = inner
            _check(way, name, path, owners, is_last=not ahead)
        # what is only a way cannot be synced
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=way)
    finally:
        os.close(way)


def _enter(name: str, way: int, attributes: FileAttributes, *, create: bool) -> int:
    try:
        return os.open(name, _WAY, dir_fd=way)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        make_folder(name, way, attributes)
    return os.open(name, _WAY, dir_fd=way)


def make_folder(name: str, parent: int, attributes: FileAttributes) -> None:
    """Makes a folder that has its mode from the start. Raises ``OSError``.

    The owner of the parent could put a link, or another folder of ours, in its place before a later chmod(2).
    The umask therefore loses its search bits, for good: what others may not read or write they still may not.
    """
    os.umask(os.umask(0o077) & ~0o711)
    os.mkdir(name, attributes.folder_mode, dir_fd=parent)


def _check(folder: int, name: str, path: str, owners: Collection[int], *, is_last: bool) -> None:
    state = os.fstat(folder)
    if state.st_uid not in owners:
        raise ConfigError(
            f"{printable(path)}: the folder {printable(name)} belongs to the user {state.st_uid}",
            hint="secrets are written into folders of root's, of the file's owner, or of the user that "
            f"this runs as, {os.geteuid()}",
        )
    if state.st_mode & _OTHERS and (is_last or not state.st_mode & stat.S_ISVTX):
        raise ConfigError(
            f"{printable(path)}: others can write the folder {printable(name)} (mode {state.st_mode & 0o7777:04o})",
            hint="chmod go-w, or deliver the secret elsewhere",
        )


def _trusted_link(name: str, folder: int, path: str) -> str:
    """Where the link leads."""
    link, place = os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(folder)
    if not stat.S_ISLNK(link.st_mode):
        raise ConfigError(f"{printable(path)}: {printable(name)} is not a folder")
    if link.st_uid != 0 or place.st_uid != 0 or place.st_mode & _OTHERS:
        raise ConfigError(
            f"the way to {printable(path)} leads over the link {printable(name)}, which is not root's alone",
            hint="name the folder that the link leads to",
        )
    return os.readlink(name, dir_fd=folder)


def hint_for(path: str, exc: OSError) -> str | None:
    return _HINTS.get(exc.errno or 0) or denied_hint(path, exc)


_HINTS: dict[int, str] = {
    errno.EPERM: "run as root: only root gives files away",
    errno.ENOSPC: "the file system is full; the last file stays, and the next run finishes",
    errno.EDQUOT: "the quota is used up; the last file stays, and the next run finishes",
}
