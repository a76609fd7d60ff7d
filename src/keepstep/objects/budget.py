"""Memory that all transfers share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """Bytes that may be held in memory at a time; first come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Waits until ``size`` bytes are free. More than everything means everything: it then runs alone."""
        size = min(size, self._size)
        if self._waiters or size > self._free:
            await self._wait(size)
        else:
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._wake()

    async def _wait(self, size: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size, future))
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # the bytes were granted in the same moment
                self._free += size
            self._wake()
            raise

    def _wake(self) -> None:
        """Grants what is free to those who came first; those who no longer wait fall out here."""
        while self._waiters:
            size, future = self._waiters[0]
            if not future.done():
                if size > self._free:
                    return
                self._free -= size
                future.set_result(None)
            self._waiters.popleft()
