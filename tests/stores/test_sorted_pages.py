"""Pages come out in order however they went in, from memory and from disk."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.errors import Corrupt, Error
from keepstep.stores.interface import Entry, Page
from keepstep.stores.sorted_pages import SortedPages

keys = st.text(st.sampled_from("ab/-\ue000\U0001f986"), max_size=5)
entries = st.lists(
    st.builds(Entry, keys, st.integers(0, 9), st.integers(0, 9), st.just("e"), st.sampled_from(["", "archived"])),
    unique_by=lambda entry: entry.key,
    max_size=60,
)


def page_of(items: list[Entry]) -> Page:
    page = Page()
    for entry in items:
        page.append(entry)
    return page


def came(pages: SortedPages) -> list[Entry]:
    try:
        return [page.entry(n) for page in pages for n in range(len(page))]
    finally:
        pages.close()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(entries, st.integers(1, 9), st.integers(1, 100), st.booleans())
def test_all_come_in_order(items: list[Entry], page_size: int, in_memory: int, is_ordered: bool) -> None:
    """Whatever the order, the size of the pages and how many fit into memory: each object comes once, as it was."""
    pages = SortedPages(in_memory)
    for start in range(0, len(items), page_size):
        pages.add(
            page_of(sorted(items)[start : start + page_size] if is_ordered else items[start : start + page_size])
        )
    assert came(pages) == sorted(items)


@pytest.mark.parametrize("in_memory", [1, 100])
def test_of_two_alike_one_comes(in_memory: int) -> None:
    """The same object on two pages is one; two states of one key are an error."""
    pages = SortedPages(in_memory)
    for items in ([Entry("b", 1, 1), Entry("a", 1, 1)], [Entry("a", 1, 1)]):
        pages.add(page_of(items))
    assert [entry.key for entry in came(pages)] == ["a", "b"]
    pages = SortedPages(in_memory)
    for items in ([Entry("b", 1, 1), Entry("a", 1, 1)], [Entry("a", 2, 1)]):
        pages.add(page_of(items))
    with pytest.raises(Corrupt, match="lists a key twice"):
        came(pages)


def test_cleared_is_empty() -> None:
    """Nothing of an attempt that failed is left."""
    pages = SortedPages(2)
    assert not pages
    pages.add(page_of([Entry("b", 1, 1), Entry("a", 1, 1)]))
    assert pages
    pages.clear()
    assert not pages
    pages.add(page_of([Entry("c", 1, 1)]))
    assert [entry.key for entry in came(pages)] == ["c"]


def test_no_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary file can be written, the error says where, and what to do."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(Error, match="cannot write a temporary file in /nowhere/at/all") as caught:
        SortedPages(1).add(page_of([Entry("a", 1, 1)]))
    assert "TMPDIR" in str(caught.value.hint)
