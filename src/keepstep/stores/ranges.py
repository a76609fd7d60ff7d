"""One ordered listing, read in many ranges at once.

A service lists in one order, a page at a time, and each page takes a round trip; flat or not, a long listing is
therefore divided into ranges of keys that are read side by side and handed on in order. Where to divide is learned
from the listing itself: from the folders that a page shows, and from forecasts (:mod:`keepstep.stores.forecast`).
Dividing decides only who reads a key; every key between two divisions is read by somebody, whatever it is called.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from keepstep.errors import Corrupt, Error
from keepstep.stores.forecast import forecast
from keepstep.stores.interface import EVERYTHING, Page, Span

_PAGE = 1000
_PAGES_A_RANGE = 4
"""About how many pages a range should have: more cost order's memory, fewer cost half-filled last pages."""
_FEW_FOLDERS = 10
"""A page that shows more folders than this says enough by itself."""
_PATIENCE = 8
"""After so many pages forecasts are tried again that had failed."""


class PageSource(Protocol):
    """A service that lists."""

    async def page(self, after: str) -> tuple[Page, bool]:
        """The first keys greater than ``after``, a thousand at the most, and whether there are more."""
        ...

    async def folders(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """The folders right beneath ``prefix`` behind ``after``, ending in ``/``, and whether there are more."""
        ...


@dataclass(eq=False)
class _Range:
    """The keys behind ``after``, up to and including ``until``."""

    after: str
    """Rises as pages come in."""
    until: str | None
    folder: str = ""
    """Where its keys are, as far as is known; a wrong one only divides badly."""
    is_explored: bool = False
    """Whether the folders beneath ``folder`` have been asked for."""
    is_guess: bool = False
    """Begins at a forecast that has not been proved yet."""
    pages: deque[Page] = field(default_factory=deque)
    latest: tuple[str, str, int] | None = None
    """First and last key of the latest page, and how many it had."""
    folders_a_page: int = 1
    is_busy: bool = False
    is_complete: bool = False
    error: Error | None = None

    @property
    def is_idle(self) -> bool:
        return not (self.is_busy or self.is_complete or self.error)

    @property
    def is_untouched(self) -> bool:
        return self.is_idle and self.latest is None


class RangedPages:
    """The pages of a listing, or of those spans of it that are asked for, in order.

    ``width`` ranges are read at a time at the most, one at first; ``ahead`` pages wait for the reader at the most.
    A page that cannot be had is raised when everything before it has been handed on.
    """

    def __init__(
        self, source: PageSource, spans: Sequence[Span] = EVERYTHING, *, width: int = 16, ahead: int = 64
    ) -> None:
        self._source = source
        self._most = width
        self._ahead = ahead
        self._ranges = [_Range(span.after, span.until) for span in spans]
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._fault: BaseException | None = None
        self._waiting = 0
        self._fetched = 0
        self._trust = 1
        """How many ranges may be begun by forecast at a time."""
        self._retry_at = 0

    async def __aiter__(self) -> AsyncIterator[Page]:
        try:
            self._start_work()
            while self._ranges:
                if self._fault:
                    raise self._fault
                first = self._ranges[0]
                if first.pages:
                    page = first.pages.popleft()
                    self._waiting -= 1
                    self._start_work()
                    yield page
                elif first.error:
                    raise first.error
                elif first.is_complete:
                    self._ranges.pop(0)
                    self._start_work()
                else:
                    self._news.clear()
                    await self._news.wait()
        finally:
            for task in self._tasks:
                task.cancel()

    # what to do next

    def _start_work(self) -> None:
        """Keeps as many requests under way as pages have come in so far, up to the width."""
        while self._ranges and len(self._tasks) < min(self._most, 1 + self._fetched):
            work = self._next_work()
            if work is None:
                return
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()
        if not task.cancelled():
            self._fault = self._fault or task.exception()
            self._start_work()

    def _next_work(self) -> Coroutine[Any, Any, None] | None:
        """The idle range nearest to the reader; where all are busy, one of them is divided."""
        is_full = self._waiting >= self._ahead
        for one in self._ranges:
            if one.is_idle:
                if is_full and one is not self._ranges[0]:
                    return None
                one.is_busy = True
                return self._fetch(one)
        if is_full or self._fetched < 2:
            return None
        for one in self._ranges:
            if one.latest is None or one.is_complete:
                continue
            if self._is_worth_exploring(one):
                one.is_explored = True
                return self._explore(one)
            if self._divide_by_forecast(one):
                return self._next_work()
        return None

    # reading

    async def _fetch(self, one: _Range) -> None:
        try:
            page, has_more = await self._source.page(one.after)
            if not page and has_more:
                raise Corrupt("the store answered a listing with an empty page that is not the last")
            self._take(one, page, has_more)
        except Error as exc:
            one.error = exc
        finally:
            one.is_busy = False

    def _take(self, one: _Range, page: Page, has_more: bool) -> None:
        """Files a page under the range that asked for it, and what reaches further under the next ones."""
        self._fetched += 1
        self._learn(one, page)
        start = self._ranges.index(one)
        for reached in self._ranges[start:]:
            if reached is not one and not reached.is_untouched:
                return  # it reads for itself
            if page and page.keys[0] <= reached.after:  # between two spans
                page = page.part(bisect_right(page.keys, reached.after), len(page))
            cut = len(page) if reached.until is None else bisect_right(page.keys, reached.until)
            part, page = (page, Page()) if cut == len(page) else (page.part(0, cut), page.part(cut, len(page)))
            if part:
                self._file(reached, part)
            reached.is_complete = bool(page) or not has_more
            if not reached.is_complete:
                return

    def _file(self, one: _Range, part: Page) -> None:
        one.pages.append(part)
        self._waiting += 1
        one.after = part.keys[-1]
        one.latest = (part.keys[0], part.keys[-1], len(part))
        depth = len(one.folder)
        one.folders_a_page = len({key[depth:].partition("/")[0] for key in part.keys[:: max(1, len(part) // 20)]})

    def _learn(self, one: _Range, page: Page) -> None:
        """Forecasts that come true allow for more of them, others for fewer."""
        if not one.is_guess:
            return
        one.is_guess = False
        is_right = page and page.keys[0].rpartition("/")[0] == one.after.rpartition("/")[0]
        if is_right and (one.until is None or page.keys[0] <= one.until):
            self._trust = min(2 * max(1, self._trust), 2 * self._most)
        else:
            self._trust //= 2
            self._retry_at = self._fetched + _PATIENCE

    # dividing

    def _is_worth_exploring(self, one: _Range) -> bool:
        """Folders are asked for once, where a page shows some but not many."""
        assert one.latest is not None
        last = one.latest[1]
        has_folders = last.startswith(one.folder) and "/" in last[len(one.folder) :]
        return has_folders and not one.is_explored and one.folders_a_page <= _FEW_FOLDERS

    async def _explore(self, one: _Range) -> None:
        try:
            names, has_more = await self._source.folders(one.folder, one.after)
        except Error:
            return  # reading goes on without
        step = 1 if one.folders_a_page == 1 else _PAGES_A_RANGE * one.folders_a_page
        ends = names[::step]
        inner = [_Range(end, None, end if step == 1 else one.folder, step > 1) for end in ends]
        if inner and has_more:
            inner[-1].folder, inner[-1].is_explored = one.folder, False
        # Forecasts may have divided the range meanwhile: each part takes what falls into it.
        for part in [each for each in self._ranges if not each.is_complete]:
            self._insert(part, [new for new in inner if part.after < new.after and _is_within(new.after, part)])

    def _divide_by_forecast(self, one: _Range) -> bool:
        assert one.latest is not None
        if not self._trust and self._fetched >= self._retry_at:
            self._trust = 1
        first, last, count = one.latest
        inner: list[_Range] = []
        for number in range(1, min(self._trust, self._most - len(self._tasks)) + 1):
            # A little less than whole pages, so that a range's last page is not a nearly empty one.
            end = forecast(first, last, count, number * (_PAGES_A_RANGE * _PAGE * 19 // 20))
            if end is None or end <= one.after or not _is_within(end, one):
                break
            inner.append(_Range(end, None, one.folder, one.is_explored, is_guess=True))
        self._insert(one, inner)
        return bool(inner)

    def _insert(self, one: _Range, inner: list[_Range]) -> None:
        """Cuts ``one`` off where the first of ``inner`` begins; the last one ends where ``one`` did."""
        if not inner:
            return
        inner[-1].until = one.until
        for before, behind in pairwise([one, *inner]):
            before.until = behind.after
        start = self._ranges.index(one) + 1
        self._ranges[start:start] = inner


def _is_within(end: str, one: _Range) -> bool:
    return one.until is None or end < one.until
