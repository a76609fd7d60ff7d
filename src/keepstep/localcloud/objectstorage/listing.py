"""ListObjects: one page of a bucket, at a cost that depends on the page and not on the bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keepstep.localcloud.objectstorage.objects import Objects, StoredObject
from keepstep.localcloud.objectstorage.problems import invalid

MOST = 1000
FIELDS = ("name", "size", "etag", "timeCreated", "md5", "timeModified", "storageTier", "archivalState")
_FIELDS = {field.lower(): field for field in FIELDS}


@dataclass(frozen=True)
class Query:
    """What the client asked for."""

    begin: str
    """The first name that may appear."""
    end: str | None
    """The first name that may not."""
    prefix: str
    delimiter: str
    limit: int
    fields: tuple[str, ...]

    @classmethod
    def parsed(cls, query: Mapping[str, str]) -> Query:
        """Raises 400 ``InvalidParameter``."""
        prefix, start, after = (query.get(name, "") for name in ("prefix", "start", "startAfter"))
        if start and after:
            raise invalid("start and startAfter exclude each other")
        if query.get("delimiter", "/") not in ("/", ""):
            raise invalid("'/' is the only delimiter")
        # No name contains NUL, so this is the least string after ``after``.
        begin = max(prefix, start, f"{after}\0" if after else "")
        fields = tuple(_field(name) for name in query.get("fields", "").split(",") if name.strip())
        limit = limit_of(query, MOST)
        return cls(begin, query.get("end"), prefix, query.get("delimiter", ""), limit, ("name", *fields))


def limit_of(query: Mapping[str, str], default: int) -> int:
    """The parameter ``limit``, 1 to 1000. Raises 400 ``InvalidLimit``."""
    text = query.get("limit", str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise invalid(f"limit is not a number from 1 to {MOST}", "InvalidLimit")
    return int(text)


def _field(name: str) -> str:
    if name.strip().lower() not in _FIELDS:
        raise invalid(f"'{name}' is not a field of an object")
    return _FIELDS[name.strip().lower()]


def page(objects: Objects, bucket: int, query: Query, *, stale: bool) -> dict[str, Any]:
    """The page as ``{"objects": [...], "prefixes": [...], "nextStartWith": ...}``."""
    found: list[dict[str, Any]] = []
    prefixes: list[str] = []
    following = None
    now = time.time()
    for entry in _entries(objects, bucket, query, stale=stale):
        if len(found) + len(prefixes) == query.limit:
            following = entry.name
            break
        if group := _group(entry.name, query):
            prefixes.append(group)
        else:
            found.append(summary(entry, query.fields, now))
    result: dict[str, Any] = {"objects": found, "prefixes": prefixes}
    return {**result, "nextStartWith": following} if following is not None else result


def _entries(objects: Objects, bucket: int, query: Query, *, stale: bool) -> Iterator[StoredObject]:
    """The objects in range; of those that share a group only the first."""
    begin: str | None = query.begin
    while begin is not None:
        rows, begin = objects.scan(bucket, begin, stale=stale), None
        for row in rows:
            if not row.name.startswith(query.prefix) or (query.end is not None and row.name >= query.end):
                return
            yield row
            if group := _group(row.name, query):
                begin = group[:-1] + chr(ord("/") + 1)
                break


def _group(name: str, query: Query) -> str:
    """The prefix that the name is listed under; empty when it is listed itself."""
    if not query.delimiter:
        return ""
    end = name.find("/", len(query.prefix))
    return name[: end + 1]


def summary(entry: StoredObject, fields: tuple[str, ...], now: float) -> dict[str, Any]:
    """The fields of an object that were asked for and that it has."""
    values: dict[str, Any] = {
        "name": entry.name,
        "size": entry.size,
        "etag": entry.etag,
        "md5": entry.md5,
        "timeCreated": entry.created,
        "timeModified": entry.modified,
        "storageTier": entry.tier,
        "archivalState": entry.archival_state(now),
    }
    return {field: values[field] for field in fields if values[field] is not None}
