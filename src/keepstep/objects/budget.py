"""Memory that all transfers share."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """Bytes that may be held in memory at a time; first come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    def hold(self, size: int) -> Reservation:
        """``async with`` waits until ``size`` bytes are free. More than there is means all of it, alone."""
        return Reservation(self, min(size, self._size))

    async def _take(self, size: int) -> None:
        if self._waiters or size > self._free:
            await self._wait(size)
        else:
            self._free -= size

    def _give(self, size: int) -> None:
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
        """Grants free memory in the order of arrival, and drops requests that were cancelled."""
        while self._waiters:
            size, future = self._waiters[0]
            if not future.done():
                if size > self._free:
                    return
                self._free -= size
                future.set_result(None)
            self._waiters.popleft()


class Reservation:
    """Some of it, for as long as a block of code takes. A class: there is one for every object that moves."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self._size = size

    async def __aenter__(self) -> None:
        await self._budget._take(self._size)

    async def __aexit__(self, *_: object) -> None:
        self._budget._give(self._size)
