"""How many files and connections this process may have open at a time (getrlimit(2))."""

from __future__ import annotations

import resource
from contextlib import suppress

_OTHERS = 64
"""Descriptors that are not an object's: streams, state, listings, connections at rest, folders of a walk."""
_EACH = 4
"""Descriptors of an object on its way: its source, its target, the folder that it appears in, a connection."""
_LEAST = 2


def raise_open_files() -> None:
    """Up to what the administrator allows. The usual limit is low for the sake of programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def objects_at_once(most: int) -> int:
    """``most``, or fewer where the limit does not allow for so many."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return min(most, max(_LEAST, (soft - _OTHERS) // _EACH))
