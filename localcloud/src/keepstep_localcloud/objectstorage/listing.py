"""ListObjects: one page of a bucket, at a cost that depends on the page and not on the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keepstep_localcloud.objectstorage.objects import Objects
from keepstep_localcloud.objectstorage.problems import invalid
from keepstep_localcloud.objectstorage.stored import FIELDS

MOST = 1000
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
        end = min((each for each in (query.get("end"), after_prefix(prefix)) if each is not None), default=None)
        fields = tuple(_field(name) for name in query.get("fields", "").split(",") if name.strip())
        limit = limit_of(query, MOST)
        return cls(begin, end, prefix, query.get("delimiter", ""), limit, ("name", *fields))


def after_prefix(prefix: str) -> str | None:
    """The least string after all that begin with ``prefix``; None when nothing follows them."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    # No text has code points from D800 to DFFF.
    following = 0xE000 if ord(stem[-1]) == 0xD7FF else ord(stem[-1]) + 1
    return stem[:-1] + chr(following)


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


def page(objects: Objects, bucket: int, query: Query, *, stale: bool) -> bytes:
    """The page as JSON: ``{"objects": [...], "prefixes": [...], "nextStartWith": ...}``."""
    found: list[str] = []
    prefixes: list[str] = []
    following = None
    for name, summary in _entries(objects, bucket, query, stale=stale):
        if len(found) + len(prefixes) == query.limit:
            following = name
            break
        if query.delimiter and (group := _group(name, query)):
            prefixes.append(group)
        else:
            found.append(summary)
    more = f', "nextStartWith": {json.dumps(following)}' if following is not None else ""
    return f'{{"objects": [{", ".join(found)}], "prefixes": {json.dumps(prefixes)}{more}}}'.encode()


def _entries(objects: Objects, bucket: int, query: Query, *, stale: bool) -> Iterator[tuple[str, str]]:
    """Name and summary of the objects in range; of those that share a group only the first."""
    if not query.delimiter:
        yield from objects.summaries(bucket, query.fields, query.begin, query.end, stale=stale)
        return
    begin: str | None = query.begin
    while begin is not None:
        entries, begin = objects.summaries(bucket, query.fields, begin, query.end, stale=stale), None
        for name, summary in entries:
            yield name, summary
            if group := _group(name, query):
                begin = group[:-1] + chr(ord("/") + 1)
                break


def _group(name: str, query: Query) -> str:
    """The prefix that the name is listed under; empty when it is listed itself."""
    return name[: name.find("/", len(query.prefix)) + 1]
