"""How many objects, or parts of large ones, are in flight: few at first, more while that pays, fewer when a store
objects.

Nobody knows the right number before: it depends on the objects' sizes, the distance, both stores and this machine.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable

from keepstep.limits import objects_at_once

FIRST = 8
MOST = 256
_LEAST = 2
_WINDOW = 0.1
"""Seconds that are measured at least before the number changes."""
_GROWTH = 2
GAIN = 1.04
"""A window this much faster than the best one before says that growing pays."""
_MISSES = 2
"""So many steps in a row that did not pay end the growth: a single window may be slow for any reason."""
_RETREAT = 0.6
_REST, _LONGEST_REST = 6, 24
"""Windows before growing is tried again, once it did not pay: twice as many each time in a row, but no more."""
_RECOVERY = 12
"""Windows before it is tried again once a store objected."""
_OVERHEAD = 32 * 1024
"""Bytes that an object counts for besides its own."""


class Pacer:
    """Decides after each window how many are right for the next one: pure, but for what it remembers.

    It begins with ``first`` and goes up to ``most``; a step pays that makes the run faster by a factor of ``gain``.
    It doubles the number as long as one of ``misses`` steps pays, and goes back to the fastest.
    What rests is measured meanwhile, and what is tried next has to surpass that.
    """

    def __init__(self, *, first: int = FIRST, most: int = MOST, gain: float = GAIN, misses: int = _MISSES) -> None:
        self.limit = self._best = min(first, most)
        self.most = most
        self._gain = gain
        self._most_misses = misses
        self._rate = 0.0
        """Of the fastest window, or of those at rest on the average."""
        self._misses = 0
        self._rested: list[float] = []
        self._rest = 0
        self._next_rest = _REST

    def next(self, rate: float, *, is_strained: bool) -> int:
        """``rate`` is the window's, in bytes a second; strained is a window in which a store asked for less."""
        if is_strained:
            self._settle(max(_LEAST, math.floor(self.limit * _RETREAT)), _RECOVERY)
        elif self._rest:
            self._rest -= 1
            self._rested.append(rate)
            if not self._rest:
                self._rate = sum(self._rested) / len(self._rested)
                self._grow()
        else:
            self._judge(rate)
        return self.limit

    def _judge(self, rate: float) -> None:
        pays = rate > self._rate * self._gain
        self._misses = 0 if pays else self._misses + 1
        if pays:
            self._rate, self._best, self._next_rest = rate, self.limit, _REST
        if self._misses == self._most_misses or self.limit == self.most:
            self._settle(self._best, self._next_rest)
            self._next_rest = min(_LONGEST_REST, 2 * self._next_rest)
        else:
            self._grow()

    def _grow(self) -> None:
        self.limit = min(self.most, self.limit * _GROWTH)

    def _settle(self, limit: int, rest: int) -> None:
        self.limit = self._best = limit
        self._rest, self._rested, self._misses = rest, [], 0


class Concurrency:
    """Slots for what is in flight: ``async with slots.slot(): ...`` and then :meth:`done`.

    ``fixed`` slots when the caller knows better; else a :class:`Pacer` decides, one with the usual bounds if none
    is given. ``strains()`` counts how often a store has asked for less so far.
    """

    def __init__(self, fixed: int | None, throttle_count: Callable[[], int], pacer: Pacer | None = None) -> None:
        pacer = pacer or Pacer()
        self.most = fixed or pacer.most
        self._pacer = None if fixed else pacer
        self._strains = throttle_count
        self._strains_before = 0
        self._has_retreated = False
        self._limit = fixed or pacer.limit
        self._active = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap: by rank, then by who came first."""
        self._arrivals = itertools.count()
        self._started = 0.0
        self._unmeasured = pacer.limit
        """So many more objects end before the next window begins."""
        self._units = 0
        self._finished = 0

    def slot(self, rank: int = 0) -> TransferSlot:
        """Of those who wait the lowest rank comes first, and then who came first."""
        return TransferSlot(self, rank)

    async def enter(self, rank: int) -> None:
        """Waits until another one may begin."""
        if self._active < self._limit and not self._waiting:
            self._active += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), future))
        try:
            await future  # the waker has counted this waiter in, so no other can come in between
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        self._active -= 1
        self._wake()

    def done(self, size: int) -> None:
        """One more has been dealt with, of so many bytes."""
        if self._pacer is None:
            return
        if self._unmeasured:
            self._unmeasured -= 1
            return
        now = asyncio.get_running_loop().time()
        if not self._started:
            self._begin_window(now)
            return
        self._units += size + _OVERHEAD
        self._finished += 1
        if now - self._started >= _WINDOW and self._finished >= self._limit:
            self._close_window(self._pacer, now)

    def _begin_window(self, now: float) -> None:
        """What ends in this moment is not a part of it."""
        self._started = now
        if self._has_retreated:  # what those have met that began before says nothing of the lower number
            self._has_retreated, self._strains_before = False, self._strains()

    def _close_window(self, pacer: Pacer, now: float) -> None:
        throttle_count = self._strains()
        rate = self._units / (now - self._started)
        self._has_retreated = throttle_count > self._strains_before
        before, self._limit = self._limit, pacer.next(rate, is_strained=self._has_retreated)
        self._strains_before = throttle_count
        self._started, self._units, self._finished = now, 0, 0
        if self._limit != before:
            # Those that are in flight now say nothing of the new number.
            self._started, self._unmeasured = 0.0, max(before, self._limit)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._active < self._limit:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                self._active += 1
                future.set_result(None)


def objects_in_flight(jobs: int | None, throttle_count: Callable[[], int]) -> Concurrency:
    """Slots for objects: as many as pay, or ``jobs``; in no case more than may be open at a time."""
    return Concurrency(objects_at_once(jobs) if jobs else None, throttle_count, Pacer(most=objects_at_once(MOST)))


class TransferSlot:
    """One of them. ``as`` gives the function that gives it back before the end; calling it again does nothing."""

    def __init__(self, slots: Concurrency, rank: int) -> None:
        self._slots = slots
        self._rank = rank
        self._is_held = False

    async def __aenter__(self) -> Callable[[], None]:
        await self._slots.enter(self._rank)
        self._is_held = True
        return self._leave

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._is_held:
            self._is_held = False
            self._slots.leave()
