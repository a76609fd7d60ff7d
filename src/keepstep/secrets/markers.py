"""What is still to be told: a marker stands beside a file from before it is replaced until its notice is delivered.

Markers are empty files in the folder of the files that they concern, on the same device, so they are there whenever
the new file is. A run that finds one tells again; so a notice may come twice, and is never lost.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import sha256

from keepstep.containers.interface import Notice

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def set_markers(folder: int, notices: Iterable[Notice]) -> None:
    """Notes that these are due, on the device when it returns. Raises ``OSError``."""
    noted = False
    for notice in notices:
        os.close(os.open(_name(notice), _CREATE, 0o600, dir_fd=folder))
        noted = True
    if noted:
        os.fsync(folder)


def due(folder: int, notices: Iterable[Notice]) -> list[Notice]:
    """Those of ``notices`` that an earlier run could not deliver, or did not live to deliver."""
    return [notice for notice in notices if _exists(folder, _name(notice))]


def clear(folder: int, notices: Collection[Notice]) -> None:
    """Notes that these were delivered. One that cannot be removed is delivered again."""
    for notice in notices:
        with suppress(OSError):
            os.unlink(_name(notice), dir_fd=folder)


def _name(notice: Notice) -> str:
    return f".keepstep-{sha256(str(notice).encode()).hexdigest()[:16]}.notice"


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
