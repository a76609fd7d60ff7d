"""Lists in pages, and what is no page at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keepstep_localcloud.vault.pages import page_of
from keepstep_localcloud.wire import Principal, Request, ServiceError


def listing(numbers: list[int], **query: str) -> tuple[list[int], str | None]:
    request = Request("GET", "/", query, {}, b"", Principal("", "", "nobody"))
    page, headers = page_of(request, numbers, lambda number: (number,), descending=False)
    return page, headers.get("opc-next-page")


@given(st.sets(st.integers()), st.integers(1, 5), st.sampled_from(["ASC", "DESC"]))
def test_every_item_is_on_one_page(numbers: set[int], limit: int, order: str) -> None:
    """The pages together are the whole list in order, each but the last one full."""
    seen: list[int] = []
    query = {"limit": str(limit), "sortOrder": order}
    while True:
        page, token = listing(list(numbers), **query)
        seen += page
        if not token:
            break
        assert len(page) == limit
        query["page"] = token
    assert seen == sorted(numbers, reverse=order == "DESC")


def test_items_that_come_and_go_hide_no_other() -> None:
    """When the last item seen is gone at the next page, the one after it is not passed over."""
    page, token = listing([1, 2, 3, 4], limit="2")
    assert (page, token is not None) == ([1, 2], True)
    assert listing([1, 3, 4], limit="2", page=token or "") == ([3, 4], None)


@given(st.text())
@example(base64.b64encode(b"[" * 30_000).decode())
@example(base64.b64encode(b'["a", "b"]').decode())
@example(base64.b64encode(b"5").decode())
def test_any_text_as_a_page(token: str) -> None:
    """A page that is none of ours is 400 InvalidParameter or an honest page, never a fault of the server."""
    try:
        page, _ = listing([1, 2], page=token)
    except ServiceError as error:
        assert (error.status, error.code) == (400, "InvalidParameter")
    else:
        assert set(page) <= {1, 2}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "²", "9" * 5000])
def test_limits(limit: str) -> None:
    """A limit is a number between 1 and 1000."""
    with pytest.raises(ServiceError, match="limit must be between 1 and 1000"):
        listing([1], limit=limit)
