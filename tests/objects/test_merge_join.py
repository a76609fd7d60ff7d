"""Two listings side by side: every certain key comes, once, and nothing that is uncertain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import Corrupt, Error, Transient
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.merge_join import Side, merge_join
from keepstep.stores.interface import Entry, Page
from tests.objects.worlds import FixedListing, examples, keys, page_of

key_lists = st.lists(keys, unique=True, max_size=14).map(sorted)
cuts = st.lists(st.integers(0, 14), max_size=5).map(sorted)
filters = st.sampled_from([Filters(), Filters([Rule(False, "a*")]), Filters([Rule(False, "*"), Rule(True, "b*")])])


def pages(items: list[str], at: list[int]) -> list[Page]:
    """The keys as a listing of pages that end where ``at`` says, empty ones among them."""
    bounds = [0, *(min(n, len(items)) for n in at), len(items)]
    return [page_of(Entry(key, 1, 1) for key in items[a:b]) for a, b in pairwise(bounds)]


def walked(left: Side, right: Side) -> list[tuple[Page, Page]]:
    async def main() -> list[tuple[Page, Page]]:
        return [block async for block in merge_join(left, right)]

    return asyncio.run(asyncio.wait_for(main(), 20))


@examples
@given(key_lists, cuts, key_lists, cuts, filters)
def test_every_key_comes_once_and_in_order(
    ours: list[str], our_cuts: list[int], theirs: list[str], their_cuts: list[int], chosen: Filters
) -> None:
    """However the pages fall, both sides' keys in scope come whole, in order, and each block is one interval."""
    left = Side(FixedListing(pages(ours, our_cuts)), "source", chosen)
    right = Side(FixedListing(pages(theirs, their_cuts)), "target", chosen)
    blocks = walked(left, right)
    assert [k for a, _ in blocks for k in a.keys] == list(filter(chosen.includes, ours))
    assert [k for _, b in blocks for k in b.keys] == list(filter(chosen.includes, theirs))
    for (a, b), (c, d) in pairwise(blocks):
        assert max(a.keys + b.keys) < min(c.keys + d.keys)
    assert left.is_certified
    assert right.is_certified
    assert (left.keys, right.keys) == (len(ours), len(theirs))


@examples
@given(key_lists, cuts, key_lists, cuts, st.integers(0, 5), st.booleans(), filters)
def test_a_listing_that_breaks_ends_the_walk_at_its_last_key(
    whole: list[str],
    at: list[int],
    other: list[str],
    other_at: list[int],
    left_out: int,
    is_source: bool,
    chosen: Filters,
) -> None:
    """Wherever a listing breaks, exactly the keys up to its last one come, of both sides; it is not certified."""
    came = pages(whole, at)[: max(0, len(at) + 1 - left_out)]
    certain = [key for page in came for key in page.keys]
    broken = Side(FixedListing(came, Transient("cut")), "broken", chosen)
    sound = Side(FixedListing(pages(other, other_at)), "sound", chosen)
    blocks = walked(broken, sound) if is_source else [(b, a) for a, b in walked(sound, broken)]
    assert [k for a, _ in blocks for k in a.keys] == list(filter(chosen.includes, certain))
    up_to = [key for key in other if certain and key <= certain[-1]]
    assert [k for _, b in blocks for k in b.keys] == list(filter(chosen.includes, up_to))
    assert isinstance(broken.error, Transient)
    assert not broken.is_certified


DISORDERLY = {
    "within a page": [["a", "c", "b"]],
    "repeated within a page": [["a", "b", "b"]],
    "from page to page": [["a", "c"], ["b", "d"]],
    "repeated from page to page": [["a", "b"], ["b", "c"]],
    "the empty key repeated": [[""], [""]],
    "the same page forever": [["a", "b"], ["a", "b"]],
}


@pytest.mark.parametrize("disorder", DISORDERLY.values(), ids=DISORDERLY)
def test_a_listing_out_of_order_is_stopped(disorder: list[list[str]]) -> None:
    """Keys out of order, or twice, end the walk before anything is compared that could be wrong."""
    made = [Page(k, [1] * len(k), [1] * len(k), [""] * len(k)) for k in disorder]
    left, right = Side(FixedListing(made), "source"), Side(FixedListing(pages(["a", "b", "c"], [])), "target")
    walked(left, right)
    assert isinstance(left.error, Corrupt)
    assert left.error.hint
    assert not left.is_certified


def test_a_fault_of_ours_is_not_the_end_of_a_listing() -> None:
    """An exception that no store should raise breaks the listing like any other, and is called what it is."""
    left = Side(FixedListing(pages(["a"], []), ZeroDivisionError("oops")), "source")
    right = Side(FixedListing(pages(["a", "b"], [])), "target")
    walked(left, right)
    assert left.error is not None
    assert left.error.message == "internal error while listing the source: ZeroDivisionError('oops')"
    assert not left.is_certified


def test_holes_count_where_a_key_in_scope_may_be() -> None:
    """A part that cannot be read leaves a listing uncertified, unless the filters exclude all of it."""
    listing = FixedListing(pages(["a"], []))
    listing.unreadable_prefixes.append(("lost+found/", Error("cannot read it")))
    left, right = Side(listing, "source"), Side(FixedListing([]), "target")
    walked(left, right)
    assert not left.is_certified
    left.filters = Filters([Rule(False, "lost+found/*")])
    assert left.is_certified


class CountedListing(FixedListing):
    """Knows how many pages were asked for."""

    asked = 0

    async def __aiter__(self) -> AsyncIterator[Page]:
        async for page in super().__aiter__():
            self.asked += 1
            yield page


def test_pages_are_fetched_ahead_but_few() -> None:
    """While a block is worked on, the next pages are on their way; never more than a handful is held."""
    listing = CountedListing(pages([f"{n:04}" for n in range(100)], list(range(100))))

    async def main() -> None:
        blocks = merge_join(Side(listing, "source"), Side(FixedListing([]), "target"))
        seen = 0
        async for _ in blocks:
            await asyncio.sleep(0.001)
            seen += 1
            assert listing.asked <= seen + 4
            assert listing.asked > seen or seen > 95
        assert seen == 100

    asyncio.run(main())


def test_a_walk_that_is_left_early_leaves_no_task_behind() -> None:
    """Whoever stops in the middle gets a clean event loop back."""

    async def main() -> None:
        listing = FixedListing(pages([f"{n:04}" for n in range(100)], list(range(100))))
        async with aclosing(merge_join(Side(listing, "source"), Side(listing, "target"))) as blocks:
            async for _ in blocks:
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
