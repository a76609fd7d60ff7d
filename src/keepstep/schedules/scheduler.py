"""Decides which jobs are due. Starts nothing, never sleeps and reads no clock: those are the caller's part.

A time is claimed in the state before anything runs, so it runs once even if several daemons share the state. Times
that were missed while no daemon ran are made up for by one run, or skipped, as the job says. A run whose process
died with its machine or daemon is recorded as lost, and its job runs again at once, wherever a daemon is alive.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from keepstep.errors import Error
from keepstep.runs.history import History
from keepstep.runs.liveness import Reaper
from keepstep.runs.run import Run, new_id
from keepstep.schedules.claims import Belief, Claim, claim, pass_over
from keepstep.schedules.members import Members, hold, shares
from keepstep.schedules.schedule import Schedule

_NEVER = datetime.min.replace(tzinfo=UTC)
_BATCH = 20
"""Maximum times that one tick claims when daemons share them; claimed runs start before more are claimed."""
_LATE = timedelta(minutes=1)
"""A run that is later than its time by more than this was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the scheduler needs to know about a job."""

    kind: str
    schedule: Schedule | None = None
    jitter: timedelta = timedelta(0)
    makes_up: bool = True
    """Whether one run makes up for missed times."""
    at_startup: bool = False


@dataclass(frozen=True, slots=True)
class _Next:
    due: datetime
    starts: datetime
    """``due`` with jitter."""
    held: datetime | None = None
    """Until then the time is left to the daemon whose turn it is."""

    @property
    def wakes(self) -> datetime:
        return self.held or self.starts


class Scheduler:
    """Schedules all jobs. Call ``set_jobs``, then ``tick`` when ``wake`` says so, or at any other time.

    A failure of the state loses nothing: unclaimed times stay due, and a claim whose response was lost is looked up
    by the next tick.
    """

    def __init__(
        self, history: History, host: str, is_dead: Callable[[Run], bool], members: Members | None = None
    ) -> None:
        """``is_dead`` checks whether the lock of a silent run's job is free."""
        self._history = history
        self._host = host
        self._members = members
        self._reaper = Reaper(history, is_dead)
        self._jobs: dict[str, Timing] = {}
        self._next: dict[str, _Next] = {}
        self._wanted: list[tuple[str, str]] = []
        """Jobs to be started now, and why."""
        self._unsure: dict[str, Run] = {}
        """Claims whose response was lost."""
        self._last: datetime | None = None
        self._since = time.monotonic()
        self.overlapped = 0

    def set_jobs(self, jobs: Mapping[str, Timing], now: datetime, since: float | None = None) -> None:
        """Sets the jobs, at the start and after a reload: all of them or, if the state is unavailable, none.

        Those whose timing is the same keep their next time. ``since`` as for :meth:`tick`.
        """
        self._since = time.monotonic() if since is None else since
        known = {name: self._next.get(name) for name in jobs if self._jobs.get(name) == jobs[name]}
        new = {name: self._first(name, timing, now) for name, timing in jobs.items() if name not in known}
        self._next = {name: each for name, each in (known | new).items() if each}
        self._jobs = dict(jobs)

    def startup(self, now: datetime) -> list[Run]:
        """Returns runs for jobs with ``at_startup``, and for those that the last shutdown interrupted."""
        wanted = {name: "startup" for name, job in self._jobs.items() if job.at_startup or _is_reboot(job)}
        for name in self._jobs:
            last = self._history.last_ended(name, now)
            if last and last.outcome == "terminated" and last.cause != "hand":
                wanted.setdefault(name, "resumed")
        self._wanted += wanted.items()
        return self._collected([], now)

    def next(self, job: str) -> datetime | None:
        """When a job starts next, including jitter."""
        return self._next[job].starts if job in self._next else None

    def wake(self) -> datetime | None:
        """When there is something to do next."""
        return min((upcoming.wakes for upcoming in self._next.values()), default=None)

    def tick(self, now: datetime, since: float | None = None) -> list[Run]:
        """Claims what is due, and returns the runs that this daemon must start. Raises :class:`Error`.

        ``since`` is the monotonic time before ``now`` was read: a process that is frozen in between, or a state
        that responds late, must not mistake what others did meanwhile for the future.
        """
        self._since = time.monotonic() if since is None else since
        if self._last and now < self._last:
            self._set_back(now)
        self._last = now
        due = [name for name, upcoming in self._next.items() if upcoming.starts <= now]
        return self._collected(due, now)

    def reap(self, now: datetime, ours: Collection[str]) -> list[Run]:
        """Records runs that died unnoticed as lost, and returns the runs that replace them.

        Call it at regular intervals. ``ours`` are the runs that the caller supervises itself.
        """
        for run in self._reaper.lost(now, ours):
            if run.job in self._jobs and run.cause != "resumed":
                self._wanted.append((run.job, "resumed"))
        return self._collected([], now)

    def _collected(self, due: list[str], now: datetime) -> list[Run]:
        """The runs that this daemon must start. Raises an error only if there are none: the next call meets it."""
        started: list[Run] = []
        try:
            started += self._found(now)
            while self._wanted:
                job, why = self._wanted[0]
                if job in self._jobs and (run := self._claimed(self._new(job, why, now), None)):
                    started.append(run)
                self._wanted.pop(0)
            for name in self._ours(due, now):
                if run := self._take(name, self._next[name], now):
                    started.append(run)
        except Error:
            if not started:
                raise
        return started

    def _found(self, now: datetime) -> Iterable[Run]:
        """Yields claims that succeeded although their responses were lost."""
        for key, run in list(self._unsure.items()):
            self._history.keep([key], at=now)
            known = self._history.get(key)
            del self._unsure[key]
            if known and known.outcome == "queued":
                yield run

    def _ours(self, due: list[str], now: datetime) -> list[str]:
        """The due jobs that this daemon claims now; the others are left to the daemons whose turn it is."""
        if not due or self._members is None:
            return due
        loads = self._members.loads(now)
        if len(loads) == 1:
            return due
        left = self._untaken(due, now)
        turns = shares([(name, self._next[name].due) for name in left], loads)
        mine = []
        for name in left:
            upcoming = self._next[name]
            limit = upcoming.held or upcoming.starts + hold(len(left))
            if turns[name] == self._members.id or now >= limit:
                mine.append(name)
            else:
                self._next[name] = replace(upcoming, held=limit)
        return mine[:_BATCH]

    def _untaken(self, due: list[str], now: datetime) -> list[str]:
        """The jobs that no daemon has claimed yet; the others move to their next times."""
        taken = self._history.dues()
        left = []
        for name in due:
            upcoming, timing = self._next[name], self._jobs[name]
            if upcoming.due <= taken.get(name, _NEVER) and self._belief(timing, now)(taken[name]):
                self._go_on(name, taken[name])
            else:
                left.append(name)
        return left

    def _set_back(self, now: datetime) -> None:
        """Recomputes the next times after the clock was set back."""
        for name, upcoming in list(self._next.items()):
            timing = self._jobs[name]
            horizon = timing.schedule.after(now) if timing.schedule else None
            if horizon and upcoming.due > horizon and (again := self._upcoming(name, timing, now)):
                self._next[name] = again

    def _first(self, name: str, timing: Timing, now: datetime) -> _Next | None:
        """A job that is new to this daemon continues where any daemon left it; a changed one starts from now."""
        if timing.schedule is None or timing.schedule.is_startup:
            return None
        facts, is_believed = self._history.facts(name), self._belief(timing, now)
        if facts is None or facts.due is None or not is_believed(facts.due):
            # So that a daemon that dies before the first time knows afterwards what it missed.
            pass_over(self._history.database, name, now, is_believed=is_believed)
        elif name not in self._jobs:
            return self._upcoming(name, timing, facts.due)
        return self._upcoming(name, timing, now)

    def _upcoming(self, name: str, timing: Timing, since: datetime) -> _Next | None:
        due = timing.schedule.after(since) if timing.schedule else None
        if due is None:
            return None
        # Jitter is the same on every machine and after every restart.
        share = random.Random(f"{name} {due.isoformat()}").random()
        return _Next(due, due + share * timing.jitter)

    def _take(self, name: str, upcoming: _Next, now: datetime) -> Run | None:
        timing = self._jobs[name]
        assert timing.schedule
        due = timing.schedule.latest(upcoming.due, now) or upcoming.due
        is_believed = self._belief(timing, now)
        is_missed = now - due > _LATE + timing.jitter
        if is_missed and not timing.makes_up:
            pass_over(self._history.database, name, due, is_believed=is_believed)
            run = None
        else:
            new = replace(self._new(name, "missed" if is_missed else "schedule", now), due=due)
            run = self._claimed(new, is_believed)
        self._go_on(name, due)
        return run

    def _go_on(self, name: str, due: datetime) -> None:
        """Moves the job to the time after ``due``."""
        following = self._upcoming(name, self._jobs[name], due)
        if following:
            self._next[name] = following
        else:
            del self._next[name]

    def _new(self, job: str, cause: str, now: datetime) -> Run:
        kind = self._jobs[job].kind
        return Run(
            id=new_id(now), job=job, kind=kind, host=self._host, cause=cause, queued=now, seen=now, outcome="queued"
        )

    def _belief(self, timing: Timing, now: datetime) -> Belief:
        """No daemon claims a time early: one later than the next due time was written by a wrong clock."""

        def is_believed(due: datetime) -> bool:
            present = now + timedelta(seconds=time.monotonic() - self._since)
            following = timing.schedule.after(present) if timing.schedule else None
            return following is None or due <= following

        return is_believed

    def _claimed(self, run: Run, is_believed: Belief | None) -> Run | None:
        daemon = self._members.id if self._members else self._host
        try:
            outcome = claim(self._history.database, run, daemon=daemon, is_believed=is_believed)
        except Error:
            self._unsure[run.id] = run
            raise
        self.overlapped += outcome is Claim.OVERLAPPED
        return run if outcome is Claim.OURS else None


def _is_reboot(job: Timing) -> bool:
    return job.schedule is not None and job.schedule.is_startup
