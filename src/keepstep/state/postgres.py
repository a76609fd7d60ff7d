"""The state in PostgreSQL, shared by any number of machines. Its tables are in the schema ``keepstep``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from keepstep.errors import ConfigError, Error, NotFound, Transient
from keepstep.secret import Secret
from keepstep.state.database import Query, migrate, version_of
from keepstep.state.schema import VERSION

T = TypeVar("T")

_LOCK = 0x6B656570
"""Advisory lock held while creating the tables: ``keep`` in ASCII."""
_PATIENCE = 30.0
"""Seconds for one transaction. Nothing else detects a network that acknowledges packets but drops them."""

_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "application_name": "keepstep",
    # The server also detects within half a minute that a machine is gone, and frees its locks.
    "options": "-c statement_timeout=20s -c lock_timeout=10s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5"
    " -c tcp_keepalives_count=3 -c tcp_user_timeout=25s -c search_path=keepstep",
}
_READING = " -c default_transaction_read_only=on"
_HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = 'keepstep'"
_HAS_TABLES = "SELECT 1 FROM pg_tables WHERE schemaname = 'keepstep' AND tablename = 'keepstep_schema'"
_READ_GRANT = "GRANT USAGE ON SCHEMA keepstep TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA keepstep TO {0}"
_WRITE_GRANT = (
    "GRANT USAGE ON SCHEMA keepstep TO {0};"
    " GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA keepstep TO {0}"
)


def options_of(url: Secret) -> dict[str, Any]:
    """The connection's parameters. Raises :class:`ConfigError` that quotes nothing of the address."""
    try:
        return dict(conninfo_to_dict(url.reveal()))
    except (psycopg.ProgrammingError, ValueError):
        hint = "write postgresql://user:password@host/database?sslmode=verify-full"
        raise ConfigError(
            "state.url has an option that PostgreSQL's client does not know, or a wrong escape", hint=hint
        ) from None


def connect(url: Secret, *, is_reader: bool = False) -> psycopg.Connection[Any]:
    """Opens a connection that detects within 25 s that the server is gone. Errors never contain the password."""
    given = options_of(url)
    options: dict[str, Any] = {**_OPTIONS, **given}
    if "options" in given:
        options["options"] = f"{_OPTIONS['options']} {given['options']}"
    if is_reader:
        options["options"] += _READING
    try:
        return psycopg.connect(**options, autocommit=True, prepare_threshold=None)
    except psycopg.Error as exc:
        raise explained(exc) from None


def explained(exc: psycopg.Error, user: str = "…", *, is_reader: bool = False) -> Error:
    """The error in the server's words, :class:`Transient` if a retry may help."""
    said = " ".join(str(exc).split())
    if isinstance(exc, errors.InsufficientPrivilege):
        fix = (_READ_GRANT if is_reader else _WRITE_GRANT).format(f'"{user}"')
        return ConfigError(f"the state's PostgreSQL refuses: {said}", hint=fix)
    if isinstance(exc, errors.UndefinedTable | errors.UndefinedColumn):
        return Transient(f"the state's tables are missing: {said}")
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) and "authentication" not in said:
        return Transient(f"the state's PostgreSQL does not respond: {said}")
    hint = "check [state] url and the privileges of its user"
    return ConfigError(f"the state's PostgreSQL refuses: {said}", hint=hint)


def ask(url: Secret, question: str) -> list[tuple[Any, ...]]:
    """Runs a query on a read-only connection."""
    connection = connect(url, is_reader=True)
    try:
        with limited(connection), connection:
            return _asking(connection)(question)
    except psycopg.Error as exc:
        raise explained(exc) from None


class Postgres:
    """A state in PostgreSQL, through one connection that is opened when needed."""

    def __init__(self, url: Secret, shown: str, *, is_reader: bool = False) -> None:
        self.shown = shown
        self._url = url
        self._is_reader = is_reader
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.read(lambda query: None)

    def read(self, work: Callable[[Query], T]) -> T:
        return self.write(work)

    def write(self, work: Callable[[Query], T]) -> T:
        with self._lock:
            connection = self._open()
            try:
                with limited(connection), connection.transaction():
                    return work(_asking(connection))
            except psycopg.Error as exc:
                self._drop()
                raise self._explained(exc) from None

    def now(self) -> float:
        [(now,)] = self.read(lambda query: query("SELECT extract(epoch FROM clock_timestamp())"))
        return float(now)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            connection = connect(self._url, is_reader=self._is_reader)
            try:
                with limited(connection):
                    self._prepare(connection)
            except psycopg.Error as exc:
                connection.close()
                raise self._explained(exc) from None
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Creates missing tables for writers; needs no permission to create them if they exist."""
        query = _asking(connection)
        if query(_HAS_TABLES) and not query("SELECT 1 WHERE has_schema_privilege('keepstep', 'USAGE')"):
            raise explained(
                errors.InsufficientPrivilege("no permission to use the schema keepstep"),
                self._user,
                is_reader=self._is_reader,
            )
        version = version_of(query) if query(_HAS_TABLES) else 0
        if self._is_reader and not version:
            raise NotFound(f"there is no state in {self.shown} yet", hint="the first run of a job creates it")
        if self._is_reader or version == VERSION:
            return
        with connection.transaction():
            query("SELECT pg_advisory_xact_lock(?)", _LOCK)
            if not query(_HAS_SCHEMA):
                query("CREATE SCHEMA IF NOT EXISTS keepstep")
            migrate(query, version_of(query) if query(_HAS_TABLES) else 0)

    def _explained(self, exc: psycopg.Error) -> Error:
        return explained(exc, self._user, is_reader=self._is_reader)

    @property
    def _user(self) -> str:
        return str(options_of(self._url).get("user") or "…")

    def _drop(self) -> None:
        if self._connection:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


@contextmanager
def limited(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Closes the connection if the block takes too long."""
    descriptor = os.dup(connection.fileno())

    def cut() -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_PATIENCE, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        os.close(descriptor)


def _asking(connection: psycopg.Connection[Any]) -> Query:
    def query(statement: str, *values: object) -> list[tuple[Any, ...]]:
        done = connection.execute(statement.replace("?", "%s").encode(), values)
        return done.fetchall() if done.description else []

    return query
