"""Blocks of two listings, planned with names of unknown kind in mind: they may be folders that cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keepstep.errors import Error
from keepstep.objects.blocks import plans
from keepstep.objects.merge_join import Side
from keepstep.objects.plan import Direction, Reason, Rules
from keepstep.stores.interface import Entry, Page
from tests.objects.worlds import FixedListing, page_of

COMPARISON: Any = None
"""Only where contents count."""


def listed(*pages: str) -> FixedListing:
    """Names by page; ``?`` stands before one of which not even the kind can be told."""
    return FixedListing([page_of(map(_entry, page.split())) for page in pages])


def _entry(word: str) -> Entry:
    return Entry(word[1:], -1, 0, unfit="cannot be examined") if word[0] == "?" else Entry(word, 1, 0)


def reasons(source: FixedListing, target: FixedListing, *, is_guarded: bool = True) -> dict[str, Reason]:
    """Why each key that only the target has is deleted or kept."""

    async def main() -> dict[str, Reason]:
        found = {}
        rules = Rules(Direction.UPLOAD, delete=True)
        sides = Side(source, "source"), Side(target, "target")
        async for _, _, plan in plans(rules, *sides, COMPARISON, explain=True, is_guarded=is_guarded):
            found.update({entry.key: Reason.TARGET_ONLY for entry in plan.deletes})
            found.update({idle.target.key: idle.reason for idle in plan.idle if idle.target and not idle.source})
        return found

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["?data", "z"], ["data/1", "data/2", "data/3", "z"]),
        (["?data z"], ["data/1", "data/2 data/3 z"]),
        (["a", "?data", "z"], ["a", "data/1 data/2", "data/3", "z"]),
        (["?data", "data- z"], ["data- data/1", "data/2", "data/3 z"]),
    ],
)
def test_nothing_is_deleted_under_a_name_of_unknown_kind(source: list[str], target: list[str]) -> None:
    """However the pages fall, what the target has under that name is kept, to the last key of it."""
    found = reasons(listed(*source), listed(*target))
    assert found == dict.fromkeys(["data/1", "data/2", "data/3"], Reason.UNKNOWN_AT_SOURCE)


def test_what_is_beyond_that_name_is_deleted() -> None:
    """Names that only begin alike are not under it."""
    found = reasons(listed("?data", "z"), listed("dat", "data-x", "data/1", "data0", "e", "z"))
    kept = [key for key, reason in found.items() if reason is Reason.UNKNOWN_AT_SOURCE]
    assert (kept, [*found]) == (["data/1"], ["dat", "data-x", "data/1", "data0", "e"])


@pytest.mark.parametrize(
    ("hole", "is_guarded", "kept"),
    [
        ("a/", True, ["a/1"]),
        ("a/", False, ["a/1"]),
        ("", True, []),
        ("", False, ["a/1", "b"]),
    ],
)
def test_what_is_under_a_folder_that_cannot_be_listed(hole: str, is_guarded: bool, kept: list[str]) -> None:
    """It is kept. Where nothing at all can be listed the deletes are planned for the guard, who withholds them."""
    source = listed("z")
    source.unreadable_prefixes.append((hole, Error("cannot be listed")))
    found = reasons(source, listed("a/1 b z"), is_guarded=is_guarded)
    assert [key for key, reason in found.items() if reason is Reason.UNKNOWN_AT_SOURCE] == kept
    assert found.keys() == {"a/1", "b"}


@pytest.mark.parametrize("size", [0, 5])
def test_a_name_whose_object_alone_cannot_be_read_hides_nothing(size: int) -> None:
    """A file that is known to be one, empty or not, is not a folder."""
    data = Page(["data"], [size], [0], [""], {0: "permission denied"})
    listing = FixedListing([data, page_of([Entry("z", 1, 0)])])
    assert reasons(listing, listed("data", "data/1", "z")) == {"data/1": Reason.TARGET_ONLY}
