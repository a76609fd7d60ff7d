"""Oracle's cost reports: the bucket in the namespace ``bling`` that follows a folder.

Files appear there as objects: the path within the folder is the name, the file's time is ``timeModified``. What
leaves the folder leaves the bucket. A file that changes while it is read is read again at the next look.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from keepstep_localcloud.identity import Facts
from keepstep_localcloud.objectstorage import ObjectStorage, times
from keepstep_localcloud.objectstorage.buckets import BLING
from keepstep_localcloud.objectstorage.contents import READ
from keepstep_localcloud.objectstorage.properties import check_name
from keepstep_localcloud.objectstorage.stored import StoredObject
from keepstep_localcloud.wire import ServiceError

PAUSE = 0.5
"""Seconds between two looks."""
CONTENT_TYPES = {".gz": "application/x-gzip", ".csv": "text/csv"}


class Bling:
    """The bucket, named after the tenancy, and the folder that it follows (None: it stays as it is)."""

    def __init__(self, storage: ObjectStorage, facts: Facts, folder: Path | None) -> None:
        self._storage = storage
        self._folder = folder
        try:
            bucket = storage.buckets.find(BLING, facts.tenancy)
        except ServiceError:
            bucket = storage.buckets.create(BLING, facts.tenancy, facts.tenancy, {})
        self._bucket = bucket.number

    async def follow(self) -> None:
        """Looks at the folder again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            await self.look()

    async def look(self) -> None:
        """Brings the bucket in line with the folder, once."""
        if self._folder is None:
            return
        objects = self._storage.objects
        files = await asyncio.to_thread(lambda folder: dict(_files(folder, "")), self._folder)
        known = {stored.name: stored for stored in objects.all(self._bucket)}
        for name, found in files.items():
            if not _is_same(known.get(name), found):
                await self._take(name, found)
        gone = known.keys() - files.keys()
        if gone:
            with objects.changing(self._bucket):
                for name in gone:
                    objects.delete(self._bucket, name)

    async def _take(self, name: str, found: os.stat_result) -> None:
        assert self._folder is not None
        path = self._folder / name
        with suppress(OSError):
            received = await self._storage.contents.receive(_chunks(path))
            with self._storage.contents.claimed(received):
                if _mark(path.stat()) != _mark(found):
                    raise OSError("the file changed while it was read")
                properties = {"content-type": CONTENT_TYPES.get(path.suffix, "application/octet-stream")}
                with self._storage.objects.changing(self._bucket):
                    self._storage.objects.put(self._bucket, name, received, properties, modified=_modified(found))


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file below the folder; links are not followed, names that no object can have not taken."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{name}/")
            elif entry.is_file(follow_symlinks=False) and _is_name(name):
                yield name, entry.stat(follow_symlinks=False)


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except (ServiceError, UnicodeEncodeError):
        return False
    return True


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with open(path, "rb", buffering=0) as file:  # noqa: ASYNC230  a local disk
        while chunk := file.read(READ):
            yield chunk
            await asyncio.sleep(0)


def _mark(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _modified(found: os.stat_result) -> str:
    return times.stamp(datetime.fromtimestamp(found.st_mtime, UTC))


def _is_same(stored: StoredObject | None, found: os.stat_result) -> bool:
    return stored is not None and (stored.size, stored.modified) == (found.st_size, _modified(found))
