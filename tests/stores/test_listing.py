"""A listing is complete or an error: whatever the store's order, its pages, and what it makes of start-after."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.errors import Corrupt, Error, Transient
from keepstep.stores.interface import EVERYTHING, Page, Span
from keepstep.stores.listing import CloudListing, Garbled, Habits, repeated, roots
from keepstep.stores.ranges import Disordered, Fetched, PageSource, RangedPages
from tests.stores.shelves import ORDERS, STARTS, Order, Shelf, folders_first, utf8

names = st.text(st.sampled_from("aAbB019-.!/é\ue000\U0001f986"), max_size=6)
numbered = st.builds(
    lambda prefix, width, count: [f"{prefix}{n:0{width}}" for n in range(count)],
    names,
    st.integers(1, 4),
    st.integers(1, 120),
)
many_keys = st.lists(st.one_of(numbered, st.lists(names, max_size=60)), max_size=5).map(
    lambda groups: sorted({key for group in groups for key in group})
)
orders = st.sampled_from(list(ORDERS.values()))
starts = st.sampled_from(STARTS)
page_sizes = st.sampled_from([1, 2, 3, 7, 20, 1000])
examples = settings(deadline=None, derandomize=True, max_examples=200)


def habits(*, is_order_known: bool = False) -> Habits:
    return Habits("s3://b", [], is_order_known=is_order_known)


def listing(source: PageSource, how: Habits, spans: Sequence[Span] = EVERYTHING) -> CloudListing:
    return CloudListing(source, spans, how, [])


def keys_in(pages: CloudListing | RangedPages) -> list[str]:
    async def main() -> list[str]:
        return [key async for page in pages for key in page.keys]

    return asyncio.run(asyncio.wait_for(main(), 60))


@examples
@given(many_keys, orders, starts, page_sizes)
def test_every_key_once_and_in_order(keys: list[str], order: Order, start: str, page_size: int) -> None:
    """Whatever the order of the store, the size of its pages, and start-after: every key comes once, in ours."""
    how = habits()
    assert keys_in(listing(Shelf(keys, order, page_size=page_size, starts=start), how)) == keys
    assert len(how.notices) == how.needs_sorting


@examples
@given(many_keys, orders, starts, page_sizes, st.integers(0, 99), st.integers(1, 16))
def test_ranges_lose_nothing_unnoticed(
    keys: list[str], order: Order, start: str, page_size: int, seed: int, width: int
) -> None:
    """A listing that is read in ranges gives every key, or finds that the order is another one; even at once."""
    shelf = Shelf(keys, order, page_size=page_size, starts=start, seed=seed)
    try:
        found = keys_in(RangedPages(shelf, is_trusted=False, proof=0, width=width, ahead=5))
    except Disordered:
        assert order is not utf8 or start != "honoured"
    else:
        assert found == keys


@examples
@given(many_keys, orders, page_sizes, st.integers(0, 99))
def test_a_store_that_breaks_its_promise_is_noticed(
    keys: list[str], order: Order, page_size: int, seed: int
) -> None:
    """Also where an order is promised: all keys come, sorted if need be, or the listing ends with an error."""
    seen: list[str] = []

    async def main() -> None:
        shelf = Shelf(keys, order, page_size=page_size, seed=seed)
        async for page in listing(shelf, habits(is_order_known=True)):
            seen.extend(page.keys)

    try:
        asyncio.run(main())
    except Disordered:
        assert all(one < other for one, other in pairwise(seen))
    else:
        assert seen == keys


spans_of = st.lists(names, max_size=6, unique=True).map(
    lambda ends: [Span(a, b) for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


@examples
@given(many_keys, orders, page_sizes, spans_of, st.booleans(), st.booleans())
def test_spans_are_cut_out_whatever_the_order(
    keys: list[str], order: Order, page_size: int, spans: list[Span], from_start: bool, to_end: bool
) -> None:
    """Exactly the keys of the spans come; what a span leaves out is never told by an order that is not known."""
    if from_start and spans:
        spans[0] = Span(None, spans[0].until)
    if to_end or not spans:
        spans.append(Span(spans[-1].until if spans else None, None))
    found = keys_in(listing(Shelf(keys, order, page_size=page_size), habits(), spans))
    assert found == [key for key in keys if any(span.holds(key) for span in spans)]


def test_only_what_begins_alike_is_read_of_an_unknown_order() -> None:
    """Spans narrow such a listing to what all their keys begin with: no order is needed for that."""
    assert roots([Span("logs.\U0010ffff", "logs0")]) == ["logs"]
    assert roots([Span("a1", "a5"), Span("a12", "a13"), Span("b", "b/")]) == ["a", "b"]
    assert roots([Span(None, "b"), Span("b1", "b2")]) == [""]
    assert roots(EVERYTHING) == [""]
    assert roots([Span("a", "a")]) == []


def test_a_store_that_lists_as_it_should_costs_no_sorting() -> None:
    """In UTF-8 order nothing is noticed, and a long listing is read in ranges as from AWS."""
    keys = [f"data-{n:06}" for n in range(30_000)]
    shelf, how = Shelf(keys, utf8, page_size=1000, seed=1), habits()
    assert keys_in(listing(shelf, how)) == keys
    assert not how.notices
    assert shelf.requests < 70


def test_it_is_found_out_once_a_run() -> None:
    """The second listing of a store out of order is read by tokens from the start, and nothing more is said."""
    keys = sorted(f"{folder}{tail}/{n}" for folder in "ab" for tail in ("", "-", ".") for n in range(9))
    shelf, how = Shelf(keys, folders_first, page_size=10), habits()
    assert keys_in(listing(shelf, how)) == keys
    requests = shelf.requests
    assert keys_in(listing(shelf, how)) == keys
    assert shelf.requests - requests == -(-len(keys) // 10)
    assert len(how.notices) == 1
    assert "'a-/0' came after 'a/8'" in how.notices[0]


# pages that lead nowhere


class Pages:
    """Answers with these pages, in turn, from the first one when there is no token; with the last one forever."""

    def __init__(self, *pages: tuple[list[str], str | None]) -> None:
        self.pages = pages
        self.asked = 0
        self._next = 0

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        self.asked += 1
        assert self.asked < 5000, "this has no end"
        self._next = 0 if token is None else self._next
        keys, following = self.pages[min(self._next, len(self.pages) - 1)]
        self._next += 1
        count = len(keys)
        return Fetched(Page(keys, [1] * count, [0] * count, [""] * count), following)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        return [], False


LOOPS = {
    "one page forever": [(["a", "b"], "t")],
    "one page, new tokens": [(["a", "b"], "t1"), (["a", "b"], "t2"), (["a", "b"], "t3"), (["a", "b"], "t4")],
    "a token forever": [(["a"], "t"), (["b"], "t"), (["b"], "t")],
    "empty pages forever": [([], "t")],
    "two empty pages in turn": [([], "t1"), ([], "t2")] * 2000,
}


@pytest.mark.parametrize("is_order_known", [True, False])
@pytest.mark.parametrize("pages", LOOPS.values(), ids=LOOPS)
def test_pages_that_repeat_end_the_listing(pages: list[tuple[list[str], str | None]], is_order_known: bool) -> None:
    """A page or a token that comes again is an error, and soon."""
    source = Pages(*pages)
    with pytest.raises(Corrupt):
        keys_in(listing(source, habits(is_order_known=is_order_known)))
    assert source.asked < 1100


@pytest.mark.parametrize("is_order_known", [True, False])
def test_empty_pages_that_lead_on_are_read_over(is_order_known: bool) -> None:
    """Stores that skip what was deleted answer with empty pages now and then."""
    pages = Pages(([], "1"), (["a"], "2"), ([], "3"), ([], "4"), (["b"], "5"), ([], None))
    assert keys_in(listing(pages, habits(is_order_known=is_order_known))) == ["a", "b"]


def test_pages_that_overlap_are_read_once() -> None:
    """Where each page begins with the last key of the one before, the listing is whole all the same."""
    how = habits()
    assert keys_in(listing(Pages((["a", "b"], "1"), (["b", "c"], "2"), (["c", "d"], None)), how)) == list("abcd")
    assert how.needs_sorting


def test_a_key_twice_and_not_alike_is_an_error() -> None:
    """Of two states of one object nobody knows which is true."""
    first, second = Page(["b", "a"], [1, 1], [0, 0], ["", ""]), Page(["a"], [2], [0], [""])

    class Twice(Pages):
        async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
            return Fetched(second, None) if token else Fetched(first, "t")

    with pytest.raises(Corrupt, match="lists a key twice"):
        keys_in(listing(Twice(([], None)), habits()))


def test_what_came_before_a_listing_broke_is_given_and_all_else_is_unknown() -> None:
    """Of an order that is not known nothing follows from a part: everything is a hole."""

    class Broken(Pages):
        async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
            if token:
                raise Transient("cut")
            return await super().page(prefix, after, token)

    found, pages = [], listing(Broken((["a", "b"], "t")), habits())

    async def main() -> None:
        async for page in pages:
            assert [prefix for prefix, _ in pages.unreadable_prefixes] == [""]
            found.extend(page.keys)

    with pytest.raises(Transient):
        asyncio.run(main())
    assert found == ["a", "b"]


def test_objects_that_come_and_go_are_no_disorder() -> None:
    """A range that begins with another key than its neighbour foretold is asked again before it is doubted."""
    keys = [f"data-{n:06}" for n in range(20_000)]

    class Living(Shelf):
        """The first key of each range is deleted before the range before it reads as far."""

        begun: set[str]

        async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
            fetched = await super().page(prefix, token or after, None)
            if after is not None and after not in self.begun and fetched.page:
                self.begun.add(after)
                gone = self.keys.index(fetched.page.keys[0])
                del self.keys[gone], self.places[gone]
            # Places move, so that tokens are keys.
            return Fetched(fetched.page, fetched.page.keys[-1] if fetched.token else None)

    shelf, how = Living(keys, utf8, page_size=1000, seed=3), habits()
    shelf.begun = set()
    found = keys_in(listing(shelf, how))
    assert shelf.begun
    assert set(shelf.keys) <= set(found) <= set(keys)
    assert not how.needs_sorting


def test_a_garbled_answer_is_asked_for_again() -> None:
    """A proxy's page in place of a listing costs a repetition; when it stays, it is the error."""
    asked = 0

    async def answer() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Garbled("a proxy's page")
        return "a page"

    assert asyncio.run(repeated(answer)) == "a page"
    asked = -10
    with pytest.raises(Error, match="a proxy's page"):
        asyncio.run(repeated(answer))
    assert asked == -6
