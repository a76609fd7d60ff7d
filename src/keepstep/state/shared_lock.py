"""Allows one run of a job at a time on all machines that share a PostgreSQL.

The lock belongs to a session, and the server frees it when the session ends, for whatever reason: nothing expires,
and no clocks are compared. If the machine itself dies, the server's keepalive ends the session within 25 seconds.
 Connect directly, not through a pooler in transaction mode.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from keepstep.errors import Error, Locked
from keepstep.secret import Secret
from keepstep.state.postgres import connect, explained, limited

_LOOK_EVERY = 10.0
"""Seconds between checks of the session; one that the server ends is noticed at once."""
_PAUSE = 1.0
"""Seconds between attempts to retake the lock after its session ended."""
_TAKE = "SELECT pg_try_advisory_lock(hashtextextended('keepstep job ' || %s, 0))"
_HELD = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('keepstep job ' || %s, 0)"
)
"""PostgreSQL's manual, pg_locks: a bigint key shows as its high half in classid and its low half in objid."""


@contextmanager
def only_run_anywhere(job: str, url: Secret) -> Iterator[None]:
    """Holds the job's lock. Raises :class:`Locked` at once if another machine has it.

    A broken session is replaced; if another machine was faster, this process gets SIGTERM.
    """
    keeper = _Keeper(job, url)
    try:
        yield
    finally:
        keeper.close()


def is_free(job: str, url: Secret) -> bool:
    """Whether the job's lock is free. It is checked, not taken, so another process may take it at any time."""
    connection = connect(url, is_reader=True)
    try:
        with limited(connection), connection:
            return connection.execute(_HELD, (job,)).fetchone() is None
    except psycopg.Error as exc:
        raise explained(exc) from None


class _Keeper:
    """Holds the lock with one session, and keeps it alive."""

    def __init__(self, job: str, url: Secret) -> None:
        self._job = job
        self._url = url
        self._ended = threading.Event()
        self._connection = connect(url)
        if not _has_taken(self._connection, job):
            self._connection.close()
            raise Locked(f"another run of {job} is in progress", hint="keepstep status shows where")
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._look_after, name=f"lock of {job}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        os.close(self._waker)
        self._thread.join(_LOOK_EVERY)
        with suppress(psycopg.Error):
            self._connection.close()

    def _look_after(self) -> None:
        while not self._ended.is_set():
            try:
                # A session that has ended is readable too.
                select.select([self._wake, self._connection.fileno()], [], [], _LOOK_EVERY)
                if not self._ended.is_set():
                    with limited(self._connection):
                        self._connection.execute("SELECT 1")
            except (psycopg.Error, OSError, ValueError):
                self._regain()
        os.close(self._wake)

    def _regain(self) -> None:
        with suppress(Error, psycopg.Error):
            connection = connect(self._url)
            if _has_taken(connection, self._job):
                self._connection.close()
                self._connection = connection
                return
            connection.close()
            os.kill(os.getpid(), signal.SIGTERM)
        self._ended.wait(_PAUSE)


def _has_taken(connection: psycopg.Connection[Any], job: str) -> bool:
    try:
        with limited(connection):
            row = connection.execute(_TAKE, (job,)).fetchone()
    except psycopg.Error as exc:
        raise explained(exc) from None
    return bool(row and row[0])
