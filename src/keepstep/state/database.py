"""The state's database: SQLite in a file, or a PostgreSQL that several machines share.

Statements are written once for both, with ``?`` for values and ``RETURNING`` to see whether a row was changed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from keepstep.errors import ConfigError, Error, NotFound, Transient
from keepstep.permissions import denied_hint
from keepstep.state.files import ensure
from keepstep.state.schema import STEPS, VERSION

T = TypeVar("T")

Query = Callable[..., list[tuple[Any, ...]]]
"""``query(statement, *values)`` returns the resulting rows."""

_BUSY = 30.0
"""Seconds that a writer waits for another one."""


class Database(Protocol):
    """Runs whole transactions. Thread-safe; after an error the next call connects again.

    Raises :class:`Transient` if a retry may help; the transaction was then applied completely or not at all, and it
    is unknown which.
    """

    shown: str
    """The state's address without user and password."""

    def read(self, work: Callable[[Query], T]) -> T: ...

    def write(self, work: Callable[[Query], T]) -> T: ...

    def now(self) -> float:
        """The time of the state's machine, in seconds since 1970: the same for everybody who shares it."""
        ...

    def close(self) -> None: ...


class Sqlite:
    """A file that only its owner can use; readers and one writer do not wait for each other."""

    def __init__(self, path: Path, *, is_reader: bool = False) -> None:
        self.shown = f"sqlite:///{path}"
        self.path = path
        self._is_reader = is_reader
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.read(lambda query: None)

    def read(self, work: Callable[[Query], T]) -> T:
        return self._do(work, "BEGIN")

    def write(self, work: Callable[[Query], T]) -> T:
        return self._do(work, "BEGIN IMMEDIATE")

    def now(self) -> float:
        return time.time()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _do(self, work: Callable[[Query], T], begin: str) -> T:
        with self._lock:
            try:
                connection = self._connection = self._connection or self._open()
                return _transaction(connection, work, begin)
            except sqlite3.Error as exc:
                self._drop()
                raise _explained(self.path, exc) from exc
            finally:
                if self._is_reader:
                    self._drop()

    def _drop(self) -> None:
        if self._connection:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        return _looking(self.path) if self._is_reader else _writing(self.path)


def _transaction(connection: sqlite3.Connection, work: Callable[[Query], T], begin: str) -> T:
    connection.execute(begin)
    try:
        result = work(_asking(connection))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return result


def _writing(path: Path) -> sqlite3.Connection:
    try:
        ensure(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc), hint=denied_hint(path, exc)) from exc
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        _transaction(connection, lambda query: migrate(query, _version_of(query)), "BEGIN IMMEDIATE")
    except BaseException:
        connection.close()
        raise
    return connection


def _looking(path: Path) -> sqlite3.Connection:
    """Opens the file without creating anything.

    While no process has it open there is no write-ahead log, and it is read as "immutable": otherwise SQLite would
    create the log and its index. Each transaction checks again, because a writer may have started.
    """
    try:
        path.stat()
    except FileNotFoundError:
        raise NotFound(f"there is no state at {path} yet", hint="the first run of a job creates it") from None
    except OSError as exc:
        hint = "run this as the owner of the state, or as root"
        raise ConfigError(f"cannot read the state {path}: {exc.strerror}", hint=hint) from exc
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
    connection = sqlite3.connect(
        f"{path.as_uri()}?{mode}", uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False
    )
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA query_only=ON")
    try:
        with closing(connection.execute(_HAS_TABLES)) as found:
            if not found.fetchone():
                raise NotFound(f"there is no state at {path} yet", hint="the first run of a job creates it")
    except BaseException:
        connection.close()
        raise
    return connection


def _asking(connection: sqlite3.Connection) -> Query:
    return lambda statement, *values: connection.execute(statement, values).fetchall()


_HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE name = 'keepstep_schema'"


def _version_of(query: Query) -> int:
    return version_of(query) if query(_HAS_TABLES) else 0


def version_of(query: Query) -> int:
    """The version of the existing tables. Raises :class:`ConfigError` for those of a newer keepstep."""
    [(version,)] = query("SELECT version FROM keepstep_schema")
    if version > VERSION:
        raise ConfigError(f"the state was written by a newer keepstep (format {version})", hint="upgrade keepstep")
    return int(version)


def migrate(query: Query, version: int) -> None:
    """Migrates the tables from that version to the current one; 0 means that there are none."""
    for step in STEPS[version:]:
        for statement in step:
            query(statement)


_PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
)
"""Primary result codes of temporary failures: a full disk, a busy file, no descriptors left."""


def _explained(path: Path, exc: sqlite3.Error) -> Error:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Transient(f"the state {path} cannot grow: {exc}", hint=f"free space on the disk of {path.parent}")
    if code in _PASSING:
        return Transient(f"the state {path} does not respond: {exc}")
    return _unusable(path, str(exc))


def _unusable(path: Path, why: str, *, hint: str | None = None) -> ConfigError:
    own = "set [state] url to a file that this user can write"
    return ConfigError(f"cannot keep the state in {path}: {why}", hint=f"{hint}; or {own}" if hint else own)
