"""Decides whether a file that was found by default may be trusted.

A configuration says which secrets go where, and expands environment variables in addresses. A file that another
user put into the current directory must not be used, least of all by root.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import stat
from functools import lru_cache
from pathlib import Path

from keepstep.errors import ConfigError

log = logging.getLogger(__name__)

CONFIG_PATHS = (Path("keepstep.toml"), Path("/etc/keepstep/keepstep.toml"))
"""Where a configuration is looked up by default, in this order."""
_SYSTEM = ("/etc", "/var/task", "/function")
"""Folders of machines, of Lambda and of OCI Functions in which only root mounts."""


def trusted(path: Path, *, hint: str) -> Path:
    """The path, if it and its folder belong to this user or root, and nobody else can write to either.

    A file that is a mount point, or is in a mount below ``/etc`` (of a container or function), was put there by
    root, whatever its owner.

    Raises :class:`ConfigError`, with a ``hint`` how to name the file explicitly.
    """
    try:
        real = path.resolve(strict=True)
        why = _doubt(real) or (_doubt(path.absolute()) if path.is_symlink() else "")
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
    if why:
        raise ConfigError(f"{path} was found but is not trusted: {why}", hint=hint)
    return path


def _doubt(path: Path) -> str:
    """What is wrong with the owners and modes of a file and its folder; empty if nothing is."""
    if _is_roots_mount(path):
        return ""
    for each, what in ((path, "it"), (path.parent, "its folder")):
        found = each.lstat()
        if found.st_uid not in (os.geteuid(), 0):
            return f"{what} belongs to {_name(found.st_uid)}"
        if not stat.S_ISLNK(found.st_mode) and _others_write(found):
            return f"other users can write to {what}"
    return ""


def _others_write(found: os.stat_result) -> bool:
    """Whether others can write. A group whose only member is the owner, as on many systems, does not count."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private(found.st_gid, found.st_uid)


def _is_private(group: int, owner: int) -> bool:
    try:
        user = pwd.getpwuid(owner)
        return user.pw_gid == group and set(grp.getgrgid(group).gr_mem) <= {user.pw_name}
    except KeyError:
        return False


def _is_roots_mount(path: Path) -> bool:
    """Whether the file is a mount point, or is in a mount within a system folder (proc(5), mountinfo)."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    points = {os.fsdecode(line.split(b" ")[4]) for line in lines}
    mount = next((str(each) for each in (path, *path.parents) if str(each) in points), "/")
    return mount == str(path) or any(mount == root or mount.startswith(f"{root}/") for root in _SYSTEM)


def _name(owner: int) -> str:
    try:
        return f"the user {pwd.getpwuid(owner).pw_name}"
    except KeyError:
        return f"user {owner}"


def is_readable_by_others(path: Path) -> bool:
    """Whether other users of this machine can read a file with secrets. False if it is not a file."""
    try:
        found = path.stat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode) or path.parts[:3] in (("/", "dev", "fd"), ("/", "proc", "self")):
        return False
    by_group = bool(found.st_mode & stat.S_IRGRP) and not _is_private(found.st_gid, found.st_uid)
    return by_group or bool(found.st_mode & stat.S_IROTH)


def exposure(path: Path, what: str) -> str:
    """What is wrong with the mode of a file with secrets, and what to do; empty if nothing is."""
    return f"other users can read {what} {path}: chmod 600 {path}" if is_readable_by_others(path) else ""


@lru_cache
def warn_of_exposure(path: str, what: str) -> None:
    """Warns once per process."""
    if why := exposure(Path(path), what):
        log.warning("%s", why)
