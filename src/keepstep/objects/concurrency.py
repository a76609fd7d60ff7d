"""How many objects are in flight: few at first, more while that makes the run faster, fewer when a store objects.

Nobody knows the right number before: it depends on the objects' sizes, the distance, both stores and this machine.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

FIRST = 8
MOST = 256
_LEAST = 2
_WINDOW = 0.1
"""Seconds that are measured at least before the number changes."""
_GROWTH = 1.5
_GAIN = 1.04
"""A window this much faster than the best one before says that growing pays."""
_RETREAT = 0.6
_REST = 12
"""Windows before growing is tried again, once it did not pay or a store objected."""
_OVERHEAD = 32 * 1024
"""Bytes that an object counts for beside its own."""


class Pacer:
    """Decides after each window how many are right for the next one: pure, but for what it remembers."""

    def __init__(self, *, first: int = FIRST, most: int = MOST) -> None:
        self.limit = self._settled = min(first, most)
        self._most = most
        self._baseline = 0.0
        """What a probe has to surpass."""
        self._rest = 0

    def next(self, rate: float, *, is_strained: bool) -> int:
        """``rate`` is the window's, in bytes a second; strained is a window in which a store asked for less."""
        if is_strained:
            self._settle(max(_LEAST, math.floor(self.limit * _RETREAT)))
        elif self._rest:
            self._rest -= 1
            if not self._rest:
                self._probe(rate)
        elif rate > self._baseline * _GAIN:
            self._settled = self.limit
            self._probe(rate)
        else:
            self._settle(self._settled)
        return self.limit

    def _probe(self, baseline: float) -> None:
        self._baseline = baseline
        self.limit = min(self._most, math.ceil(self._settled * _GROWTH))

    def _settle(self, limit: int) -> None:
        self.limit = self._settled = limit
        self._rest = _REST


class Concurrency:
    """Slots for objects in flight: ``async with slots.slot(): ...`` and then :meth:`done`.

    ``fixed`` slots when the caller knows better; else a :class:`Pacer` decides. ``strains()`` counts how often a
    store has asked for less so far.
    """

    def __init__(self, fixed: int | None, strains: Callable[[], int]) -> None:
        self.most = fixed or MOST
        self._pacer = None if fixed else Pacer()
        self._strains = strains
        self._strains_before = 0
        self._limit = fixed or FIRST
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._started = 0.0
        self._units = 0
        self._finished = 0

    def slot(self) -> Slot:
        return Slot(self)

    async def enter(self) -> None:
        """Waits until another one may begin."""
        while self._active >= self._limit:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                self._wake()
                raise
        self._active += 1

    def leave(self) -> None:
        self._active -= 1
        self._wake()

    def done(self, size: int) -> None:
        """One object more has been dealt with, of so many bytes."""
        if self._pacer is None:
            return
        self._units += size + _OVERHEAD
        self._finished += 1
        now = asyncio.get_running_loop().time()
        if not self._started:
            self._started = now
        if now - self._started >= _WINDOW and self._finished >= self._limit:
            self._close_window(self._pacer, now)

    def _close_window(self, pacer: Pacer, now: float) -> None:
        strains = self._strains()
        rate = self._units / (now - self._started)
        self._limit = pacer.next(rate, is_strained=strains > self._strains_before)
        self._strains_before = strains
        self._started, self._units, self._finished = now, 0, 0
        for _ in range(self._limit - self._active):
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return


class Slot:
    """One of them. ``as`` gives the function that gives it back before the end; calling it again does nothing."""

    def __init__(self, slots: Concurrency) -> None:
        self._slots = slots
        self._is_held = False

    async def __aenter__(self) -> Callable[[], None]:
        await self._slots.enter()
        self._is_held = True
        return self._leave

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._is_held:
            self._is_held = False
            self._slots.leave()
