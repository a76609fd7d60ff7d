"""The names beneath a local folder: which are keys, in which order, and how to reach one without leaving it.

Reading follows links, as ``aws s3 sync`` does. Writing never does: every component of a key is opened from the
descriptor of the one above with ``O_NOFOLLOW``, so that no key and no link leads out of the folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NoReturn

from keepstep.errors import ConfigError, Error, NotFound, Unsupported
from keepstep.stores.interface import Entry, Page

TEMPORARY = re.compile(r"\.keepstep-[0-9a-f]{16}\.part\Z")
"""Names of files that are being written. They are no keys, and never leave this machine."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAME_MAX = 255


class Walk:
    """Lists a folder in key order, page by page, a folder's names in memory at a time.

    An unreadable folder becomes a hole and the walk goes on; a name that is not UTF-8 becomes a stray.
    With ``follow`` links are what they lead to (a source); without, they are passed over (a target: a link
    there is somebody else's arrangement, and is neither written through nor deleted).
    """

    def __init__(self, path: str, *, follow: bool, page_size: int = 1000) -> None:
        self.holes: list[tuple[str, Error]] = []
        self.strays: list[tuple[str, str]] = []
        self.leftovers: list[str] = []
        """Keys of temporary files that a run which was killed may have left."""
        self._path = path
        self._follow = follow
        self._page_size = page_size

    def pages(self) -> Iterator[Page]:
        """Raises :class:`NotFound` when the folder is missing, :class:`ConfigError` when it is none."""
        page = Page()
        for entry in self._entries():
            page.append(entry)
            if len(page) == self._page_size:
                yield page
                page = Page()
        if page:
            yield page

    def _entries(self) -> Iterator[Entry]:
        try:
            descriptor = os.open(self._path, _DIRECTORY)
        except FileNotFoundError:
            raise NotFound(
                f"the folder {self._path} does not exist", hint="check the path; nothing was changed"
            ) from None
        except NotADirectoryError:
            raise ConfigError(
                f"{self._path} is not a folder", hint="sync works on folders; name the folder it is in"
            ) from None
        except OSError as exc:
            raise _unreadable(self._path, exc) from exc
        yield from self._folder(descriptor, "", ())

    def _folder(self, descriptor: int, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        """Everything beneath one open folder; takes over its descriptor."""
        try:
            try:
                state = os.fstat(descriptor)
                names = self._names(descriptor, prefix)
            except OSError as exc:
                self.holes.append((prefix, _unreadable(os.path.join(self._path, prefix), exc)))
                return
            identity = (state.st_dev, state.st_ino)
            if identity in above:
                self.strays.append((prefix, "is a link to a folder that it stands in"))
                return
            for name in names:
                if name.endswith("/"):
                    yield from self._subfolder(descriptor, prefix, name, (*above, identity))
                elif entry := self._file(descriptor, prefix, name):
                    yield entry
        finally:
            os.close(descriptor)

    def _names(self, descriptor: int, prefix: str) -> list[str]:
        """The names in one folder, a folder's with ``/`` behind it: so they sort as keys do."""
        names = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                if not name.isascii() and not _is_utf8(name):
                    self.strays.append((prefix + printable(name), "its name is not UTF-8"))
                elif not self._follow and entry.is_symlink():
                    continue
                elif _is_folder(entry, follow=self._follow):
                    names.append(name + "/")
                elif TEMPORARY.match(name):
                    self.leftovers.append(prefix + name)
                else:
                    names.append(name)
        names.sort()
        return names

    def _subfolder(
        self, parent: int, prefix: str, name: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[Entry]:
        flags = _DIRECTORY if self._follow else _DIRECTORY | os.O_NOFOLLOW
        try:
            descriptor = os.open(name[:-1], flags, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as exc:
            path = os.path.join(self._path, prefix + name)
            self.holes.append((prefix + name, _unreadable(path, exc)))
            return
        yield from self._folder(descriptor, prefix + name, above)

    def _file(self, parent: int, prefix: str, name: str) -> Entry | None:
        key = prefix + name
        try:
            state = os.stat(name, dir_fd=parent, follow_symlinks=self._follow)
        except FileNotFoundError:
            is_link = self._follow and _is_link(name, parent)
            return Entry(key, -1, 0, unfit="is a link that leads nowhere") if is_link else None
        except OSError as exc:
            return Entry(key, -1, 0, unfit=f"cannot be examined: {exc.strerror}")
        if not stat.S_ISREG(state.st_mode):
            return Entry(key, -1, 0, unfit=f"is {_special(state.st_mode)}")
        return Entry(key, state.st_size, state.st_mtime_ns // 1000)


def components(key: str) -> list[str]:
    """The names a key is made of, each fit to be a file's. Raises :class:`Unsupported` with the reason."""
    names = key.split("/")
    for name in names:
        if name in ("", ".", ".."):
            shown = "an empty part" if not name else f"the part {name!r}"
            raise Unsupported(f"{printable(key)} cannot be a file here: {shown}")
        if "\0" in name:
            raise Unsupported(f"{printable(key)} cannot be a file here: a NUL character")
        if len(name) > _NAME_MAX // 4 and len(name.encode()) > _NAME_MAX:
            raise Unsupported(f"{printable(key)} cannot be a file here: a part is longer than {_NAME_MAX} bytes")
    if TEMPORARY.match(names[-1]):
        raise Unsupported(f"{printable(key)} cannot be a file here: the name is kept for unfinished files")
    return names


def open_folder(root: int, names: list[str], *, create: bool) -> int:
    """A new descriptor of the folder ``names`` beneath ``root``, made where it is missing and ``create`` is set.

    Raises :class:`Unsupported` when a file or a link stands on the way, ``FileNotFoundError`` when it is missing.
    """
    descriptor = os.dup(root)
    for depth, name in enumerate(names):
        try:
            try:
                inner = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            except FileNotFoundError:
                if not create:
                    raise
                _make_folder(name, descriptor)
                inner = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        except NotADirectoryError as exc:
            # With O_NOFOLLOW and O_DIRECTORY a link is ENOTDIR too.
            what = "a link" if _is_link(name, descriptor) else "a file"
            way = printable("/".join(names[: depth + 1]))
            raise Unsupported(f"{what} stands where the folder {way} would have to be") from exc
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def printable(name: str) -> str:
    """The name as it can be shown: control characters and bytes that are no text are escaped."""
    if name.isprintable():
        return name
    return "".join(
        c
        if c.isprintable()
        else c.encode("utf-8", "surrogateescape").decode("ascii", "backslashreplace")
        if not c.isascii()
        else f"\\x{ord(c):02x}"
        for c in name
    )


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return  # another transfer was faster


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False  # examined again, and named, as a file


def _is_link(name: str, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _special(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _unreadable(path: str, exc: OSError) -> Error:
    return Error(
        f"cannot read the folder {printable(path)}: {exc.strerror}",
        hint="run as a user that may read it, or exclude it; nothing is deleted while it cannot be read",
    )


def fail(path: str, exc: OSError) -> NoReturn:
    """Translates a file system's refusal of one file. Raises always."""
    raise Error(f"{printable(path)}: {exc.strerror}", hint=_HINTS.get(exc.errno or 0)) from exc


_HINTS: dict[int, str] = {
    13: "run as a user that may read or write it",
    28: "free space on the device; the next run finishes the rest",
    30: "the file system is mounted read-only",
    122: "the disk quota is used up; the next run finishes the rest",
}
