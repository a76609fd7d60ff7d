"""What a run leaves for later runs of the same source and target.

Large transfers that it could not finish, and how far a source that only grows has been read. One SQLite file in the
state folder. Losing it loses nothing but work: a transfer then starts anew, and everything is listed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keepstep.objects.high_water import Marks
from keepstep.runs.lock import is_usable

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
create table if not exists uploads (
    pair text not null, key text not null, token text not null, state text not null, part_size integer not null,
    touched real not null, primary key (pair, key)
) without rowid;
create table if not exists marks (
    pair text not null, scope text not null, listed text not null, first text not null, primary key (pair, scope)
) without rowid;
"""
_PRIVATE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Begun(NamedTuple):
    """An upload that was begun and not ended."""

    key: str
    token: str
    """The store's name for it (:attr:`~keepstep.stores.interface.Upload.token`)."""
    state: str
    """Of the object at the source, and of what it was to become at the target."""
    part_size: int
    """Bytes."""


class Journal:
    """The notes of one pair of places, in ``folder``, which is made once there is something to note.

    Where that cannot be (no folder, a damaged file, another run of the same pair), nothing is noted and nothing
    found. No method raises.
    """

    def __init__(self, folder: Path | None, source: str, target: str) -> None:
        self._folder = folder
        self._pair = hashlib.sha256(f"{source}\n{target}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._started = time.time()
        self._is_hopeless = folder is None
        self._lock = -1
        self._database: sqlite3.Connection | None = None

    def begin(self, upload: Begun) -> bool:
        """To be called before the first part is sent. False when it could not be noted."""
        sql = "insert or replace into uploads values (?, ?, ?, ?, ?, ?)"
        return self._do(sql, *upload, time.time(), create=True) is not None

    def find(self, key: str) -> Begun | None:
        """The upload that was begun for this key and not ended."""
        return next(iter(self._uploads("key = ?", key)), None)

    def end(self, key: str) -> None:
        """The upload has been committed or aborted."""
        self._do("delete from uploads where pair = ? and key = ?", key)

    def abandoned(self) -> list[Begun]:
        """Uploads of earlier runs that this one did not take up."""
        return self._uploads("touched < ?", self._started)

    def marks(self, scope: str) -> Marks | None:
        """How far the source was read when it was last read in this scope."""
        for listed, first in self._do("select listed, first from marks where pair = ? and scope = ?", scope) or ():
            return Marks(datetime.fromisoformat(listed), json.loads(first))
        return None

    def keep_marks(self, scope: str, marks: Marks) -> None:
        sql = "insert or replace into marks values (?, ?, ?, ?)"
        self._do(sql, scope, marks.listed.isoformat(), json.dumps(dict(marks.first)), create=True)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._database, self._lock = None, -1

    def _uploads(self, condition: str, value: object) -> list[Begun]:
        sql = f"select key, token, state, part_size from uploads where pair = ? and {condition}"  # noqa: S608
        return list(map(Begun._make, self._do(sql, value) or ()))

    def _do(self, sql: str, *values: object, create: bool = False) -> list[Any] | None:
        import sqlite3  # most runs have nothing to note

        if not self._is_hopeless and self._database is None:
            try:
                self._open(create=create)
            except (OSError, sqlite3.Error):
                self._is_hopeless = True
        if self._is_hopeless or self._database is None:
            return None
        with suppress(sqlite3.Error), self._database:
            return self._database.execute(sql, (self._pair, *values)).fetchall()
        return None

    def _open(self, *, create: bool) -> None:
        """Raises ``OSError`` when another run has this pair, ``sqlite3.Error`` when the file is damaged."""
        import sqlite3

        assert self._folder is not None
        path = self._folder / "objects.db"
        if not create and not path.exists():
            return
        if not is_usable(self._folder):
            raise PermissionError(self._folder)
        if self._lock < 0:
            self._lock = os.open(self._folder / f"{self._pair}.lock", _PRIVATE, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(path, _PRIVATE, 0o600))  # names of objects are nobody else's business
        database = sqlite3.connect(path, timeout=30)
        database.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._database = database
