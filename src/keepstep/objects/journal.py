"""What a run leaves for later runs of the same source and target.

Large transfers that it could not finish, how far a source that only grows has been read, which objects were proved
equal, and the MD5s of files. One SQLite file in the state folder. Losing it loses nothing but work: a transfer then
starts from the beginning, everything is listed, and what listings do not tell is read once more.
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
from keepstep.state.place import is_usable

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
create table if not exists uploads (
    pair text not null, key text not null, token text not null, state text not null, part_size integer not null,
    touched real not null, primary key (pair, key)
) without rowid;
create table if not exists leftovers (
    pair text not null, token text not null, key text not null, noted real not null, primary key (pair, token)
) without rowid;
create table if not exists high_water (
    pair text not null, scope text not null, listed text not null, first text not null, held text not null,
    primary key (pair, scope)
) without rowid;
create table if not exists equal (
    pair text not null, key text not null, source text not null, target text not null,
    noted real not null default 0, primary key (pair, key)
) without rowid;
create table if not exists digests (
    file text primary key, state text not null, md5 text not null, noted real not null default 0
) without rowid;
"""
_TOO_FRESH = 2_000_000_000
"""Nanoseconds. A file that was written so shortly before the run can change once more and look the same: the clocks
of file systems tick in milliseconds, of some in seconds."""
_SECOND = 1_000_000_000
"""Nanoseconds."""
_MOST_UNWRITTEN = 500
_PATIENCE, _LAST_PATIENCE = 0.05, 30.0
"""Seconds that a run waits while another pair's run writes to the same file, and the event loop with it; and at the
end, when nothing else is held up."""
_YEAR, _WEEK = 365 * 86400, 7 * 86400
"""Seconds for which a fact is kept, after which it is found out again; and between removals of older ones."""
_PRIVATE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class OpenUpload(NamedTuple):
    """An upload that was started and not ended."""

    key: str
    token: str
    """The store's name for it (:attr:`~keepstep.stores.interface.Upload.token`)."""
    state: str
    """Of the object at the source, and of what it was to become at the target."""
    part_size: int
    """Bytes."""


