"""Two ordered listings, walked side by side in blocks: each block holds everything both sides have in an interval.

Memory holds a few pages, however many keys there are. A listing that breaks ends the walk at the last key of
which both sides are certain.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import islice
from operator import lt

from keepstep.errors import Corrupt, Error
from keepstep.stores.interface import Listing, Page

_AHEAD = 2
"""Pages that are fetched before they are asked for."""


@dataclass(slots=True)
class Side:
    """One listing on its way through the walk."""

    listing: Listing
    name: str
    """How errors call it."""
    error: Error | None = None
    """Why it ended early."""
    has_ended: bool = False
    keys: int = 0
    """How many keys came, in scope or not."""

    @property
    def is_certified(self) -> bool:
        """True when every page came, in order, and no part was passed over."""
        return self.has_ended and self.error is None and not self.listing.holes


async def walk(
    source: Side, target: Side, select: Callable[[Page], Page]
) -> AsyncGenerator[tuple[Page, Page], None]:
    """Yields pairs of pages, ordered, that cover the same interval of keys.

    ``select`` reduces each page to what is in scope. Faults do not raise: they end the walk, and stand in the
    side's ``error``.
    """
    async with _Ahead(source, select) as left, _Ahead(target, select) as right:
        while True:
            ours, theirs = await left.page(), await right.page()
            if (source.error and not ours) or (target.error and not theirs):
                return  # what follows is unknown at one side
            if not ours and not theirs:
                return
            if not ours or not theirs:
                yield left.take(None), right.take(None)
                continue
            bound = min(ours.keys[-1], theirs.keys[-1])
            yield left.take(bound), right.take(bound)


class _Ahead:
    """Fetches pages of one side while others are worked on."""

    def __init__(self, side: Side, select: Callable[[Page], Page]) -> None:
        self._side = side
        self._select = select
        self._queue: asyncio.Queue[Page | None] = asyncio.Queue(_AHEAD)
        self._page = Page()

    async def __aenter__(self) -> _Ahead:
        self._task = asyncio.get_running_loop().create_task(self._fetch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def page(self) -> Page:
        """What is left of the present page, or the next one that is not empty; an empty one at the end."""
        while not self._page and not (self._side.has_ended and self._queue.empty()):
            page = await self._queue.get()
            if page is None:
                self._side.has_ended = True
                break
            self._page = page
        return self._page

    def take(self, bound: str | None) -> Page:
        """Cuts off everything up to and including ``bound``; None takes all."""
        page = self._page
        if bound is None or not page or page.keys[-1] <= bound:
            self._page = Page()
            return page
        cut = bisect_right(page.keys, bound)
        self._page = _slice(page, cut, len(page))
        return _slice(page, 0, cut)

    async def _fetch(self) -> None:
        last = ""
        try:
            async for page in self._side.listing:
                if not page:
                    continue
                self._check_order(page, last)
                last = page.keys[-1]
                self._side.keys += len(page)
                await self._queue.put(self._select(page))
        except Error as exc:
            self._side.error = exc
        except Exception as exc:  # noqa: BLE001 - a fault of ours must not look like the end of the listing
            self._side.error = Error(f"internal error while listing the {self._side.name}: {exc!r}")
        await self._queue.put(None)

    def _check_order(self, page: Page, last: str) -> None:
        """Comparing unordered listings would delete what is there: it is better to stop."""
        is_ordered = all(map(lt, page.keys, islice(page.keys, 1, None)))
        if not is_ordered or (last and page.keys[0] <= last):
            raise Corrupt(
                f"the {self._side.name} lists its keys out of order, or repeats some",
                hint="nothing can be compared safely; an S3-compatible store must list as S3 does",
            )


def _slice(page: Page, start: int, stop: int) -> Page:
    return Page(
        page.keys[start:stop],
        page.sizes[start:stop],
        page.times[start:stop],
        page.etags[start:stop],
        {n - start: why for n, why in page.unfit.items() if start <= n < stop} if page.unfit else {},
    )
