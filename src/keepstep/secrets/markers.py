"""Pending notices: a marker is kept next to a file from before its replacement until its notice is delivered.

Markers are empty files in the folder of the files that they concern, on the same device, so they are there whenever
the new file is; each is of one target and one notice. A run that finds one delivers the notice again. So a notice
may come twice, and is never lost.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256

from keepstep.containers.interface import Notice
from keepstep.flush import flush

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PREFIX, _SUFFIX = ".keepstep-", ".notice"


def set_markers(folder: int, path: str, notices: Iterable[Notice]) -> None:
    """Notes that ``path``'s change makes these due, on the device when it returns. Raises ``OSError``."""
    noted = False
    for notice in notices:
        os.close(os.open(_name(path, notice), _CREATE, 0o600, dir_fd=folder))
        noted = True
    if noted:
        flush(folder)


def due(folder: int, path: str, notices: Iterable[Notice]) -> list[Notice]:
    """Those of ``notices`` that an earlier run could not deliver, or did not live to deliver."""
    return [notice for notice in notices if _exists(folder, _name(path, notice))]


def clear(folder: int, path: str, notices: Collection[Notice]) -> None:
    """Notes that these were delivered. One that cannot be removed is delivered again."""
    for notice in notices:
        with suppress(OSError):
            os.unlink(_name(path, notice), dir_fd=folder)


def hand_over(folder: int, owed: Mapping[str, Collection[Notice]]) -> None:
    """Where a target (by its path) owes what ``owed`` no longer has, everything that it has becomes due instead.

    So a container's name can be corrected: the right container is notified of the change that the wrong one missed.
    Raises nothing; what fails stays due as it was.
    """
    with suppress(OSError):
        found = [name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
        targets = {_of_target(path): path for path in owed} if found else {}
        for name in found:
            path = targets.get(name.rpartition("-")[0] + "-", "")
            if path and name not in {_name(path, notice) for notice in owed[path]}:
                set_markers(folder, path, owed[path])
                os.unlink(name, dir_fd=folder)


def _name(path: str, notice: Notice) -> str:
    return f"{_of_target(path)}{_digest(str(notice))}{_SUFFIX}"


def _of_target(path: str) -> str:
    return f"{_PREFIX}{_digest(path)}-"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
