"""The daemon: runs jobs on schedule, each in its own process, and monitors them.

SIGHUP reloads the configuration; an invalid one is refused, and the old one stays in use. SIGTERM and SIGINT drain:
nothing new starts, running jobs may finish for ``drain`` and are then asked to stop; a second signal asks at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from keepstep.clock import Clock
from keepstep.errors import Error
from keepstep.hosts.audits import Audits
from keepstep.hosts.children import Launch
from keepstep.hosts.runner import Runner
from keepstep.hosts.supervisor import Supervisor
from keepstep.hosts.work import Work
from keepstep.jobs.assembly import alerting_of
from keepstep.jobs.resolve import watches_of
from keepstep.runs.history import History
from keepstep.runs.run import Run
from keepstep.schedules.members import Members
from keepstep.schedules.scheduler import Scheduler
from keepstep.state.clock import StateClock
from keepstep.state.place import StatePlace
from keepstep.units import counted

T = TypeVar("T")

_LOOK = 15.0
"""Seconds between checks for runs that may have died, and maximum between two ticks."""
_PRUNE = 6 * 3600.0
"""Seconds."""
_ONE_SIGNAL = 1.0
"""Seconds within which signals count as one: some senders signal the process and its group."""
_STUCK = 120.0
"""Seconds without a tick after which the daemon is unhealthy."""


class Daemon:
    """One daemon. ``run`` returns after draining."""

    def __init__(self, read: Callable[[], Work], log: Any, *, clock: Clock | None = None) -> None:
        self._read = read
        self._work = read()
        self._log = log
        self._supervisor = Supervisor()
        self._place: StatePlace = self.config.state.place
        self.history = History(self._place.open())
        self._clock = StateClock(self.history.database, clock)
        host = socket.gethostname()
        self._members = Members(self.history.database, f"{host}-{secrets.token_hex(4)}", host)
        self.scheduler = Scheduler(self.history, host, self._is_dead, self._members)
        self._runner = Runner(
            self.history,
            self._launch_of,
            self._asked,
            log,
            self._clock,
            limit=self.config.daemon.max_runs,
        )
        self._audits = Audits(log, self._clock)
        self._signal = asyncio.Event()
        self._wake = asyncio.Event()
        self._scheduling = asyncio.Lock()
        self._is_draining, self._drained_at = False, 0.0
        self._hurry = asyncio.Event()
        self._ticked = time.monotonic()
        self._state_error = ""
        self._has_started = False
        self._wanted: Work | None = None
        """A configuration that was read and waits for the state."""
        self._calling: asyncio.Task[None] | None = None

    @property
    def config(self) -> Any:
        return self._work.config

    # health

    def health(self) -> str:
        """What is wrong with the daemon, or an empty string. Thread-safe."""
        silence = time.monotonic() - self._ticked
        return f"no tick for {silence:.0f} s" if silence > _STUCK else ""

    def readiness(self) -> str:
        """Why due runs would not start, or an empty string."""
        if self._is_draining:
            return "draining"
        return self.health() or self._state_error or self._runner.trouble

    # life

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        await asyncio.to_thread(self._clock.ask)
        await asyncio.to_thread(self._members.sign, self._clock.now())
        await asyncio.to_thread(self.scheduler.set_jobs, self._work.timings, self._clock.now())
        self._supervisor.ready(self._status())
        self._log.info("started", jobs=len(self.config.job), pid=os.getpid())
        if self._work.exposure:
            self._log.warning("configuration exposed", error=self._work.exposure)
        duties = [asyncio.create_task(duty) for duty in self._duties()]
        try:
            await self._until_drained(duties)
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            if self._calling is not None:
                await asyncio.wait([self._calling], timeout=_LOOK)
            with suppress(Error):
                await asyncio.to_thread(self._members.leave)
            self.history.database.close()
        self._log.info("ended")

    def _duties(self) -> list[Coroutine[Any, Any, None]]:
        return [self._tick(), self._look_after(), self._verify(), self._watchdog()]

    async def _until_drained(self, duties: list[asyncio.Task[None]]) -> None:
        """Runs until the last run has ended after a signal. A failing task ends the daemon at once."""
        draining = asyncio.create_task(self._drained())
        await asyncio.wait([draining, *duties], return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        for duty in duties:
            if duty.done():
                duty.result()

    async def _drained(self) -> None:
        await self._signal.wait()
        ending = asyncio.create_task(self._stop_runs())
        await self._runner.ended()
        ending.cancel()

    async def _tick(self) -> None:
        while True:
            await self._runner.catch_up()
            if not self._is_draining:
                async with self._scheduling:
                    if not self._has_started:
                        started = await self._asked(self.scheduler.startup, self._clock.now())
                        self._has_started = started is not None
                        self._runner.start(started or [])
                    since, now = self._clock.monotonic(), self._clock.now()
                    self._runner.start(await self._asked(self.scheduler.tick, now, since) or [])
            self._ticked = time.monotonic()
            wake = self.scheduler.wake()
            pause = (wake - self._clock.now()).total_seconds() if wake else _LOOK
            # No longer than this, because clocks may be corrected during a sleep.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(max(pause, 0.05), _LOOK))
            self._wake.clear()

    async def _look_after(self) -> None:
        # Not at once: a daemon that starts with a wrong clock would delete everything.
        pruned = self._clock.monotonic()
        while True:
            await self._asked(self._clock.ask)
            now = self._clock.now()
            await self._asked(self._keep, now)
            if self._wanted:
                await self._take_on(self._wanted)
            if not self._is_draining:
                async with self._scheduling:
                    self._runner.start(await self._asked(self.scheduler.reap, now, self._runner.runs) or [])
            if self._clock.monotonic() - pruned > _PRUNE:
                pruned = self._clock.monotonic()
                await self._asked(self.history.prune, now)
            await self._call_for_help(now)
            await asyncio.sleep(_LOOK)

    async def _call_for_help(self, now: datetime) -> None:
        """Handles alerts separately, so that a channel that hangs delays nothing else."""
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._alert(self.config, now))

    async def _alert(self, config: Any, now: datetime) -> None:
        alerting = alerting_of(config, self.history.database)
        await self._asked(alerting.forget, list(config.job), now)
        watches = self._audits.told(watches_of(config))
        for message in await self._asked(alerting.look, watches, now) or []:
            (self._log.error if message.is_bad else self._log.info)("alert", title=message.title)
        for trouble in await self._asked(alerting.send, now) or []:
            self._log.error("alert not sent", channel=trouble.channel, title=trouble.title, error=trouble.error)

    def _keep(self, now: datetime) -> None:
        self.history.keep(self._runner.runs, at=now)
        self._members.sign(now)

    async def _verify(self) -> None:
        while True:
            await self._audits.look(self._work)
            await asyncio.sleep(_LOOK)

    async def _watchdog(self) -> None:
        while True:
            if not self.health():
                self._supervisor.alive()
            await asyncio.sleep(self._supervisor.interval or _LOOK)

    # runs

    def _launch_of(self, job: str) -> Launch | None:
        return self._work.launches.get(job)

    def _is_dead(self, run: Run) -> bool:
        try:
            return self._place.is_free(run.job)
        except Error:
            return False

    # signals

    def _hang_up(self) -> None:
        self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        self._supervisor.reloading()
        try:
            work = await asyncio.to_thread(self._read)
        except Error as exc:
            self._log.error("configuration refused; the old one stays in use", error=exc.message)
        else:
            if self._wanted:
                self._wanted.close()
            self._wanted = work
            await self._take_on(work)
        self._supervisor.ready(self._status())
        self._wake.set()

    async def _take_on(self, work: Work) -> None:
        """Switches to another configuration. While the state is unavailable the old jobs continue."""
        if work.config.state != self.config.state or work.config.dashboard != self.config.dashboard:
            self._log.warning("changes of state and dashboard need a restart")
            work = replace(work, config=self._with_places(work.config))
        async with self._scheduling:
            if self._wanted is None or self._wanted.snapshot != work.snapshot:
                return
            done = await self._asked(self._set_jobs, work)
            if not done:
                self._log.warning("configuration read; its jobs wait until the state responds")
                return
            old, self._work, self._wanted = self._work, work, None
        old.close()
        self._audits.forget()
        self._log.info("configuration reloaded", jobs=len(work.config.job))

    def _set_jobs(self, work: Work) -> bool:
        since, now = self._clock.monotonic(), self._clock.now()
        self.scheduler.set_jobs(work.timings, now, since)
        return True

    def _with_places(self, config: Any) -> Any:
        return config.model_copy(update={"state": self.config.state, "dashboard": self.config.dashboard})

    def _drain(self) -> None:
        if self._is_draining:
            if time.monotonic() - self._drained_at > _ONE_SIGNAL:
                self._hurry.set()
            return
        self._is_draining, self._drained_at = True, time.monotonic()
        self._supervisor.stopping("waiting for runs to finish")
        self._log.info("draining", runs=len(self._runner.runs))
        self._runner.close()
        self._signal.set()

    async def _stop_runs(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), self.config.daemon.drain.total_seconds())
        await self._runner.stop()

    def _status(self) -> str:
        return counted(len(self.config.job), "job")

    async def _asked(self, question: Callable[..., T], *about: Any) -> T | None:
        """Queries the state in a thread. Logs an outage once when it starts and once when it is over."""
        try:
            answer = await asyncio.to_thread(question, *about)
        except Error as exc:
            if self._state_error != exc.message:
                self._log.error("state", error=exc.message, hint=exc.hint)
            self._state_error = exc.message
            return None
        if self._state_error:
            self._log.info("the state responds again")
            self._state_error = ""
        return answer
