"""One ordered listing, read in many ranges at once.

A service lists in one order, a page at a time, and each page takes a round trip; flat or not, a long listing is
therefore divided into ranges of keys that are read side by side and handed on in order. Where to divide is learned
from the listing itself: from the folders that a page shows, and from forecasts (:mod:`keepstep.stores.forecast`).
Dividing decides only who reads a key; every key between two divisions is read by somebody, whatever it is called.

That no key is lost does not rest on the service's order. Whatever order it has, and lists from any place in: every
page has to be in the order of UTF-8 bytes, as a whole, and to follow the one before it; and where the pages of one
range reach beyond its end, the key that they show next has to be the first one that the next range shows. If a key
were missing, then the last range that stops too early would show one that the next range does not begin with.
What fails one of these checks raises :class:`Disordered`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from keepstep.errors import Corrupt, Denied, Error, Transient
from keepstep.stores.forecast import forecast
from keepstep.stores.interface import EVERYTHING, Page, Span

_PAGE = 1000
_PAGES_A_RANGE = 4
"""About how many pages a range should have: more cost order's memory, fewer cost half-filled last pages."""
_FEW_FOLDERS = 10
"""A page that shows more folders than this says enough by itself."""
_PATIENCE = 8
"""After so many pages forecasts are tried again that had failed."""
_PROOF = 4 * _PAGE
"""Keys in order after which a service that is not trusted is read in ranges, too."""
_MOST_EMPTY = 1000
"""Empty pages in a row, each of which says that there are more."""


class Fetched(NamedTuple):
    """One answer of a service."""

    page: Page
    token: str | None
    """By which the next page is asked for; None at the end."""


class PageSource(Protocol):
    """A service that lists."""

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        """Keys that begin with ``prefix``: the first, those after ``after``, or those that a token leads to."""
        ...

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        """The folders right beneath ``prefix`` after ``after``, ending in ``/``, and whether there are more."""
        ...


