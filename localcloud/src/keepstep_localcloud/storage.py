"""Where the local OCI keeps what it is given: SQLite for everything small, files for large contents.

What was answered with success is there after ``kill -9``: a transaction is in the write-ahead log before the answer
leaves. (It may not be there after a power cut: nothing waits for the disk.)
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
create table if not exists document (
    kind text, id text, body blob not null,
    primary key (kind, id)
) without rowid;
create table if not exists object (
    bucket integer, name text, size integer not null, etag text not null, md5 text, created text not null,
    modified text not null, tier text not null, restored real, expires real, properties text not null,
    customer_key text, blob integer,
    primary key (bucket, name)
) without rowid;
create table if not exists part (
    upload text, number integer, size integer not null, etag text not null, md5 text not null, blob integer,
    primary key (upload, number)
) without rowid;
create table if not exists blob (id integer primary key, uses integer not null, data blob);
"""


class Database:
    """One SQLite file, used from one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        path.chmod(0o600)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = off")
        self._connection.executescript(SCHEMA)
        self.execute = self._connection.execute
        self._after: list[Callable[[], object]] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. One inside another joins it."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._after.clear()
            self.execute("rollback")
            raise
        self.execute("commit")
        while self._after:
            self._after.pop()()

    def after_commit(self, act: Callable[[], object]) -> None:
        """Runs ``act`` when the transaction under way is certain; never, when it is undone."""
        self._after.append(act)

    def close(self) -> None:
        self._connection.close()


class Documents:
    """JSON documents of one kind, by id."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self._kind = kind

    def load_all(self) -> list[bytes]:
        """Every document, ordered by id."""
        rows = self._database.execute("select body from document where kind = ? order by id", (self._kind,))
        return [bytes(body) for (body,) in rows]

    def save(self, document_id: str, document: bytes) -> None:
        """Keeps the document in place of the one saved before."""
        row = (self._kind, document_id, document)
        self._database.execute("insert or replace into document values (?, ?, ?)", row)

    def delete(self, document_id: str) -> None:
        self._database.execute("delete from document where kind = ? and id = ?", (self._kind, document_id))

    def get(self, document_id: str) -> Any:
        """One document's JSON, or None."""
        query = "select body from document where kind = ? and id = ?"
        row = self._database.execute(query, (self._kind, document_id)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, document_id: str, document: Any) -> None:
        """Keeps what JSON can hold."""
        self.save(document_id, json.dumps(document).encode())

    def all(self) -> list[Any]:
        """Every document's JSON, ordered by id."""
        return [json.loads(body) for body in self.load_all()]
