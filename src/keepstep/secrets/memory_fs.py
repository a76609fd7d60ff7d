"""Whether a folder's files live in memory alone: what is written to a disk outlives its deletion there."""

from __future__ import annotations

import os
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def is_in_memory(folder: int) -> bool | None:
    """By the folder's descriptor; None where that cannot be found out (proc(5), ``mountinfo``)."""
    device = os.fstat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0] in _IN_MEMORY
    return None
