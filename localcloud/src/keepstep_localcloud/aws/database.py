"""The SQLite files that the local AWS keeps its state in."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


def open_database(path: Path | None, schema: str) -> sqlite3.Connection:
    """A database with ``schema``, for any thread; in memory when ``path`` is None.

    Readable by its owner alone, because it holds secrets. What was written outlives ``kill -9`` (not a power cut:
    the write-ahead log is not synced at every commit). Every statement commits by itself unless in a transaction.
    """
    if path:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(schema)
    return connection
