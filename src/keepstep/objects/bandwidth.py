"""A limit on how fast bytes travel, over all transfers of a run together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass
class Bandwidth:
    """So many bytes a second on the average; whoever comes waits until those before are through."""

    rate: float
    """Bytes a second."""
    _free_at: float = 0.0

    async def take(self, size: int) -> None:
        """Waits until ``size`` bytes may travel."""
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free_at)
        self._free_at = begins + size / self.rate
        if begins > now:
            await asyncio.sleep(begins - now)
