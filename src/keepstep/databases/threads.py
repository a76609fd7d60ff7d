"""A thread for a driver that blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DriverThread:
    """Runs one call after the other, so that a connection is never used by two at once.

    A call whose caller was cancelled still ends, within the driver's own time limits, before the next one begins.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="keepstep-database")

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def end(self) -> None:
        """After what was started. Never waits."""
        self._pool.shutdown(wait=False)
