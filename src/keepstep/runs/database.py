"""The state's database: SQLite in a file of ours, or a PostgreSQL that several machines share.

Statements are written once, with ``?`` for values and ``RETURNING`` where it matters whether something was done.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from keepstep.errors import ConfigError, Error, NotFound, Transient
from keepstep.runs.schema import TABLES, VERSION

T = TypeVar("T")

Query = Callable[..., list[tuple[Any, ...]]]
"""``query(statement, *values)``: the rows that came of it."""

_BUSY = 30.0
"""Seconds that a writer waits for another one."""


class Database(Protocol):
    """Whole transactions. Safe for many threads; after a fault the next call connects anew.

    Raises :class:`Transient` where trying again may help; after it a transaction is done whole or not at all, and
    nobody knows which.
    """

    url: str

    def read(self, work: Callable[[Query], T]) -> T: ...

    def write(self, work: Callable[[Query], T]) -> T: ...

    def close(self) -> None: ...


def open_database(url: str, *, create: bool = True) -> Database:
    """By the form of the URL. Raises :class:`ConfigError`; :class:`NotFound` when it may not be created."""
    if url.startswith("sqlite:///"):
        return Sqlite(Path(url.removeprefix("sqlite:///")), create=create)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from keepstep.runs.database_postgres import Postgres
        except ModuleNotFoundError as exc:
            hint = "pip install 'keepstep[postgres]'"
            raise ConfigError("the state is in PostgreSQL, whose driver is not here", hint=hint) from exc
        return Postgres(url)
    raise ConfigError("state.url is of no known form", hint="write sqlite:////path/state.db or postgresql://…")


class Sqlite:
    """A file that only its owner can read; readers and one writer do not wait for each other."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.url = f"sqlite:///{path}"
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if not create and not path.exists():
            raise NotFound(f"there is no state {path} yet")
        self.read(lambda query: None)

    def read(self, work: Callable[[Query], T]) -> T:
        return self._do(work, "BEGIN")

    def write(self, work: Callable[[Query], T]) -> T:
        return self._do(work, "BEGIN IMMEDIATE")

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _do(self, work: Callable[[Query], T], begin: str) -> T:
        with self._lock:
            try:
                connection = self._connection = self._connection or self._open()
                connection.execute(begin)
                try:
                    result = work(lambda statement, *values: connection.execute(statement, values).fetchall())
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise _explained(self.path, exc) from exc
            return result

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise _unusable(self.path, exc.strerror or str(exc)) from exc
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        migrate(lambda statement, *values: connection.execute(statement, values).fetchall(), _HAS_TABLES)
        connection.execute("COMMIT")
        return connection


_HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE name = 'keepstep_schema'"


def migrate(query: Query, has_tables: str) -> None:
    """Makes the tables when there are none. Raises :class:`ConfigError` for those of a later keepstep."""
    if not query(has_tables):
        for statement in TABLES:
            query(statement)
        query("INSERT INTO keepstep_schema VALUES (?)", VERSION)
    [(version,)] = query("SELECT version FROM keepstep_schema")
    if version > VERSION:
        raise ConfigError(f"the state was written by a later keepstep (format {version})", hint="upgrade keepstep")


def _explained(path: Path, exc: sqlite3.Error) -> Error:
    if isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc):
        return Transient(f"the state {path} is busy: {exc}")
    return _unusable(path, str(exc))


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"cannot keep the state in {path}: {why}", hint="set [state] url to a file of our own")
