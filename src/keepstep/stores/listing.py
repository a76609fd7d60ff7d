"""Where the listings of clouds are certified: all stores, one place.

That a key which is not listed is not there follows only from a listing whose order is known, and orders differ.
AWS and OCI promise that of UTF-8 bytes; other stores that speak S3 list in the order of folders (``a/b`` before
``a-1``) or of UTF-16, or ignore ``start-after``. So there are two ways:

* from a store whose order is known, pages are handed on as they come in, and spans alone are asked for;
* from any other store everything is read to its end before the first key is handed on. It is read in ranges as long
  as its order holds; once that fails, from page to page by continuation tokens, and sorted. When such a listing
  fails, what arrived is handed on, and everything else counts as unreadable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple, TypeVar

from keepstep.errors import Corrupt, Error, Transient
from keepstep.stores.interface import EVERYTHING, Page, Span
from keepstep.stores.ranges import Disordered, Fetched, PageSource, RangedPages, is_repeated
from keepstep.stores.sorted_pages import SortedPages

T = TypeVar("T")

UnrepresentableName = tuple[str, str]
"""A name that cannot be a key, in printable form, and the reason."""
_PAUSES = (0.1, 0.4, 1.6)
"""Seconds."""


class ListedPage(NamedTuple):
    """One answer to a listing."""

    page: Page
    """Keys are relative to the prefix that was listed."""
    token: str | None
    """The token of the next page; None at the end."""
    unrepresentable_names: list[UnrepresentableName]


class Garbled(Transient):
    """The answer is not a listing: a proxy's page, or a truncated answer."""


async def repeated(read: Callable[[], Awaitable[T]]) -> T:
    """Reads an answer, and repeats the request a few times when it is garbled."""
    for pause in _PAUSES:
        try:
            return await read()
        except Garbled:
            await asyncio.sleep(pause)
    return await read()


@dataclass
class Habits:
    """How one store lists, as far as it is known: by the first listing of a run for all others."""

    name: str
    """How messages call the store."""
    notices: list[str]
    """See :attr:`keepstep.stores.interface.Store.notices`."""
    is_order_known: bool
    """Whether the store promises the order of UTF-8 bytes."""
    needs_sorting: bool = False
    """Whether it was found to list otherwise."""
    left_out: Sequence[str] = ()
    """Names of optional headers and parameters that it refuses."""

    def found(self, disorder: Disordered) -> None:
        if not self.needs_sorting:
            self.needs_sorting = True
            self.notices.append(
                f"{self.name} does not list as S3 does ({disorder.what}): "
                "its listing is read to the end and sorted before anything is compared"
            )


class CloudListing:
    """See :class:`~keepstep.stores.interface.Listing`."""

    def __init__(
        self,
        source: PageSource,
        spans: Sequence[Span],
        habits: Habits,
        unrepresentable_names: list[UnrepresentableName],
    ) -> None:
        self.unreadable_prefixes: list[tuple[str, Error]] = []
        self.unrepresentable_names = unrepresentable_names
        self._source = source
        self._spans = spans
        self._habits = habits

    async def __aiter__(self) -> AsyncIterator[Page]:
        habits, has_begun = self._habits, False
        if all(span.is_empty for span in self._spans):
            await self._source.page("", None, None)  # finds out whether there is such a place
            return
        if habits.is_order_known and not habits.needs_sorting:
            try:
                async with aclosing(aiter(RangedPages(self._source, self._spans))) as pages:
                    async for page in pages:
                        has_begun = True
                        yield page
                return
            except Disordered as exc:
                if has_begun:  # what was handed on may have had gaps
                    raise
                habits.found(exc)
        collected, error = SortedPages(), None
        try:
            try:
                await self._collect(collected)
            except Error as exc:
                if not collected:
                    raise
                # What came is there; of what did not come nothing is known, anywhere.
                error = exc
                self.unreadable_prefixes.append(("", exc))
            for page in collected:
                if part := self._within(page):
                    yield part
        finally:
            collected.close()
        if error:
            raise error

    async def _collect(self, collected: SortedPages) -> None:
        """Reads everything that begins as the spans do, in ranges where the order allows for it."""
        habits, prefixes = self._habits, roots(self._spans)
        if not habits.needs_sorting:
            try:
                for prefix in prefixes:
                    pages = RangedPages(self._source, prefix=prefix, is_trusted=False)
                    async with aclosing(aiter(pages)) as came:
                        async for page in came:
                            collected.add(page)
                return
            except Disordered as exc:
                habits.found(exc)
                collected.clear()
        for prefix in prefixes:
            async for page in by_tokens(self._source, prefix):
                collected.add(page)

    def _within(self, page: Page) -> Page:
        """What of a page lies in the spans."""
        if list(self._spans) == list(EVERYTHING):
            return page
        wanted = [n for n, key in enumerate(page.keys) if any(span.holds(key) for span in self._spans)]
        if len(wanted) == len(page):
            return page
        kept = Page()
        for number in wanted:
            kept.append(page.entry(number))
        return kept


def roots(spans: Sequence[Span]) -> list[str]:
    """Prefixes, none of them part of another: every key of the spans begins with one, whatever the order."""
    found = {_common(span.after or "", span.until or "") for span in spans if not span.is_empty}
    return sorted(one for one in found if not any(one != other and one.startswith(other) for other in found))


def _common(one: str, other: str) -> str:
    """What two texts both begin with."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


async def by_tokens(source: PageSource, prefix: str) -> AsyncIterator[Page]:
    """The pages of a listing, one after the other, in whatever order."""
    fetched = Fetched(Page(), "")
    seen: set[int] = set()
    while fetched.token is not None:
        fetched = await source.page(prefix, None, fetched.token or None)
        if is_repeated(fetched, seen):
            raise Corrupt(
                "the store lists the same page again and again",
                hint="neither start-after nor continuation-token lead on; the listing cannot be read to its end",
            )
        yield fetched.page


def add_new(unrepresentable_names: list[UnrepresentableName], found: Sequence[UnrepresentableName]) -> None:
    """Adds the names that are new: neighbouring ranges may both report one."""
    if found:
        known = set(unrepresentable_names)
        unrepresentable_names += [stray for stray in found if stray not in known]


def unrepresentable(name: str, why: str = "its name is not UTF-8") -> UnrepresentableName:
    """A name with halves of characters, or with bytes that are not text (as ``surrogateescape`` keeps them)."""
    return "".join(character if character.isprintable() else _escaped(character) for character in name), why


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else character.encode("ascii", "backslashreplace").decode()
