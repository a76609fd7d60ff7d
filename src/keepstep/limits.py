"""How many files and connections this process may have open at a time (getrlimit(2))."""

from __future__ import annotations

import resource
from contextlib import suppress

_OTHERS = 64
"""Descriptors not used by an object: streams, state, listings, idle connections, folders of a walk."""
_EACH = 4
"""Descriptors of an object in transfer: its source, its target, the target's folder, a connection."""
_LEAST = 2


def raise_open_files() -> None:
    """Raises the limit to what the administrator allows. The default is low for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def objects_at_once(most: int) -> int:
    """``most``, or fewer if the limit does not allow that many."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return min(most, max(_LEAST, (soft - _OTHERS) // _EACH))
