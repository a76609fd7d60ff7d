"""ListObjectsV2, ListObjects and ListObjectVersions as S3 documents them, over the objects that moto holds.

moto's own listings break on U+FFFE, copy every body to list versions, and take 0.4 ms a key. Order is that of the
keys' UTF-8 bytes, which is the order of their code points. A key that XML cannot hold is listed right with
``encoding-type=url``; without, it becomes a character reference, which parsers of XML 1.0 refuse: so does S3.
"""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from keepstep_localcloud.aws.body import S3Error
from keepstep_localcloud.aws.listing_xml import Document
from keepstep_localcloud.aws.versions import Version, version


@dataclass(frozen=True)
class Range:
    """What to list, and from where."""

    prefix: str
    delimiter: str
    limit: int
    after: str = ""
    """A key, or a common prefix when ``passed``: then all of it is behind us."""
    passed: bool = False


def _from_marker(query: Mapping[str, str], marker: str) -> Range:
    """A marker that is a common prefix has the delimiter at its end and, behind the prefix, nowhere before."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    at = marker.find(delimiter, len(prefix)) if delimiter and marker.startswith(prefix) else -1
    passed = at >= 0 and at + len(delimiter) == len(marker)
    return Range(prefix, delimiter, _limit(query), marker, passed)


Find = Callable[[str], Sequence[Version]]
"""The versions to list of a key."""


def items(keys: Sequence[str], find: Find, wanted: Range) -> Iterator[Version | str]:
    """Versions, and common prefixes as text, in order. ``keys``: all of them, in order."""
    prefix, delimiter = wanted.prefix, wanted.delimiter
    at = bisect_left(keys, prefix)
    if wanted.after:
        after = _past(keys, wanted.after, 0) if wanted.passed else bisect_right(keys, wanted.after)
        at = max(at, after)
    while at < len(keys) and keys[at].startswith(prefix):
        end = keys[at].find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            yield from find(keys[at])
            at += 1
        else:
            common = keys[at][: end + len(delimiter)]
            past = _past(keys, common, at)
            if any(find(key) for key in islice(keys, at, past)):
                yield common
            at = past


def _past(keys: Sequence[str], common: str, start: int) -> int:
    """The index of the first key after all that start with ``common``."""
    return bisect_left(keys, True, start, key=lambda key: key > common and not key.startswith(common))


class Listing:
    """Answers for all buckets; remembers their keys in order until :meth:`forget` says that they changed."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}

    def forget(self, bucket: str) -> None:
        self._keys.pop(bucket, None)

    def answer(
        self, operation: str, bucket: Any, query: Mapping[str, str], past: Mapping[str, Version | None]
    ) -> str:
        """One page as XML. ``past``: what stood at some keys before, to answer from then. Raises 400."""
        keys = self._keys.get(bucket.name) or self._keys.setdefault(bucket.name, sorted(bucket.keys))
        if gone := [key for key in past if key not in bucket.keys]:
            keys = sorted([*keys, *gone])
        if operation == "ListObjectVersions":
            return _versions(bucket, keys, query)

        def find(key: str) -> Sequence[Version]:
            current = past[key] if key in past else version(bucket.keys[key])
            return [current] if current and not current.marker else []

        list_page = _page_v2 if operation == "ListObjectsV2" else _page_v1
        return list_page(bucket.name, keys, find, query)


def _page_v2(bucket: str, keys: Sequence[str], find: Find, query: Mapping[str, str]) -> str:
    token = query.get("continuation-token")
    after, passed = _decoded(token) if token is not None else (query.get("start-after", ""), False)
    wanted = Range(query.get("prefix", ""), query.get("delimiter", ""), _limit(query), after, passed)
    found, more = _cut(items(keys, find, wanted), wanted.limit)
    xml = Document("ListBucketResult", bucket, query)
    xml.text("KeyCount", str(len(found)))
    if token is not None:
        xml.plain("ContinuationToken", token)
    elif after:
        xml.text("StartAfter", after)
    if more:
        xml.plain("NextContinuationToken", _encoded(found[-1]))
    owner = query.get("fetch-owner") == "true"
    return xml.page(found, limit=wanted.limit, truncated=more, owner=owner)


def _page_v1(bucket: str, keys: Sequence[str], find: Find, query: Mapping[str, str]) -> str:
    wanted = _from_marker(query, query.get("marker", ""))
    found, more = _cut(items(keys, find, wanted), wanted.limit)
    xml = Document("ListBucketResult", bucket, query)
    xml.text("Marker", wanted.after)
    if more and wanted.delimiter:
        xml.text("NextMarker", _name(found[-1]))
    return xml.page(found, limit=wanted.limit, truncated=more, owner=True)


def _versions(bucket: Any, keys: Sequence[str], query: Mapping[str, str]) -> str:
    def find(key: str) -> Sequence[Version]:
        newest_first = reversed(bucket.keys.getlist(key))
        return [version(held, latest=not index) for index, held in enumerate(newest_first)]

    marker = query.get("key-marker", "")
    wanted = _from_marker(query, marker)
    rest: list[Version] = []
    if after := query.get("version-id-marker"):
        ids = [one.id for one in find(marker)] if marker in bucket.keys else []
        rest = list(find(marker))[ids.index(after) + 1 :] if after in ids else []
    found, more = _cut(chain(rest, items(keys, find, wanted)), wanted.limit)
    xml = Document("ListVersionsResult", bucket.name, query)
    xml.text("KeyMarker", marker)
    xml.plain("VersionIdMarker", after or "")
    if more:
        xml.text("NextKeyMarker", _name(found[-1]))
        xml.plain("NextVersionIdMarker", found[-1].id if isinstance(found[-1], Version) else "")
    return xml.page(found, limit=wanted.limit, truncated=more, owner=True, versions=True)


def _cut(found: Iterator[Version | str], limit: int) -> tuple[list[Version | str], bool]:
    listed = list(islice(found, limit + 1)) if limit else []
    return listed[:limit], len(listed) > limit


def _limit(query: Mapping[str, str]) -> int:
    given = query.get("max-keys") or "1000"
    if not (given.isascii() and given.isdigit() and int(given) < 2**31):
        raise S3Error(400, "InvalidArgument", "Provided max-keys not an integer or within integer range")
    return min(int(given), 1000)


def _name(item: Version | str) -> str:
    return item if isinstance(item, str) else item.key


def _encoded(item: Version | str) -> str:
    kind = "p" if isinstance(item, str) else "k"
    return base64.urlsafe_b64encode(f"{kind}{_name(item)}".encode()).decode()


def _decoded(token: str) -> tuple[str, bool]:
    """Where the token says to go on: after which key, or past which common prefix."""
    try:
        text = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        text = ""
    if text[:1] not in ("p", "k"):
        raise S3Error(400, "InvalidArgument", "The continuation token provided is incorrect")
    return text[1:], text[0] == "p"