class SyncJournal:
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
        self._equal: list[tuple[str, str, str, str]] = []
        self._digests: list[tuple[str, str, str]] = []
        self._write_at = _MOST_UNWRITTEN

    def begin(self, upload: OpenUpload) -> bool:
        """To be called before the first part is sent. False when it could not be noted."""
        sql = "insert or replace into uploads values (?, ?, ?, ?, ?, ?)"
        return self._do(sql, self._pair, *upload, time.time(), create=True) is not None

    def find(self, key: str) -> OpenUpload | None:
        """The upload that was started for this key and not ended."""
        return next(iter(self._uploads("key = ?", key)), None)

    def end(self, key: str) -> None:
        """The upload has been committed or aborted."""
        self._do("delete from uploads where pair = ? and key = ?", self._pair, key)

    def leave(self, key: str, token: str) -> None:
        """The upload is given up, and the store has not removed its parts: a later run has to try again."""
        sql = "insert or replace into leftovers values (?, ?, ?, ?)"
        self._do(sql, self._pair, token, key, time.time(), create=True)
        self._do("delete from uploads where pair = ? and token = ?", self._pair, token)

    def gone(self, token: str) -> None:
        """Nothing is left of an upload that was given up."""
        for table in ("uploads", "leftovers"):
            self._do(f"delete from {table} where pair = ? and token = ?", self._pair, token)  # noqa: S608

    def abandoned(self) -> list[OpenUpload]:
        """Uploads of earlier runs that this one did not take up, and those whose parts could not be removed."""
        sql = "select key, token, '', 0 from leftovers where pair = ?"
        left = map(OpenUpload._make, self._do(sql, self._pair) or ())
        return [*self._uploads("touched < ?", self._started), *left]

    def marks(self, scope: str) -> Marks | None:
        """How far the source was read when it was last read in this scope."""
        sql = "select listed, first, held from high_water where pair = ? and scope = ?"
        for listed, first, held in self._do(sql, self._pair, scope) or ():
            return Marks(datetime.fromisoformat(listed), json.loads(first), held)
        return None

    def keep_marks(self, scope: str, marks: Marks) -> None:
        sql = "insert or replace into high_water values (?, ?, ?, ?, ?)"
        first = json.dumps(dict(marks.first))
        self._do(sql, self._pair, scope, marks.listed.isoformat(), first, marks.held, create=True)

    def note_equal(self, key: str, source: str, target: str, *, is_ours: bool = False) -> None:
        """Objects with these tags (:attr:`~keepstep.stores.interface.Entry.tag`) hold the same.

        With ``is_ours`` the one at the target has been written by this run, a moment ago.
        """
        if source and target and self._is_settled(source) and self._is_settled(target, is_ours=is_ours):
            self._equal.append((self._pair, key, source, target))
            self._write_when_many()

    def proved(self, first: str, last: str) -> dict[str, tuple[str, str]]:
        """By key from ``first`` up to ``last``: the tags, at source and target, of what was noted as equal."""
        sql = "select key, source, target from equal where pair = ? and key between ? and ?"
        return {key: (source, target) for key, source, target in self._do(sql, self._pair, first, last) or ()}

    def note_digest(self, state: str, md5: str) -> None:
        """The MD5, as text, of a file in that state (:data:`~keepstep.stores.local_files.State`)."""
        if (file := _file_of(state)) and self._is_settled(state):
            self._digests.append((file, state, md5))
            self._write_when_many()

    def digest_of(self, state: str) -> str | None:
        """What was noted of a file in that state."""
        sql = "select md5 from digests where file = ? and state = ?"
        return next((md5 for (md5,) in self._do(sql, _file_of(state), state) or ()), None)

    def _is_settled(self, tag: str, *, is_ours: bool = False) -> bool:
        """False for a state of a file that may become that of two contents.

        Both times of the file have to lie before the start of this run: the modification time well before it, the
        change time, which nobody can put back, so far that another change has another one. With ``is_ours`` this
        run has just written the file, with the modification time of its source.
        """
        if not _file_of(tag):
            return True
        modified, changed = (int(part, 16) for part in tag.split("-")[3:])
        tick = 0 if changed % _SECOND else _TOO_FRESH  # of a file system that counts in seconds
        start = self._started * 1e9
        return modified + _TOO_FRESH < start and (is_ours or changed + tick < start)

    def _write_when_many(self) -> None:
        if len(self._equal) + len(self._digests) >= self._write_at:
            self._write()
            self._write_at = len(self._equal) + len(self._digests) + _MOST_UNWRITTEN

    def _write(self) -> None:
        """In one transaction: a commit for each fact would cost more than finding it out.

        While the file is locked the facts wait for the next time.
        """
        has_facts = bool(self._equal or self._digests)
        database = self._connected(create=True) if has_facts else None
        if database is None:
            return
        import sqlite3

        now = time.time()
        with suppress(sqlite3.Error), database:
            rows = [(*fact, now) for fact in self._equal]
            database.executemany("insert or replace into equal values (?, ?, ?, ?, ?)", rows)
            states = [(*fact, now) for fact in self._digests]
            database.executemany("insert or replace into digests values (?, ?, ?, ?)", states)
            self._equal, self._digests = [], []

    def _prune(self) -> None:
        """Removes what nobody has found out for a year: of keys, files and places that may be no more."""
        database = self._database
        if database is None:
            return
        import sqlite3

        now = time.time()
        with suppress(sqlite3.Error), database:
            (last,) = database.execute("pragma user_version").fetchone()
            if now - last < _WEEK:
                return
            for table, column in (
                ("equal", "noted"),
                ("digests", "noted"),
                ("leftovers", "noted"),
                ("uploads", "touched"),
            ):
                # What was noted before times were kept is as old as the day on which it is seen first.
                database.execute(f"update {table} set {column} = ? where {column} = 0", (now,))  # noqa: S608
                database.execute(f"delete from {table} where {column} < ?", (now - _YEAR,))  # noqa: S608
            database.execute(f"pragma user_version = {int(now)}")

    def close(self) -> None:
        if self._database is not None:
            self._database.execute(f"pragma busy_timeout = {int(_LAST_PATIENCE * 1000)}")
        self._write()
        self._prune()
        if self._database is not None:
            self._database.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._database, self._lock = None, -1

    def _uploads(self, condition: str, value: object) -> list[OpenUpload]:
        sql = f"select key, token, state, part_size from uploads where pair = ? and {condition}"  # noqa: S608
        return list(map(OpenUpload._make, self._do(sql, self._pair, value) or ()))

    def _do(self, sql: str, *values: object, create: bool = False) -> list[Any] | None:
        database = self._connected(create=create)
        if database is None:
            return None
        import sqlite3  # most runs have nothing to note

        with suppress(sqlite3.Error), database:
            return database.execute(sql, values).fetchall()
        return None

    def _connected(self, *, create: bool) -> sqlite3.Connection | None:
        if not self._is_hopeless and self._database is None:
            import sqlite3

            try:
                self._open(create=create)
            except (OSError, sqlite3.Error) as exc:
                is_busy = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                self._is_hopeless = not is_busy
        return self._database

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
        database = sqlite3.connect(path, timeout=_PATIENCE)
        try:
            database.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
            _upgrade(database)
        except sqlite3.Error:
            database.close()
            raise
        self._database = database


def _upgrade(database: sqlite3.Connection) -> None:
    """Adds what the tables of earlier versions lack."""
    for table in ("equal", "digests"):
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        if "noted" not in columns:
            database.execute(f"alter table {table} add column noted real not null default 0")


def _file_of(tag: str) -> str:
    """``device-inode``; empty when the tag is not a state of a file."""
    parts = tag.split("-")
    return "-".join(parts[:2]) if len(parts) == 5 else ""
