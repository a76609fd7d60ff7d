"""Waits for what containers do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(is_so: Callable[[], bool], what: Callable[[], object], seconds: float = 90) -> None:
    """Fails with ``what`` when it does not become so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
