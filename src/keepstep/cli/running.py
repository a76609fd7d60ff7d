"""Runs a coroutine for a command: on uvloop, with signals that stop it gracefully."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from keepstep.errors import ExitCode
from keepstep.runs.report import Report

T = TypeVar("T")

_M_MMAP_THRESHOLD = -3
_LARGE = 1024 * 1024
_GRACE = 8.0
"""Seconds for transfers in flight to finish after SIGINT or SIGTERM."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs to completion on uvloop."""
    import uvloop

    _give_large_blocks_back()
    _collect_less()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def _give_large_blocks_back() -> None:
    """Makes glibc map every large block separately, and unmap it when it is freed.

    By default it keeps the blocks of each thread for later (mallopt(3)): 315 MiB where 172 are needed, measured
    with thirty objects of 15 MB and 128 MiB of them in memory at a time.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _collect_less() -> None:
    """Makes the garbage collector skip existing objects, and run less often.

    Pages of a listing are hundreds of thousands of young objects and hardly any circle: a quarter of the CPU that a
    listing costs went into looking for circles (300,000 keys a side: 2.4 s, and 1.8 s so, in the same memory).
    """
    if not gc.get_freeze_count():  # what a host runs again and again in one process has garbage by then
        gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Engine(Protocol):
    """Something that runs, can be asked to stop, and always leaves a report."""

    report: Report

    def stop(self) -> None: ...

    async def run(self) -> Report: ...


async def carried_out(engine: Engine) -> tuple[Report, ExitCode | None]:
    """Runs to completion; returns the report, and the exit code of the signal that ended it, if any."""
    with Interruption(engine.stop) as interruption:
        with suppress(asyncio.CancelledError):
            await engine.run()
        return engine.report, interruption.code


_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class _Late:
    """Handles signals between the end of the work and that of the process. A second one ends it at once."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None

    def take(self, number: int, frame: object) -> None:
        if self.code is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.code = _CODES[signal.Signals(number)]


_late = _Late()


def late_signal() -> ExitCode | None:
    """The exit code of a signal that arrived after the work had ended, if any."""
    return _late.code


class Interruption:
    """Turns the first SIGINT or SIGTERM into a request to stop; a second one, or 8 s, ends the run.

    A signal after the end of the work is remembered for :func:`late_signal`, because the report is still to be
    written.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self.code: ExitCode | None = None

    def __enter__(self) -> Interruption:
        loop = asyncio.get_running_loop()
        _late.code = None
        for number, code in _CODES.items():
            loop.add_signal_handler(number, self._take, code)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        for number in _CODES:
            loop.remove_signal_handler(number)
            signal.signal(number, _late.take)

    def _take(self, code: ExitCode) -> None:
        if self.code is not None:
            self._end()
            return
        self.code = code
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(_GRACE, self._end)

    def _end(self) -> None:
        if self._task and not self._task.done():
            self._task.cancel()
