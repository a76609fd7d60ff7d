"""A listing's pages are a plain listing cut in pieces, for any keys, prefix, delimiter and page size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep_localcloud.aws.body import S3Error
from keepstep_localcloud.aws.listing import Listing

KEYS = st.sets(st.text("ab/é\U0010ffff", min_size=1, max_size=5), max_size=12)
TEXTS = st.text("ab/é\U0010ffff", max_size=3)


class Keys(dict[str, list[Any]]):
    """As much of moto's key store as a listing looks at."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)[-1]

    def getlist(self, key: str) -> list[Any]:
        return super().__getitem__(key)


def held(key: str) -> Any:
    plain = {"version_id": "null", "last_modified_ISO8601": "2026-01-01T00:00:00.000Z", "etag": '"e"', "size": 1}
    return SimpleNamespace(name=key, storage_class="STANDARD", checksum_algorithm=None, **plain)


def pages(operation: str, keys: set[str], **query: str) -> list[tuple[list[str], list[str]]]:
    """Keys and common prefixes of every page."""
    bucket = SimpleNamespace(name="b", keys=Keys({key: [held(key)] for key in keys}))
    found, following = [], {"encoding-type": "url", **query}
    while True:
        root = ElementTree.fromstring(Listing().answer(operation, bucket, following, {}))
        read = {name: [unquote_plus(e.text or "") for e in root.iterfind(path)] for name, path in PATHS.items()}
        found.append((read["key"] + read["version"], read["prefix"]))
        if root.findtext("{*}IsTruncated") == "false":
            return found
        following |= {name: (read[element] + read["key"][-1:])[0] for name, element in NEXT[operation].items()}


PATHS = {
    "key": "{*}Contents/{*}Key",
    "version": "{*}Version/{*}Key",
    "prefix": "{*}CommonPrefixes/{*}Prefix",
    "token": "{*}NextContinuationToken",
    "marker": "{*}NextMarker",
    "key-marker": "{*}NextKeyMarker",
    "version-marker": "{*}NextVersionIdMarker",
}
NEXT = {
    "ListObjectsV2": {"continuation-token": "token"},
    "ListObjects": {"marker": "marker"},
    "ListObjectVersions": {"key-marker": "key-marker", "version-id-marker": "version-marker"},
}


@pytest.mark.parametrize("operation", list(NEXT))
@settings(max_examples=150, deadline=None, derandomize=True)
@given(keys=KEYS, prefix=TEXTS, delimiter=st.sampled_from(["", "/", "a", "/a"]), size=st.integers(1, 5))
def test_pages_are_the_listing_in_pieces(
    operation: str, keys: set[str], prefix: str, delimiter: str, size: int
) -> None:
    """Together they have every key and common prefix once, in order, and each page but the last is full."""
    got = pages(operation, keys, prefix=prefix, delimiter=delimiter, **{"max-keys": str(size)})
    matching = sorted(key for key in keys if key.startswith(prefix))
    folded = {key: key.find(delimiter, len(prefix)) if delimiter else -1 for key in matching}
    assert [key for page, _ in got for key in page] == [key for key in matching if folded[key] < 0]
    prefixes = sorted({key[: end + len(delimiter)] for key, end in folded.items() if end >= 0})
    assert [prefix for _, page in got for prefix in page] == prefixes
    assert all(len(page) + len(common) == size for page, common in got[:-1])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(keys=KEYS, after=TEXTS)
def test_start_after_compares_bytes(keys: set[str], after: str) -> None:
    """What follows ``start-after`` in UTF-8 is listed, and nothing else."""
    ((got, _),) = pages("ListObjectsV2", keys, **{"start-after": after})
    assert got == sorted((key for key in keys if key.encode() > after.encode()), key=str.encode)


@pytest.mark.parametrize(
    "query", [{"max-keys": "-1"}, {"max-keys": "x"}, {"max-keys": "²"}, {"continuation-token": "!"}]
)
def test_bad_questions_are_refused(query: dict[str, str]) -> None:
    """A page size that is no number and a token that nobody gave are 400 InvalidArgument."""
    with pytest.raises(S3Error) as refusal:
        Listing().answer("ListObjectsV2", SimpleNamespace(name="b", keys=Keys()), query, {})
    assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")
