"""How a key becomes a file, and how to reach it without ever leaving the folder.

Every component is opened from the descriptor of the one above with ``O_NOFOLLOW``, so that no key and no link, also
none that is planted meanwhile, leads anywhere else.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from keepstep.errors import ConfigError, Error, Unsupported
from keepstep.permissions import denied_hint
from keepstep.text import printable as printable

TEMPORARY = re.compile(r"\.keepstep-[0-9a-f]{16}\.part\Z")
"""Names of files that are being written. They are not keys, and never leave this machine."""

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_MAX = 255
_MOST_LINKS = 40
"""The kernel's own limit for one path (path_resolution(7))."""


def components(key: str) -> list[str]:
    """The names a key is made of, each fit to be a file's. Raises :class:`Unsupported` with the reason."""
    names = key.split("/")
    if why := next(filter(None, map(_objection_to, names)), ""):
        raise Unsupported(f"{printable(key)} cannot be a file here: {why}")
    if TEMPORARY.match(names[-1]):
        raise Unsupported(f"{printable(key)} cannot be a file here: the name is reserved for unfinished files")
    return names


def _objection_to(name: str) -> str:
    if name in ("", ".", ".."):
        return f"the part {name!r}" if name else "an empty part"
    if "\0" in name:
        return "a NUL character"
    if not name.isascii() and not is_utf8(name):
        return "a part is not UTF-8"
    if len(name) > _NAME_MAX // 4 and len(name.encode()) > _NAME_MAX:
        return f"a part is longer than {_NAME_MAX} bytes"
    return ""


def open_folder(descriptor: int, names: Sequence[str], *, create: bool) -> int:
    """The folder ``names`` beneath ``descriptor``, which it takes over; made where missing if ``create`` is set.

    Raises :class:`Unsupported` when a file or a link stands on the way, ``FileNotFoundError`` when it is missing.
    """
    for depth, name in enumerate(names):
        try:
            inner = _enter(name, descriptor, create=create)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            what = "a link" if is_link(name, descriptor) else "a file"
            way = printable("/".join(names[: depth + 1]))
            raise Unsupported(f"{what} stands where the folder {way} would have to be") from exc
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def open_root(path: str, *, create: bool) -> int:
    """The folder at an absolute path. Links on the way to it are followed only where nobody else can have set them.

    Raises :class:`ConfigError` for other links and where no folder is, ``FileNotFoundError`` when it is missing.
    """
    descriptor = os.open("/", _FOLDER)
    ahead = path.split("/")[::-1]
    links = 0
    try:
        while ahead:
            name = ahead.pop() or "."
            try:
                inner = _enter(name, descriptor, create=create)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP) or links == _MOST_LINKS:
                    raise
                links += 1
                destination = _trusted_link(name, descriptor, path)
                ahead += destination.split("/")[::-1]
                inner = os.open("/" if destination.startswith("/") else ".", _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _enter(name: str, descriptor: int, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=descriptor)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):  # another transfer was faster
        os.mkdir(name, dir_fd=descriptor)
    return os.open(name, _FOLDER, dir_fd=descriptor)


def _trusted_link(name: str, folder: int, path: str) -> str:
    """Where the link leads. It must be root's or ours, in a folder to which nobody else can write."""
    link, place = os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(folder)
    if not stat.S_ISLNK(link.st_mode):
        raise ConfigError(
            f"{printable(path)} is not a folder", hint="sync works on folders; name the folder it is in"
        )
    ours = (0, os.geteuid())
    if link.st_uid not in ours or place.st_uid not in ours or place.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"the way to {printable(path)} leads over the link {printable(name)}, which others could have set",
            hint="name the folder that the link leads to",
        )
    return os.readlink(name, dir_fd=folder)


def is_link(name: str, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def fail(path: str, exc: OSError) -> NoReturn:
    """Translates a file system's refusal of one file. Raises always."""
    raise Error(
        f"{printable(path)}: {exc.strerror}", hint=denied_hint(path, exc) or HINTS.get(exc.errno or 0)
    ) from exc


HINTS: dict[int, str] = {
    errno.ENOSPC: "free space on the device; the next run finishes the rest",
    errno.EDQUOT: "the disk quota is used up; the next run finishes the rest",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or lower --jobs",
    errno.ENFILE: "the machine has no open file left; see /proc/sys/fs/file-max",
    errno.EIO: "look at the device: the kernel's log says more",
    errno.ESTALE: "mount the network file system again",
}
