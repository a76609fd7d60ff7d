"""The objects of every bucket, as rows: found by name, and listed in the order of their names' UTF-8 bytes."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.contents import Contents
from keepstep_localcloud.objectstorage.spool import Received
from keepstep_localcloud.objectstorage.stored import FIELDS, StoredObject, new_etag
from keepstep_localcloud.storage import Database

PLACES = ", ".join("?" for _ in StoredObject._fields)


class Objects:
    """Every object of every bucket, and how a bucket was before its last change."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents
        self._before: dict[int, dict[str, StoredObject | None]] = {}

    @contextmanager
    def changing(self, bucket: int) -> Iterator[None]:
        """A change of a bucket: all or nothing, and what ``stale`` undoes."""
        with self._database.transaction():
            self._before[bucket] = {}
            yield

    def find(self, bucket: int, name: str) -> StoredObject | None:
        query = "select * from object where bucket = ? and name = ?"
        row = self._database.execute(query, (bucket, name)).fetchone()
        return StoredObject._make(row) if row else None

    def put(
        self,
        bucket: int,
        name: str,
        received: Received,
        properties: Mapping[str, str],
        *,
        tier: str = "Standard",
        md5: str | None = None,
        modified: str | None = None,
        customer_key: str | None = None,
    ) -> StoredObject:
        """Makes or replaces an object with a content that has arrived."""
        moment = modified or times.now()
        blob = self._contents.keep(received)
        text = json.dumps(dict(properties))
        new = StoredObject(
            bucket, name, received.size, new_etag(), md5 or received.md5, moment, moment,
            tier, None, None, text, customer_key, blob,
        )  # fmt: skip
        self.write(new)
        return new

    def write(self, new: StoredObject) -> None:
        """Puts an object, whose content has been counted, in place of the one with its name, if any."""
        old = self._remember(new.bucket, new.name)
        self._store(new)
        if old:
            self._contents.release(old.blob)

    def update(self, new: StoredObject) -> None:
        """Changes what is said about an object; its content stays."""
        self._remember(new.bucket, new.name)
        self._store(new)

    def _store(self, new: StoredObject) -> None:
        self._database.execute(f"insert or replace into object values ({PLACES})", new)  # noqa: S608

    def copy(self, source: StoredObject, **changes: Any) -> StoredObject:
        """A new object with the same content."""
        moment = times.now()
        new = source._replace(**{"etag": new_etag(), "created": moment, "modified": moment, **changes})
        self._contents.share(source.blob)
        self.write(new)
        return new

    def delete(self, bucket: int, name: str) -> None:
        """Removes an object that is there."""
        old = self._remember(bucket, name)
        self._database.execute("delete from object where bucket = ? and name = ?", (bucket, name))
        if old:
            self._contents.release(old.blob)

    def _remember(self, bucket: int, name: str) -> StoredObject | None:
        old = self.find(bucket, name)
        self._before[bucket].setdefault(name, old)
        return old

    def first(self, bucket: int) -> str | None:
        """The least name in the bucket."""
        query = "select name from object where bucket = ? order by name limit 1"
        row = self._database.execute(query, (bucket,)).fetchone()
        return row[0] if row else None

    def all(self, bucket: int) -> list[StoredObject]:
        rows = self._database.execute("select * from object where bucket = ?", (bucket,))
        return [StoredObject._make(row) for row in rows]

    def summaries(
        self, bucket: int, fields: Iterable[str], begin: str, end: str | None, *, stale: bool = False
    ) -> Iterator[tuple[str, str]]:
        """Name and JSON summary of the objects from ``begin`` to before ``end``, in order.

        Nothing is read beyond what is consumed. ``stale``: as they were before the last change.
        """
        values = {"bucket": bucket, "begin": begin, "end": end, "now": time.time()}
        columns = ", ".join(f"'{field}', {FIELDS[field]}" for field in fields)
        until = "" if end is None else "and name < :end"
        # SQLite writes the JSON: four times faster than a dictionary for each object.
        query = f"""
            select name, json_object({columns}) from object
            where bucket = :bucket and name >= :begin {until} order by name
        """  # noqa: S608
        rows: Iterator[tuple[str, str]] = self._database.execute(query, values)
        before = self._before.get(bucket, {}) if stale else {}
        if not before:
            return rows
        old = (entry for entry in before.values() if entry and entry.name >= begin)
        undone = sorted((entry.name, entry.summary(fields)) for entry in old if end is None or entry.name < end)
        return heapq.merge((row for row in rows if row[0] not in before), undone)

    def totals(self, bucket: int) -> tuple[int, int]:
        """How many objects, and how many bytes."""
        query = "select count(*), coalesce(sum(size), 0) from object where bucket = ?"
        count, size = self._database.execute(query, (bucket,)).fetchone()
        return count, size
