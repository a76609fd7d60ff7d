"""Which jobs are due. It starts nothing, sleeps nowhere and asks no clock: time and starts are the caller's.

A time is taken on in the state before it is acted on, so it is acted on once, whoever else shares the state. What
was due while no daemon ran is made up for by one run, or passed over, as the job says. A run whose process died
with its machine or daemon is written down as lost, and its job runs again at once, wherever a daemon is alive.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keepstep.errors import Error
from keepstep.runs.claims import Claim, claim, pass_over
from keepstep.runs.history import History
from keepstep.runs.overview import is_silent
from keepstep.runs.run import Run, new_id
from keepstep.runs.schedule import Schedule

_LATE = timedelta(minutes=1)
"""Behind its time by more than this, a run is one that was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the scheduler has to know of a job."""

    kind: str
    schedule: Schedule | None = None
    jitter: timedelta = timedelta(0)
    makes_up: bool = True
    """Whether one run makes up for times that were missed."""
    at_startup: bool = False


@dataclass(slots=True)
class _Next:
    due: datetime
    starts: datetime
    """``due`` with jitter."""


class Scheduler:
    """The times of all jobs. ``set_jobs``, then ``tick`` when ``wake`` says so, or at any other time."""

    def __init__(self, history: History, host: str, is_dead: Callable[[Run], bool]) -> None:
        """``is_dead`` looks whether the lock of a silent run's job is free."""
        self._history = history
        self._host = host
        self._is_dead = is_dead
        self._jobs: dict[str, Timing] = {}
        self._next: dict[str, _Next] = {}
        self._suspects: set[str] = set()
        self.overlapped = 0

    def set_jobs(self, jobs: Mapping[str, Timing], now: datetime) -> None:
        """Takes jobs on, at the start and after a reload. Those whose timing is the same keep their next time."""
        for name, timing in jobs.items():
            if self._jobs.get(name) != timing:
                self._next.pop(name, None)
                first = self._first(name, timing, now)
                if first:
                    self._next[name] = first
        for name in set(self._jobs) - set(jobs):
            self._next.pop(name, None)
        self._jobs = dict(jobs)

    def startup(self, now: datetime) -> list[Run]:
        """The runs of jobs that run when the daemon starts, and of those that its last end cut short."""
        wanted = {name: "startup" for name, job in self._jobs.items() if job.at_startup or _is_reboot(job)}
        for name in self._jobs:
            last = self._history.last_ended(name)
            if last and last.outcome == "terminated" and last.cause != "hand":
                wanted.setdefault(name, "resumed")
        return [run for name, why in wanted.items() if (run := self._claimed(self._new(name, why, now)))]

    def next(self, job: str) -> datetime | None:
        """When a job starts next, jitter included."""
        return self._next[job].starts if job in self._next else None

    def wake(self) -> datetime | None:
        """When there is something to do next."""
        return min((upcoming.starts for upcoming in self._next.values()), default=None)

    def tick(self, now: datetime) -> list[Run]:
        """Takes on what is due, and returns the runs that are to be started here.

        A fault of the state leaves the rest of the jobs due; the next tick takes them on, or raises it again.
        """
        started: list[Run] = []
        try:
            for name, upcoming in list(self._next.items()):
                if upcoming.starts <= now and (run := self._take(name, upcoming, now)):
                    started.append(run)
        except Error:
            if not started:
                raise
        return started

    def reap(self, now: datetime, ours: Collection[str]) -> list[Run]:
        """Writes down runs that died unnoticed, and returns the runs that go on in their place.

        ``ours`` are those that the caller looks after itself. Two looks must find a run dead: after an outage of
        the state all runs have been silent, and take their locks again within seconds.
        """
        silent = [run for run in self._history.open() if run.id not in ours and is_silent(run, now)]
        dead = [run for run in silent if self._is_dead(run)]
        suspects, self._suspects = self._suspects, {run.id for run in dead}
        going_on = []
        for run in dead:
            if run.id not in suspects:
                continue
            was_ours = self._history.end(replace(run, outcome="lost", finished=now))
            if was_ours and run.job in self._jobs and run.cause != "resumed":
                going_on.append(self._claimed(self._new(run.job, "resumed", now)))
        return [run for run in going_on if run]

    def _first(self, name: str, timing: Timing, now: datetime) -> _Next | None:
        """A job that is new here goes on where it was left, by whichever daemon; one that was changed, from now."""
        if timing.schedule is None or timing.schedule.is_startup:
            return None
        facts = self._history.facts(name)
        if facts is None or facts.due is None:
            # A daemon that dies before the first time knows at its return what it missed.
            pass_over(self._history.database, name, now)
        elif name not in self._jobs:
            return self._upcoming(name, timing, facts.due)
        return self._upcoming(name, timing, now)

    def _upcoming(self, name: str, timing: Timing, since: datetime) -> _Next | None:
        due = timing.schedule.after(since) if timing.schedule else None
        if due is None:
            return None
        # The same on every machine and after every restart.
        share = random.Random(f"{name} {due.isoformat()}").random()
        return _Next(due, due + share * timing.jitter)

    def _take(self, name: str, upcoming: _Next, now: datetime) -> Run | None:
        timing = self._jobs[name]
        assert timing.schedule
        due = timing.schedule.latest(upcoming.due, now) or upcoming.due
        is_missed = now - due > _LATE + timing.jitter
        if is_missed and not timing.makes_up:
            pass_over(self._history.database, name, due)
            run = None
        else:
            run = self._claimed(replace(self._new(name, "missed" if is_missed else "schedule", now), due=due))
        following = self._upcoming(name, timing, due)
        if following:
            self._next[name] = following
        else:
            del self._next[name]
        return run

    def _new(self, job: str, cause: str, now: datetime) -> Run:
        kind = self._jobs[job].kind
        return Run(
            id=new_id(now), job=job, kind=kind, host=self._host, cause=cause, queued=now, seen=now, outcome="queued"
        )

    def _claimed(self, run: Run) -> Run | None:
        outcome = claim(self._history.database, run)
        self.overlapped += outcome is Claim.OVERLAPPED
        return run if outcome is Claim.OURS else None


def _is_reboot(job: Timing) -> bool:
    return job.schedule is not None and job.schedule.is_startup
