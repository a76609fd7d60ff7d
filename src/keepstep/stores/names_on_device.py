"""Names of new files, flushed to the device before something else relies on them.

A file is flushed before it is renamed, but the rename itself is a change of its folder, which the device may get
seconds later (rename(2), fsync(2)): a machine that fails in between would have lost both, the file and what was
deleted because of it. One syncfs(2) flushes the folders of a whole file system, those above them too.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable

from keepstep.clouds.workers import Workers
from keepstep.flush import NO_FLUSH
from keepstep.stores.local_files import OnLapse, translated


class NamesOnDevice:
    """Knows which file systems have names that may not be on the device."""

    def __init__(self, workers: Workers, open_folder: Callable[[str], int], on_lapse: OnLapse) -> None:
        """``open_folder`` opens the folder of a key for reading."""
        self._workers = workers
        self._open_folder = open_folder
        self._on_lapse = on_lapse
        self._keys: dict[int, str] = {}
        """By device: a key there."""
        self._added = self._flushed = 0
        self._lock = asyncio.Lock()

    def add(self, device: int, key: str) -> None:
        self._added += 1
        self._keys[device] = key

    async def flush(self) -> None:
        """Returns when all names that were added before are on the device. One flush does for all who wait.

        Raises :class:`Error` when the device refuses.
        """
        wanted = self._added
        async with self._lock:
            if self._flushed >= wanted:
                return
            keys, self._keys, added = self._keys, {}, self._added
            try:
                for key in keys.values():
                    await self._workers.run(self._flush, key)
            except BaseException:
                self._keys = keys | self._keys
                raise
            self._flushed = added

    def _flush(self, key: str) -> None:
        with translated(key):
            try:
                folder = self._open_folder(key)
            except FileNotFoundError:  # somebody has removed it, but not all that was added on this device
                os.sync()
                return
            try:
                if ctypes.CDLL(None, use_errno=True).syncfs(folder) == 0:
                    return
                number = ctypes.get_errno()
                if number not in NO_FLUSH:
                    raise OSError(number, os.strerror(number))
                self._on_lapse(
                    "names of files cannot be flushed to the device", OSError(number, os.strerror(number))
                )
            finally:
                os.close(folder)
