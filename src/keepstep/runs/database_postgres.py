"""The state in PostgreSQL, shared by any number of machines. Its tables are in the schema ``keepstep``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from keepstep.errors import ConfigError, Error, Transient
from keepstep.runs.database import Query, migrate

T = TypeVar("T")

_LOCK = 0x6B656570
"""Advisory lock of those who make the tables: ``keep`` in ASCII."""

_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "application_name": "keepstep",
    # The server, too, finds out within half a minute that a machine is gone, and frees its locks.
    "options": "-c statement_timeout=20s -c lock_timeout=10s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5"
    " -c tcp_keepalives_count=3 -c tcp_user_timeout=25s -c search_path=keepstep",
}
_HAS_TABLES = "SELECT 1 FROM pg_tables WHERE schemaname = 'keepstep' AND tablename = 'keepstep_schema'"


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection that notices within 25 s that the other side has gone. Never says the password."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        hint = "write postgresql://user@host/database?sslmode=verify-full"
        raise ConfigError("state.url is no address of a PostgreSQL", hint=hint) from None
    options: dict[str, Any] = {**_OPTIONS, **given}
    if "options" in given:
        options["options"] = f"{_OPTIONS['options']} {given['options']}"
    try:
        return psycopg.connect(**options, autocommit=True, prepare_threshold=None)
    except psycopg.Error as exc:
        raise explained(exc) from exc


def explained(exc: psycopg.Error) -> Error:
    """What is wrong, in the server's words, and whether it may pass."""
    said = " ".join(str(exc).split())
    if isinstance(exc, psycopg.OperationalError) and "authentication" not in said:
        return Transient(f"the state's PostgreSQL does not serve: {said}")
    return ConfigError(
        f"the state's PostgreSQL refuses: {said}", hint="see [state] url, and the rights of its user"
    )


class Postgres:
    """One connection, opened when it is needed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.read(lambda query: None)

    def read(self, work: Callable[[Query], T]) -> T:
        return self.write(work)

    def write(self, work: Callable[[Query], T]) -> T:
        with self._lock:
            connection = self._open()
            try:
                with connection.transaction():
                    return work(_asking(connection))
            except psycopg.Error as exc:
                self._drop()
                raise explained(exc) from exc

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            connection = connect(self.url)
            try:
                with connection.transaction():
                    query = _asking(connection)
                    query("SELECT pg_advisory_xact_lock(?)", _LOCK)
                    query("CREATE SCHEMA IF NOT EXISTS keepstep")
                    migrate(query, _HAS_TABLES)
            except psycopg.Error as exc:
                connection.close()
                raise explained(exc) from exc
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        if self._connection:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def _asking(connection: psycopg.Connection[Any]) -> Query:
    def query(statement: str, *values: object) -> list[tuple[Any, ...]]:
        done = connection.execute(statement.replace("?", "%s").encode(), values)
        return done.fetchall() if done.description else []

    return query
