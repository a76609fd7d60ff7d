"""Pages of OCI's ListObjects: every field is what it must be, or there is no page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keepstep.stores.listing import Garbled
from keepstep.stores.oci_listing import parse, parse_folders

ITEM = {"name": "p/a", "size": 1, "etag": "e", "timeModified": "2026-01-01T00:00:00.000Z", "md5": None}


def page(*items: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"objects": [*items], **more}).encode()


def item(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (ITEM | changes).items() if value != "left out"}


def test_a_page_is_read() -> None:
    """Names without the prefix, sizes, times, tags, digests, archives, and where the next page starts."""
    listed = parse(
        page(
            item(md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
            item(name="p/", size=0, timeModified=None, timeCreated="1970-01-01T00:00:01Z"),
            item(name="p/é\U0001f986", archivalState="Archived"),
            nextStartWith="p/z",
        ),
        "p/",
        has_digests=True,
    )
    assert listed.page.keys == ["a", "", "é\U0001f986"]
    assert listed.page.sizes == [1, 0, 1]
    assert listed.page.times[1] == 1_000_000
    assert listed.page.digests == ["d41d8cd98f00b204e9800998ecf8427e", "", ""]
    assert [*listed.page.unfit] == [2]
    assert (listed.token, listed.unrepresentable_names) == ("p/z", [])
    assert parse(page(), "", has_digests=False).token is None


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "a proxy's page": b"<html>Bad gateway</html>",
    "null": b"null",
    "a list": b"[]",
    "no objects": b"{}",
    "objects is an object": b'{"objects": {}}',
    "objects is a text": b'{"objects": ""}',
    "objects twice": b'{"objects": [], "objects": []}',
    "an object is null": b'{"objects": [null]}',
    "cut": page(item())[:-5],
    "no name": page(item(name="left out")),
    "a name of another type": page(item(name=1)),
    "a name from elsewhere": page(item(name="q/a")),
    "no size": page(item(size=None)),
    "a negative size": page(item(size=-1)),
    "a fractional size": page(item(size=1.5)),
    "a size in words": page(item(size="1")),
    "a size that is true": page(item(size=True)),
    "not a number": page(item(size=float("nan"))),
    "infinity": page(item(size=float("inf"))),
    "a size of thousands of digits": page(item(size=7)).replace(b": 7", b": " + b"7" * 5000),
    "a size beyond all": page(item(size=1 << 70)),
    "no time": page(item(timeModified=None)),
    "a time that is none": page(item(timeModified="soon")),
    "a time of another type": page(item(timeModified=[1])),
    "no etag": page(item(etag=None)),
    "nextStartWith of another type": page(nextStartWith=1),
    "an empty nextStartWith": page(nextStartWith=""),
    "half a character as nextStartWith": page(nextStartWith="\ud800"),
    "great depth": b'{"objects": [' + b"[" * 100_000,
    "not UTF-8": b'{"objects": [], "x": "\xff"}',
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_anything_else_is_no_page(body: bytes) -> None:
    """Nothing that is missing or of another kind is taken for an empty page, and nothing else is raised."""
    with pytest.raises(Garbled):
        parse(body, "p/", has_digests=True)


def test_names_with_half_a_character_are_strays() -> None:
    """They are not keys of anything; the others come."""
    listed = parse(page(item(name="p/a\ud800"), item(name="p/b"), item(name="p/\udfffc")), "p/", has_digests=False)
    assert listed.page.keys == ["b"]
    assert [name for name, _ in listed.unrepresentable_names] == ["a\\ud800", "\\udfffc"]


def test_times_beyond_the_calendar_are_its_ends() -> None:
    """Such an object is very new or very old, and no reason to give up."""
    (time,) = parse(page(item(timeModified="99999-01-01T00:00:00Z")), "p/", has_digests=False).page.times
    assert time == 253_402_300_799_999_999


def test_folders_are_read_as_carefully() -> None:
    """They only divide the work, but a wrong answer must not raise anything else."""
    assert parse_folders(b'{"objects": [], "prefixes": ["p/a/", "p/\\ud800/"]}', "p/") == (["a/"], False)
    for body in (b"{}", b'{"objects": [], "prefixes": [1]}', b'{"objects": [], "prefixes": "p/"}'):
        with pytest.raises(Garbled):
            parse_folders(body, "p/")
