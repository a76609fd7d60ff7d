"""Hints for missing permissions: the current user, the owner of the file or folder, and two ways to fix it."""

from __future__ import annotations

import errno
import os
import shlex
import stat

from keepstep.text import printable

_DENIED = (errno.EACCES, errno.EPERM)


def denied_hint(path: str | os.PathLike[str], exc: OSError) -> str | None:
    """Names the current user and the owner of the path; None for errors other than missing permission."""
    if exc.errno == errno.EROFS:
        return "the file system is mounted read-only; a container's volume is writable without :ro"
    if exc.errno not in _DENIED:
        return None
    user = os.geteuid()
    place = _refusing(os.path.abspath(os.fspath(path)))
    if place is None or user == 0:
        return "run as a user that can read and write it"
    name, found = place
    shown, mode = printable(shlex.quote(name)), f"{stat.S_IMODE(found.st_mode):04o}"
    if found.st_uid == user:
        return f"keepstep runs as the user {user}, whose {shown} has mode {mode}: chmod u+rwX {shown}"
    return (
        f"keepstep runs as the user {user}, and {shown} belongs to the user {found.st_uid} (mode {mode}): "
        f"chown {user} {shown}, or run as its owner (a container: --user {found.st_uid}:{found.st_gid})"
    )


def _refusing(path: str) -> tuple[str, os.stat_result] | None:
    """The file, or the nearest readable folder above it; the folder also if that is what cannot be written."""
    while True:
        try:
            found = os.stat(path)
        except OSError:
            above = os.path.dirname(path)
            if above == path:
                return None
            path = above
            continue
        folder = os.path.dirname(path)
        if (
            not stat.S_ISDIR(found.st_mode)
            and os.access(path, os.R_OK)
            and not os.access(folder, os.W_OK | os.X_OK)
        ):
            return folder, os.stat(folder)
        return path, found
