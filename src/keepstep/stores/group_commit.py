"""Small files that are flushed to the device together.

A journaling file system commits its journal at every fsync(2); a group of files needs one commit with syncfs(2),
which costs the kernel much less. It flushes the whole file system, though: where others write so much that this
takes long, every file is flushed by itself. Who waits for the device meanwhile makes the next group.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import time

from keepstep.clouds.workers import Workers
from keepstep.stores.local_files import TemporaryFile

_GROUPS = 2
"""Groups under way at a time: one waits for the device while the other one is handed to it."""
_FEW = 4
"""So few files are flushed each by itself."""
_LONG = 0.01
"""Seconds for each file: when syncfs took longer, it is left alone for a while."""
_PAUSE = 60.0
"""Seconds of that while."""
_TELLS_ERRORS = (5, 8)
"""Since this version of Linux, syncfs reports what could not be written (syncfs(2))."""


class GroupCommit:
    """Lets finished temporary files appear under their names, each once it is on the device."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._waiting: list[tuple[TemporaryFile, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._syncfs_again = 0.0 if _can_syncfs() else float("inf")

    def appear(self, temporary: TemporaryFile) -> asyncio.Future[None]:
        """Done when the file has its name; it is closed then, also after a failure, and nothing is left of it.

        A caller that is cancelled leaves a file that appears all the same.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((temporary, future))
        if self._under_way < _GROUPS:
            self._under_way += 1
            task = asyncio.get_running_loop().create_task(self._commit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return future

    async def _commit(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._commit_group(group)
        finally:
            # At once, not when the loop comes to the task's callbacks: a file that comes meanwhile would have nobody.
            self._under_way -= 1

    async def _commit_group(self, waiting: list[tuple[TemporaryFile, asyncio.Future[None]]]) -> None:
        group = [temporary for temporary, _ in waiting]
        if await self._flush(group):
            errors = _appear(group)  # renaming is brief, and a thread would have to wait for the interpreter
        else:
            errors = await self._workers.run(_flush_and_appear, group)
        for (_, future), error in zip(waiting, errors, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    async def _flush(self, group: list[TemporaryFile]) -> bool:
        """Whether the group was flushed as a whole."""
        start = time.monotonic()
        is_one_place = len({temporary.device for temporary in group}) == 1
        if len(group) <= _FEW or not is_one_place or start < self._syncfs_again:
            return False
        is_flushed = await self._workers.run(group[0].flush_file_system, _syncfs)
        if time.monotonic() - start > _LONG * len(group):
            self._syncfs_again = time.monotonic() + _PAUSE
        return is_flushed


def _appear(group: list[TemporaryFile]) -> list[BaseException | None]:
    return [_appear_one(temporary, is_flushed=True) for temporary in group]


def _flush_and_appear(group: list[TemporaryFile]) -> list[BaseException | None]:
    return [_appear_one(temporary, is_flushed=False) for temporary in group]


def _appear_one(temporary: TemporaryFile, *, is_flushed: bool) -> BaseException | None:
    try:
        temporary.appear(is_flushed=is_flushed)
    except BaseException as exc:  # noqa: BLE001 - handed to whoever waits for this file
        return exc
    finally:
        temporary.remove()
    return None


def _can_syncfs() -> bool:
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    is_new = version is not None and (int(version[1]), int(version[2])) >= _TELLS_ERRORS
    return is_new and hasattr(ctypes.CDLL(None), "syncfs")


def _syncfs(descriptor: int) -> bool:
    return bool(ctypes.CDLL(None).syncfs(descriptor) == 0)
