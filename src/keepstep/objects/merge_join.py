"""Joins two ordered listings block by block: each block holds everything both sides have in an interval of keys.

Memory holds a few pages, however many keys there are. A listing that fails ends the join at the last key that both
sides are certain of.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from keepstep.errors import Corrupt, Error
from keepstep.objects.filters import Filters
from keepstep.stores.interface import Listing, Page

_AHEAD = 2
"""Pages that are fetched before they are asked for."""


@dataclass(slots=True)
class Side:
    """One of the two listings, reduced to the keys in scope."""

    listing: Listing
    name: str
    """How errors call it."""
    filters: Filters = field(default_factory=Filters)
    error: Error | None = None
    """Why it ended early."""
    has_ended: bool = False
    keys: int = 0
    """How many keys came, in scope or not."""

    @property
    def unreadable_prefixes(self) -> list[tuple[str, Error]]:
        """Prefixes that may hold keys in scope, and cannot be read."""
        return [
            unreadable for unreadable in self.listing.unreadable_prefixes if self.filters.may_reach(unreadable[0])
        ]

    @property
    def errors(self) -> Sequence[Error]:
        """All errors of the listing, each once."""
        return list(
            dict.fromkeys(
                [*(error for _, error in self.unreadable_prefixes), *([self.error] if self.error else [])]
            )
        )

    @property
    def is_faulty(self) -> bool:
        return self.error is not None or bool(self.unreadable_prefixes)

    @property
    def is_certified(self) -> bool:
        """True when every page came, in order, and no part in scope was skipped."""
        return self.has_ended and not self.is_faulty


async def merge_join(source: Side, target: Side) -> AsyncGenerator[tuple[Page, Page], None]:
    """Yields pairs of pages, ordered, that hold what is in scope of the same interval of keys.

    Errors do not raise: they end the join and are recorded in the side's ``error``.
    """
    async with _Ahead(source) as left, _Ahead(target) as right:
        while True:
            await left.fill()
            await right.fill()
            if (source.has_ended and source.error) or (target.has_ended and target.error):
                return  # what follows is unknown at one side
            bounds = [side.bound for side in (left, right) if side.bound is not None]
            if not bounds:
                return
            ours, theirs = left.take_until(min(bounds)), right.take_until(min(bounds))
            if ours or theirs:
                yield ours, theirs


class _Ahead:
    """Prefetches the pages of one side."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._queue: asyncio.Queue[tuple[Page, str] | None] = asyncio.Queue(_AHEAD)
        self._page = Page()
        self.bound: str | None = None
        """The last key, in scope or not, of the page in hand; None when there is none."""

    async def __aenter__(self) -> _Ahead:
        self._task = asyncio.get_running_loop().create_task(self._fetch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def fill(self) -> None:
        """Makes the next page current, unless there already is a current page or the listing has ended."""
        if self.bound is None and not self._side.has_ended:
            fetched = await self._queue.get()
            if fetched is None:
                self._side.has_ended = True
            else:
                self._page, self.bound = fetched

    def take_until(self, bound: str) -> Page:
        """Returns the keys up to and including ``bound``, which is at most this side's own, and keeps the rest."""
        page = self._page
        if self.bound is None or bound == self.bound:
            self._page, self.bound = Page(), None
            return page
        cut = bisect_right(page.keys, bound)
        self._page = page.part(cut, len(page))
        return page.part(0, cut)

    async def _fetch(self) -> None:
        side = self._side
        last: str | None = None
        try:
            async for page in side.listing:
                if page:
                    _check_order(page, last, side.name)
                    last = page.keys[-1]
                    side.keys += len(page)
                    await self._queue.put((side.filters.select(page), last))
        except Error as exc:
            side.error = exc
        except Exception as exc:  # noqa: BLE001 - an internal error must not look like the end of the listing
            side.error = Error(f"internal error while listing the {side.name}: {exc!r}", hint="please report this")
        await self._queue.put(None)


def _check_order(page: Page, last: str | None, name: str) -> None:
    """Comparing unordered listings would delete existing objects, so the run stops instead."""
    if not page.is_ordered or (last is not None and page.keys[0] <= last):
        raise Corrupt(
            f"the {name} lists its keys out of order, or repeats some",
            hint="nothing can be compared safely; an S3-compatible store must list as S3 does",
        )
