"""The bytes of objects: few of them in the database, many in a file of their own.

A content is one blob. Copies share it, and it is gone when nothing uses it any more; an empty content has none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from keepstep_localcloud.objectstorage.spool import Received, Spool, new_hash
from keepstep_localcloud.storage import Database

READ = 256 * 1024
"""Bytes read from a file at a time."""


class Contents:
    """All contents of all objects, the large ones under ``folder``."""

    def __init__(self, database: Database, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._database = database
        self._folder = folder
        self._last: int = database.execute("select coalesce(max(id), 0) from blob").fetchone()[0]
        self._sweep()

    def _sweep(self) -> None:
        """Removes the files of uploads and deletes that a crash interrupted."""
        known = {str(row[0]) for row in self._database.execute("select id from blob where data is null")}
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink()

    async def receive(self, chunks: AsyncIterable[bytes], algorithms: Iterable[str] = ("MD5",)) -> Received:
        """Takes a body as it comes, never holding more than a part of it. What fails leaves nothing behind."""
        hashes = {name: new_hash(name) for name in algorithms}
        with self._spool() as spool:
            async for chunk in chunks:
                for each in hashes.values():
                    each.update(chunk)
                spool.write(chunk)
        return spool.received({name: each.digest() for name, each in hashes.items()})

    async def join(self, blobs: Sequence[int]) -> Received:
        """A new content from several, one after the other."""
        sources = [self._source(blob) for blob in blobs]
        with self._spool() as spool:
            await asyncio.to_thread(_pour, sources, spool)
        return spool.received({})

    def _source(self, blob: int) -> bytes | Path:
        data: bytes | None = self._database.execute("select data from blob where id = ?", (blob,)).fetchone()[0]
        return self._path(blob) if data is None else data

    @contextmanager
    def _spool(self) -> Iterator[Spool]:
        self._last += 1
        spool = Spool(self._path(self._last), self._last)
        try:
            yield spool
        except BaseException:
            spool.path.unlink(missing_ok=True)
            raise
        finally:
            spool.close()

    def keep(self, received: Received) -> int | None:
        """Gives the content its first use, and says which blob it is. Call within a transaction."""
        if not received.size:
            return None
        self._database.execute("insert into blob values (?, 1, ?)", (received.blob, received.data))
        return received.blob

    @contextmanager
    def claimed(self, received: Received) -> Iterator[None]:
        """Within it the content finds its use; when it ends by an error, the content is forgotten."""
        try:
            yield
        except BaseException:
            if received.data is None:
                self._path(received.blob).unlink(missing_ok=True)
            raise

    def share(self, blob: int | None) -> None:
        """One more use. Call within a transaction."""
        self._database.execute("update blob set uses = uses + 1 where id = ?", (blob,))

    def release(self, blob: int | None) -> None:
        """One use less; the last one takes the bytes with it. Call within a transaction."""
        if blob is None:
            return
        query = "update blob set uses = uses - 1 where id = ? returning uses, data is null"
        uses, is_file = self._database.execute(query, (blob,)).fetchone()
        if uses == 0:
            self._database.execute("delete from blob where id = ?", (blob,))
        if uses == 0 and is_file:
            self._database.after_commit(self._path(blob).unlink)

    def read(self, blob: int | None, first: int, last: int) -> bytes | Iterator[bytes]:
        """The bytes from ``first`` to ``last``, both included; as an iterator when they lie in a file.

        The file is opened before this returns: a content that is deleted meanwhile is still read whole.
        """
        if blob is None:
            return b""
        data: bytes | None = self._database.execute("select data from blob where id = ?", (blob,)).fetchone()[0]
        if data is None:
            return _file_chunks(self._path(blob), first, last - first + 1)
        return data if last - first + 1 == len(data) else data[first : last + 1]

    def _path(self, blob: int) -> Path:
        return self._folder / str(blob)


def _pour(sources: Iterable[bytes | Path], spool: Spool) -> None:
    for source in sources:
        for chunk in (source,) if isinstance(source, bytes) else _file_chunks(source, 0, None):
            spool.write(chunk)


def _file_chunks(path: Path, begin: int, length: int | None) -> Iterator[bytes]:
    """``length`` bytes from ``begin`` on, or all of them."""
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, begin, os.SEEK_SET)
    return _chunks(
        os.fdopen(descriptor, "rb", buffering=0), os.fstat(descriptor).st_size if length is None else length
    )


def _chunks(file: IO[bytes], length: int) -> Iterator[bytes]:
    with file:
        while length:
            chunk = file.read(min(READ, length))
            if not chunk:
                raise EOFError(f"{file.name} is shorter than it was")
            length -= len(chunk)
            yield chunk
