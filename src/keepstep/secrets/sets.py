"""Files that belong together, switched by one link: nobody ever sees a new certificate with an old key.

The layout is that of Kubernetes' secret volumes (``atomic_writer.go``)::

    tls/                     the set's folder; what programs and mounts name
    tls/tls.crt              -> ..data/tls.crt
    tls/..data               -> ..keepstep-3f0c…   the link that is switched
    tls/..keepstep-3f0c…/    the files themselves; a new folder for every change

The folder is a real one, so it can be mounted into a container by itself and still shows each change.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from keepstep.errors import ConfigError
from keepstep.flush import flush
from keepstep.secrets.delivery import FileAttributes
from keepstep.secrets.diff import Is, Observed
from keepstep.secrets.files import observe, write
from keepstep.secrets.folders import make_folder

_DATA = "..data"
_GENERATION = re.compile(r"\.\.keepstep-[0-9a-f]{16}(\.link)?\Z")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Files = Mapping[str, tuple[bytes, FileAttributes]]
"""What a set holds, by name."""


def observe_set(folder: int, names: Collection[str]) -> dict[str, Observed]:
    """What programs see under each name: the files behind the link, or whatever else stands there."""
    found: dict[str, Observed] = {}
    with _present(folder) as present:
        for name in names:
            outside = observe(folder, name)
            is_ours = outside.kind is Is.LINK and os.readlink(name, dir_fd=folder) == f"{_DATA}/{name}"
            found[name] = observe(present, name) if is_ours and present is not None else outside
    return found


def has_strays(folder: int, names: Collection[str]) -> bool:
    """True when there are names of files that the set has no more."""
    return any(name not in names and _leads(folder, name) for name in os.listdir(folder))


def switch(folder: int, files: Files, before: Callable[[], None]) -> None:
    """Makes a complete new set and lets the link lead to it. ``before`` is called before anything can be seen.

    Raises ``OSError`` and :class:`ConfigError`; programs then see what they saw before.
    """
    _refuse_folders(folder, files)
    generation = f"..keepstep-{secrets.token_hex(8)}"
    make_folder(
        generation,
        folder,
        max((attributes for _, attributes in files.values()), key=lambda attributes: attributes.folder_mode),
    )
    descriptor = os.open(generation, _FOLDER, dir_fd=folder)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid() or os.listdir(descriptor):
            raise ConfigError("another process put a folder in the place of a new one")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _fill(descriptor, files)
        before()
        _link(folder, generation, _DATA)
        flush(folder)
    except BaseException:
        with suppress(OSError):
            _remove(folder, generation)
        raise
    finally:
        os.close(descriptor)
    _show(folder, files)


def sweep_set(folder: int) -> None:
    """Removes every generation but the present one, unless a run that lives is making it."""
    with suppress(OSError):
        current = _target(folder)
        for name in os.listdir(folder):
            if _GENERATION.match(name) and name != current:
                with suppress(OSError):
                    _remove_unless_locked(folder, name)


def _fill(descriptor: int, files: Files) -> None:
    for name, (content, attributes) in files.items():
        file = os.open(name, _CREATE, 0o600, dir_fd=descriptor)
        try:
            write(file, content, attributes)
        finally:
            os.close(file)
    flush(descriptor)


def _show(folder: int, files: Files) -> None:
    """Every name leads through the link; names that the set has no more are gone."""
    for name in files:
        if not _leads(folder, name):
            _link(folder, f"{_DATA}/{name}", name)
    for name in os.listdir(folder):
        if name not in files and _leads(folder, name):
            os.unlink(name, dir_fd=folder)
    flush(folder)


def _link(folder: int, destination: str, name: str) -> None:
    """Makes or replaces a link in one step."""
    temporary = f"..keepstep-{secrets.token_hex(8)}.link"
    os.symlink(destination, temporary, dir_fd=folder)
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _leads(folder: int, name: str) -> bool:
    try:
        return os.readlink(name, dir_fd=folder) == f"{_DATA}/{name}"
    except OSError:
        return False


def _target(folder: int) -> str:
    """The present generation's name, empty when there is none of ours."""
    try:
        name = os.readlink(_DATA, dir_fd=folder)
    except OSError:
        return ""
    return name if _GENERATION.match(name) else ""


@contextmanager
def _present(folder: int) -> Iterator[int | None]:
    try:
        descriptor = os.open(_target(folder), _FOLDER, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_folders(folder: int, files: Files) -> None:
    for name in (*files, _DATA):
        kind = observe(folder, name).kind
        if kind not in (Is.NOTHING, Is.FILE, Is.LINK) or (name == _DATA and kind is Is.FILE):
            raise ConfigError(f"{name}: {kind} stands there", hint="remove it, or name another folder for the set")


def _remove_unless_locked(folder: int, name: str) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder, name)
    finally:
        os.close(descriptor)


def _remove(folder: int, name: str) -> None:
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for inner in os.listdir(descriptor):
            os.unlink(inner, dir_fd=descriptor)
        os.rmdir(name, dir_fd=folder)
    finally:
        os.close(descriptor)
