"""What to do where a user lacks a permission: who this is, whose the file or folder is, and the two ways out."""

from __future__ import annotations

import errno
import os
import shlex
import stat

from keepstep.text import printable

_DENIED = (errno.EACCES, errno.EPERM)


def denied_hint(path: str | os.PathLike[str], exc: OSError) -> str | None:
    """Names the user that this is and the owner of what refused; None for other errors than missing permission."""
    if exc.errno == errno.EROFS:
        return "the file system is mounted read-only; a container's volume is writable without :ro"
    if exc.errno not in _DENIED:
        return None
    user = os.geteuid()
    place = _refusing(os.path.abspath(os.fspath(path)))
    if place is None or user == 0:
        return "run as a user that may read or write it"
    name, found = place
    shown, mode = printable(shlex.quote(name)), f"{stat.S_IMODE(found.st_mode):04o}"
    if found.st_uid == user:
        return f"this runs as the user {user}, whose {shown} has mode {mode}: chmod u+rwX {shown}"
    return (
        f"this runs as the user {user}, and {shown} belongs to the user {found.st_uid} (mode {mode}): "
        f"chown {user} {shown}, or run as its owner (a container: --user {found.st_uid}:{found.st_gid})"
    )


def _refusing(path: str) -> tuple[str, os.stat_result] | None:
    """The file, or the folder above it that can be looked at; the folder too where it is what cannot be written."""
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