class Disordered(Corrupt):
    """The service does not list in the order of UTF-8 bytes, or not from where it was asked to."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the listing is out of order: {what}",
            hint="nothing can be compared safely: this store promises the order of UTF-8 bytes",
        )
        self.what = what


_UNREAD = object()
"""In place of a key that is not known yet; None stands for: there is none."""


@dataclass(eq=False)
class _Range:
    """The keys after ``after``, up to and including ``until``."""

    after: str | None
    """Rises as pages come in."""
    until: str | None
    token: str | None = None
    """Of the next page; None while it has none."""
    empty: set[str] = field(default_factory=set)
    """Tokens of the empty pages since the latest that was not."""
    shown: Any = _UNREAD
    """The first key of the pages that were asked for from ``after`` on."""
    expected: Any = _UNREAD
    """The key that the pages of the range before show next, and (``expected_after``) the one before it."""
    expected_after: str | None = None
    start: str | None = field(init=False)
    """Where it began."""
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

    def __post_init__(self) -> None:
        self.start = self.after

    @property
    def is_idle(self) -> bool:
        return not (self.is_busy or self.is_complete or self.error)

    @property
    def is_untouched(self) -> bool:
        return self.is_idle and self.latest is None and self.token is None

    @property
    def has_broken_seam(self) -> bool:
        return _UNREAD not in (self.shown, self.expected) and self.shown != self.expected


class RangedPages:
    """The pages of a listing, or of those spans of it that are asked for, in order.

    ``width`` ranges are read at a time at most, one at first; ``ahead`` pages wait for the reader at most.
    A page that cannot be read raises after everything before it was handed on. ``prefix`` is what all keys
    begin with that are asked for. A service that is not trusted has to list ``proof`` keys in order before it is
    asked to begin anywhere but at the beginning.
    """

    def __init__(
        self,
        source: PageSource,
        spans: Sequence[Span] = EVERYTHING,
        *,
        prefix: str = "",
        is_trusted: bool = True,
        proof: int = _PROOF,
        width: int = 16,
        ahead: int = 64,
    ) -> None:
        self._source = source
        self._prefix = prefix
        self._is_trusted = is_trusted
        self._proof = 0 if is_trusted else proof
        self._most = width
        self._ahead = ahead
        folder = prefix[: prefix.rfind("/") + 1]
        self._ranges = [_Range(span.after, span.until, folder=folder) for span in spans]
        self._rechecks: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._fault: BaseException | None = None
        self._waiting = 0
        self._fetched = 0
        self._keys = 0
        self._trust = 1
        """How many ranges may be started by forecast at a time."""
        self._retry_at = 0

    async def __aiter__(self) -> AsyncGenerator[Page]:
        try:
            self._start_work()
            while self._ranges or self._rechecks:
                if self._fault:
                    raise self._fault
                if not self._ranges:
                    await self._hear_news()
                    continue
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
                    await self._hear_news()
            if self._fault:
                raise self._fault
        finally:
            for task in self._tasks:
                task.cancel()

    async def _hear_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # what to do next

    def _start_work(self) -> None:
        """Keeps as many requests under way as pages have come in so far, up to the width."""
        while self._ranges and len(self._tasks) < min(self._most, 1 + self._fetched):
            work = self._next_work()
            if work is None:
                return
            self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._rechecks.discard(task)
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
        if is_full or self._fetched < 2 or self._keys < self._proof:
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
            fetched = await self._page(one)
            self._check(one, fetched)
            self._take(one, fetched)
        except Disordered:
            raise
        except Error as exc:
            one.error = exc
        finally:
            one.is_busy = False

    async def _page(self, one: _Range) -> Fetched:
        if one.token is not None:
            return await self._source.page(self._prefix, None, one.token)
        try:
            return await self._source.page(self._prefix, one.after, None)
        except (Transient, Denied):
            raise
        except Error as exc:
            if self._is_trusted or one.after is None:
                raise
            raise Disordered(f"it refuses start-after: {exc.message}") from exc

    def _check(self, one: _Range, fetched: Fetched) -> None:
        """A whole page, before it is divided among ranges, against itself and against what was asked for."""
        page, token = fetched
        if not page.is_ordered:
            raise Disordered(_misplaced(page.keys))
        if page and one.after is not None and page.keys[0] <= one.after:
            if one.latest is None and one.token is None:
                raise Disordered(f"start-after is not honoured, {page.keys[0]!r} came after {one.after!r}")
            raise Disordered(f"{page.keys[0]!r} came after {one.after!r}")
        if page or token is None:
            one.empty.clear()
        elif token in one.empty or len(one.empty) == _MOST_EMPTY:
            raise Corrupt(
                "the store answers a listing with empty pages, and reports more keys each time",
                hint="the listing cannot be read to its end, so nothing is certain",
            )
        else:
            one.empty.add(token)
        if one.shown is _UNREAD and (page or token is None):
            one.shown = page.keys[0] if page else None

    def _take(self, one: _Range, fetched: Fetched) -> None:
        """Files a page under the range that asked for it, and what reaches further under the next ones."""
        page, token = fetched
        self._fetched += 1
        self._keys += len(page)
        self._learn(one, page)
        self._close_seam(one)
        asked_after, place = one.after, self._ranges.index(one)
        for reached in self._ranges[place:]:
            if reached.start is not None and page and page.keys[0] <= reached.start:  # between two spans
                page = page.part(bisect_right(page.keys, reached.start), len(page))
            if reached is not one and not reached.is_untouched:
                if page or token is None:
                    self._expect(reached, page, fetched.page, asked_after)
                return  # it reads for itself
            cut = len(page) if reached.until is None else bisect_right(page.keys, reached.until)
            part, page = (page, Page()) if cut == len(page) else (page.part(0, cut), page.part(cut, len(page)))
            if part:
                self._file(reached, part)
            if part or reached is one:
                reached.token, reached.empty = token, one.empty
            reached.is_complete = bool(page) or token is None
            if not reached.is_complete:
                return

    # where one range ends and the next begins

    def _expect(self, reached: _Range, rest: Page, whole: Page, asked_after: str | None) -> None:
        """Notes which key the pages of the range before show next, after the end of that range."""
        reached.expected = rest.keys[0] if rest else None
        place = len(whole) - len(rest)
        reached.expected_after = whole.keys[place - 1] if place else asked_after
        self._close_seam(reached)

    def _close_seam(self, one: _Range) -> None:
        if one.has_broken_seam:
            self._rechecks.add(self._begin(self._recheck(one, one.expected)))
            one.expected = _UNREAD

    async def _recheck(self, one: _Range, expected: str | None) -> None:
        """Asks again from both sides: objects may have come or gone meanwhile, which does no harm."""
        here = await self._source.page(self._prefix, one.start, None)
        there = await self._source.page(self._prefix, one.expected_after, None)
        keys: list[str | None] = [key for key in there.page.keys if one.start is None or key > one.start]
        is_told = bool(keys) or there.token is None
        if is_told and next(iter(keys), None) != next(iter(here.page.keys), None):
            raise Disordered(f"after {one.start!r} it lists {one.shown!r}, and elsewhere {expected!r}")

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
        assert one.after is not None
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
        ends = sorted({name for name in names if name.startswith(self._prefix)})[::step]
        inner = [_Range(end, None, folder=end if step == 1 else one.folder, is_explored=step > 1) for end in ends]
        if inner and has_more:
            inner[-1].folder, inner[-1].is_explored = one.folder, False
        # Forecasts may have divided the range meanwhile: each part takes what falls into it.
        for part in [each for each in self._ranges if not each.is_complete]:
            self._insert(part, [new for new in inner if _is_within(new.start, part)])

    def _divide_by_forecast(self, one: _Range) -> bool:
        assert one.latest is not None
        if not self._trust and self._fetched >= self._retry_at:
            self._trust = 1
        first, last, count = one.latest
        inner: list[_Range] = []
        for number in range(1, min(self._trust, self._most - len(self._tasks)) + 1):
            # A little less than whole pages, so that a range's last page is not a nearly empty one.
            end = forecast(first, last, count, number * (_PAGES_A_RANGE * _PAGE * 19 // 20))
            if end is None or not _is_within(end, one):
                break
            inner.append(_Range(end, None, folder=one.folder, is_explored=one.is_explored, is_guess=True))
        self._insert(one, inner)
        return bool(inner)

    def _insert(self, one: _Range, inner: list[_Range]) -> None:
        """Cuts ``one`` off where the first of ``inner`` begins; the last one ends where ``one`` did."""
        if not inner:
            return
        inner[-1].until = one.until
        for before, behind in pairwise([one, *inner]):
            before.until = behind.start
        start = self._ranges.index(one) + 1
        self._ranges[start:start] = inner


def _is_within(end: str | None, one: _Range) -> bool:
    """Whether a range may be cut off there."""
    is_behind = end is not None and (one.after is None or end > one.after)
    return end is not None and is_behind and (one.until is None or end < one.until)


def is_repeated(fetched: Fetched, seen: set[int]) -> bool:
    """Whether the page leads back to where the reading has been; notes it in ``seen`` otherwise."""
    marks = {hash(("token", fetched.token))} if fetched.token is not None else set()
    if fetched.page:
        marks.add(hash(("key", fetched.page.keys[0])))
    if marks & seen:
        return True
    seen |= marks
    return False


def _misplaced(keys: Sequence[str]) -> str:
    one, other = next((one, other) for one, other in pairwise(keys) if one >= other)
    return f"{other!r} came after {one!r}" if one != other else f"{one!r} came twice"
