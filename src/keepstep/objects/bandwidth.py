"""A limit on how fast bytes travel, over all transfers of a run together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_CREDIT = 0.25
"""Seconds that were not made use of and still count: what one transfer takes itself must not slow it down."""


@dataclass
class Bandwidth:
    """Limits the rate in bytes per second: each caller waits until earlier ones and its own bytes fit."""

    rate: float
    """Bytes a second."""
    _free_at: float | None = None

    async def take(self, size: int) -> None:
        """Waits until ``size`` bytes may have travelled."""
        now = asyncio.get_running_loop().time()
        earliest = now if self._free_at is None else max(self._free_at, now - _CREDIT)
        self._free_at = earliest + size / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
