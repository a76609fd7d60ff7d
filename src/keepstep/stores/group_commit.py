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
from collections.abc import Sequence

from keepstep.clouds.workers import Workers
from keepstep.stores.local_files import TemporaryFile

_FEW = 1
"""So many files are flushed each by itself."""
_LEAST, _MOST = 0.003, 0.05
"""Seconds that a group waits for more files: half as long as the last flush took, but within these."""
_LONG, _LONG_EACH = 1.0, 0.01
"""Seconds: when syncfs took longer, and longer for each file, it is left alone for a while."""
_PAUSE = 60.0
"""Seconds of that while."""
_TELLS_ERRORS = (5, 8)
"""Since this version of Linux, syncfs reports what could not be written (syncfs(2))."""

_Waiting = tuple[TemporaryFile, asyncio.Future[None]]


class GroupCommit:
    """Lets finished temporary files appear under their names, each once it is on the device."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._took = 0.0
        self._syncfs_again = 0.0 if _can_syncfs() else float("inf")

    def appear(self, temporary: TemporaryFile) -> asyncio.Future[None]:
        """Done when the file has its name; it is closed then, also after a failure, and nothing is left of it.

        A caller that is cancelled leaves a file that appears all the same.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((temporary, future))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._commit())
        return future

    async def finish(self) -> None:
        """Returns when every file that was handed in has appeared or failed, also one nobody waits for any more."""
        while task := self._task:
            await asyncio.wait([task])

    async def _commit(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(min(max(self._took / 2, _LEAST), _MOST))
                group, self._waiting = self._waiting, []
                try:
                    await self._commit_group(group)
                except Exception as exc:  # noqa: BLE001 - handed to anybody who waits for these files
                    _fail(group, exc)
                except BaseException as exc:
                    _fail(group, exc)
                    raise
        finally:
            # Now, not in a callback of the task: a file that comes before it would have nobody.
            self._task = None

    async def _commit_group(self, group: list[_Waiting]) -> None:
        temporaries = [temporary for temporary, _ in group]
        if await self._flush(temporaries):
            # Renaming is brief, and a thread would have to wait for the interpreter.
            errors = [_appear(temporary, is_flushed=True) for temporary in temporaries]
        else:
            # Flushes that come together share the work of the file system.
            flushes = (self._workers.run(_appear, temporary, is_flushed=False) for temporary in temporaries)
            errors = await asyncio.gather(*flushes)
        for (_, future), error in zip(group, errors, strict=True):
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
        self._took = time.monotonic() - start
        if self._took > max(_LONG, _LONG_EACH * len(group)):
            self._syncfs_again = time.monotonic() + _PAUSE
        return is_flushed


def _fail(group: Sequence[_Waiting], error: BaseException) -> None:
    """Whatever went wrong, nobody may wait forever, and no file may stay behind."""
    for temporary, future in group:
        temporary.remove()
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)


def _appear(temporary: TemporaryFile, *, is_flushed: bool) -> BaseException | None:
    try:
        temporary.appear(is_flushed=is_flushed)
    except BaseException as exc:  # noqa: BLE001 - handed to anybody who waits for this file
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
