"""The runs of one daemon: starts, monitors and ends them, and records outcomes that they could not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from keepstep.clock import Clock
from keepstep.errors import Error, ExitCode
from keepstep.hosts.children import Child, Launch
from keepstep.runs.history import History
from keepstep.runs.recording import CAUSE, RUN
from keepstep.runs.run import Run, outcome_of

_WELL = (ExitCode.DONE, ExitCode.CHANGED, ExitCode.SKIPPED, ExitCode.LOCKED)
_MANY = 10_000

Ask = Callable[..., Awaitable[Any]]
"""Queries the state in a thread; None if it is unavailable."""


class Runner:
    """Starts claimed runs, at most ``limit`` at a time; the others wait."""

    def __init__(
        self,
        history: History,
        launch_of: Callable[[str], Launch | None],
        ask: Ask,
        log: Any,
        clock: Clock,
        *,
        limit: int | None,
    ) -> None:
        self._history = history
        self._launch_of = launch_of
        self._ask = ask
        self._log = log
        self._clock = clock
        self._slots = asyncio.Semaphore(limit or _MANY)
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unwritten: dict[str, Run] = {}
        """Runs that ended while the state was unavailable."""
        self._is_closed = False
        self.trouble = ""
        """Why the last run could not be started, or an empty string."""

    @property
    def runs(self) -> list[str]:
        """The ids of runs that have not ended."""
        return list(self._tasks)

    def start(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self._tasks[run.id] = asyncio.create_task(self._carry_out(run))

    async def catch_up(self) -> None:
        """Records the outcomes that the state could not store before: until then their jobs look busy."""
        for ended in list(self._unwritten.values()):
            if await self._ask(self._settle, ended) is None:
                return
            del self._unwritten[ended.id]

    def close(self) -> None:
        """Prevents waiting runs from starting."""
        self._is_closed = True

    async def stop(self) -> None:
        """Asks every run to stop, and kills those that do not."""
        await asyncio.gather(*(child.stop() for child in list(self._children.values())))

    async def ended(self) -> None:
        """Waits until all runs have ended."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _carry_out(self, run: Run) -> None:
        log = self._log.bind(job=run.job, run=run.id)
        try:
            async with self._slots:
                launch = self._launch_of(run.job)
                if self._is_closed or launch is None:
                    log.info("not started", reason="draining" if self._is_closed else "the job was removed")
                    await self._conclude(run, ExitCode.TERMINATED)
                else:
                    await self._in_process(run, launch, log)
        except Exception as exc:  # noqa: BLE001 - one run's trouble must not end the daemon
            self.trouble = f"cannot start runs: {exc}"
            log.error("not started", error=repr(exc))
            await self._conclude(run, ExitCode.FAILED)
        finally:
            self._children.pop(run.id, None)
            self._tasks.pop(run.id, None)

    async def _in_process(self, run: Run, launch: Launch, log: Any) -> None:
        log.info("run started", cause=run.cause, due=run.due and run.due.isoformat())
        began = time.monotonic()
        child = await Child.start(launch, {RUN: run.id, CAUSE: run.cause})
        self._children[run.id] = child
        self.trouble = ""
        code = await child.ended(lambda line: log.info("output", line=line))
        outcome = await self._conclude(run, code, "overdue" if child.was_overdue else None)
        is_followed = await self._follow(launch, code, log)
        seconds = round(time.monotonic() - began, 3)
        say = log.info if code in _WELL and is_followed else log.error
        say("run ended", outcome=outcome, exit_code=code, seconds=seconds)

    async def _follow(self, launch: Launch, code: int, log: Any) -> bool:
        try:
            if launch.after:
                await asyncio.to_thread(launch.after, code)
        except Error as exc:
            log.error("after the run", error=exc.message, hint=exc.hint)
            return False
        return True

    async def _conclude(self, run: Run, code: int, outcome: str | None = None) -> str:
        """Records the outcome if the run has not done so itself. Returns the final outcome."""
        word = outcome or outcome_of(code)
        now = self._clock.now()
        ended = replace(run, outcome=word, exit_code=code, finished=now, seen=now)
        stands: str | None = await self._ask(self._settle, ended)
        if stands is None:
            self._unwritten[run.id] = ended
        return stands or word

    def _settle(self, ended: Run) -> str:
        """The final outcome: the first that the run's process, or a daemon that gave it up, has recorded."""
        known = self._history.get(ended.id)
        if known is None or self._history.end(replace(ended, started=known.started, progress=None)):
            return ended.outcome
        known = self._history.get(ended.id)
        return known.outcome if known else ended.outcome
