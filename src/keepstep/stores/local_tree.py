"""The names beneath a local folder: which are keys, and in which order.

A source is read through links, as ``aws s3 sync`` does it; a target is not.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from keepstep.errors import ConfigError, Error, NotFound
from keepstep.stores.interface import EVERYTHING, Entry, Page, Span
from keepstep.stores.local_files import state_of
from keepstep.stores.local_names import escaped, unescaped
from keepstep.stores.local_paths import HINTS, TEMPORARY, is_link, is_utf8, open_root
from keepstep.stores.local_paths import printable as printable

_DENIED = (errno.EACCES, errno.EPERM)
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Folder(NamedTuple):
    """One that the walk is in."""

    descriptor: int
    prefix: str
    names: Iterator[str]
    identity: tuple[int, int]


class Walk:
    """Lists a folder in key order, page by page, a folder's names in memory at a time.

    An unreadable folder is recorded as an unreadable prefix and the walk goes on; a name that is not UTF-8 as
    unrepresentable. With ``follow`` links are what they lead to; without, they are skipped. Pipes, sockets and
    devices are named in a source (``is_source``, by default what ``follow`` is) and skipped in a target: they are
    somebody else's arrangement, and are neither written through nor deleted. With ``tells_states`` a file's ETag is
    its state. The folders ``apart_from`` are reported wherever the walk meets them, by a link or as a mount.
    """

    def __init__(
        self,
        path: str,
        *,
        follow: bool,
        is_source: bool | None = None,
        escapes: bool = False,
        spans: Sequence[Span] = EVERYTHING,
        tells_states: bool = False,
        page_size: int = 1000,
        apart_from: Sequence[str] = (),
        root: Callable[[], int] | None = None,
    ) -> None:
        """``root`` opens the folder where it is to be the same one that files are read from and written to."""
        self.unreadable_prefixes: list[tuple[str, Error]] = []
        self.unrepresentable_names: list[tuple[str, str]] = []
        self.leftovers: list[str] = []
        """Keys of temporary files that a run which was killed may have left."""
        self._path = path
        self._follow = follow
        self._escapes = escapes
        self._is_source = follow if is_source is None else is_source
        self._spans = None if list(spans) == list(EVERYTHING) else spans
        self._tells_states = tells_states
        self._page_size = page_size
        self._apart_from = apart_from
        self._opens_root = root

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
        stack: list[_Folder] = []
        self._push(stack, self._root(), "")
        try:
            while stack:
                folder = stack[-1]
                name = next(folder.names, None)
                if name is None:
                    os.close(stack.pop().descriptor)
                elif self._spans and not self._may_reach(folder.prefix + name):
                    continue
                elif name.endswith("/"):
                    self._enter(stack, folder, name)
                elif entry := self._file(folder, name):
                    yield entry
        finally:
            for folder in stack:
                os.close(folder.descriptor)

    def _may_reach(self, name: str) -> bool:
        """Whether a key in question has this name, or is beneath this folder."""
        is_folder = name.endswith("/")
        return any(span.may_hold(name) if is_folder else span.holds(name) for span in self._spans or ())

    def _root(self) -> int:
        try:
            if self._opens_root:
                return self._opens_root()
            if self._is_source:
                return os.open(self._path, FOLDER)
            way = open_root(self._path, create=False)
            try:
                return os.open(".", FOLDER, dir_fd=way)
            finally:
                os.close(way)
        except FileNotFoundError:
            raise NotFound(
                f"the folder {printable(self._path)} does not exist", hint="check the path; nothing was changed"
            ) from None
        except NotADirectoryError:
            raise ConfigError(
                f"{printable(self._path)} is not a folder", hint="sync works on folders; name the folder it is in"
            ) from None
        except OSError as exc:
            raise _unreadable(self._path, exc) from exc

    def _enter(self, stack: list[_Folder], parent: _Folder, name: str) -> None:
        flags = FOLDER if self._follow else FOLDER | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._spelled(name[:-1]), flags, dir_fd=parent.descriptor)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._note_hole(parent.prefix + name, exc)
            return
        self._push(stack, descriptor, parent.prefix + name)

    def _push(self, stack: list[_Folder], descriptor: int, prefix: str) -> None:
        """Puts an open folder, whose descriptor it takes over, on the stack, unless it cannot be read."""
        try:
            state = os.fstat(descriptor)
            names = self._names(descriptor, prefix)
        except OSError as exc:
            self._note_hole(prefix, exc)
            os.close(descriptor)
            return
        identity = (state.st_dev, state.st_ino)
        if any(folder.identity == identity for folder in stack):
            self.unrepresentable_names.append((printable(prefix), "is a link to a folder that it stands in"))
            os.close(descriptor)
            return
        if stack and (place := self._other_place(identity)):
            self.unrepresentable_names.append(
                (printable(prefix), f"is {printable(place)}, another place of this run")
            )
            os.close(descriptor)
            return
        stack.append(_Folder(descriptor, prefix, iter(names), identity))

    def _other_place(self, identity: tuple[int, int]) -> str:
        """Looked up each time: it may have been made since the walk began."""
        for path in self._apart_from:
            with suppress(OSError):
                state = os.stat(path)
                if (state.st_dev, state.st_ino) == identity:
                    return path
        return ""

    def _names(self, descriptor: int, prefix: str) -> list[str]:
        """The names in one folder, a folder's with ``/`` behind it: so they sort as keys do."""
        names = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                part = unescaped(name) if self._escapes else name
                if not name.isascii() and not is_utf8(name):
                    self.unrepresentable_names.append((printable(prefix + name), "its name is not UTF-8"))
                elif not self._follow and entry.is_symlink():
                    continue
                elif part is None:
                    self.unrepresentable_names.append(
                        (printable(prefix + name), "--escape-keys writes no such name")
                    )
                elif _is_folder(entry, follow=self._follow):
                    names.append(part + "/")
                elif TEMPORARY.match(name):
                    self.leftovers.append(prefix + name)
                else:
                    names.append(part)
        names.sort()
        return names

    def _spelled(self, part: str) -> str:
        """The name of a part of a key."""
        return escaped(part) if self._escapes else part

    def _file(self, folder: _Folder, name: str) -> Entry | None:
        key, name = folder.prefix + name, self._spelled(name)
        try:
            state = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=self._follow)
        except FileNotFoundError:
            is_broken = self._follow and is_link(name, folder.descriptor)
            return _unfit(key, "is a link that leads nowhere") if is_broken else None
        except OSError as exc:
            if self._is_source:
                return _unfit(key, f"cannot be examined: {exc.strerror}")
            self._note_hole(key, exc)
            return None
        if stat.S_ISREG(state.st_mode):
            etag = state_of(state) if self._tells_states else ""
            return Entry(key, state.st_size, state.st_mtime_ns // 1000, etag)
        return _unfit(key, f"is {_kind(state.st_mode)}") if self._is_source else None

    def _note_hole(self, prefix: str, exc: OSError) -> None:
        self.unreadable_prefixes.append((prefix, _unreadable(os.path.join(self._path, prefix), exc)))


def _unfit(key: str, why: str) -> Entry:
    return Entry(key, -1, 0, unfit=why)


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False  # examined again, and named, as a file


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _unreadable(path: str, exc: OSError) -> Error:
    what = "run as a user that may read it, or exclude it" if exc.errno in _DENIED else HINTS.get(exc.errno or 0)
    withheld = "nothing is deleted while it cannot be read"
    return Error(f"cannot read {printable(path)}: {exc.strerror}", hint=f"{what}; {withheld}" if what else withheld)
