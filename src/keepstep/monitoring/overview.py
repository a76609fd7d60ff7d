"""The current state of each job, as shown by ``status``, the status page and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keepstep.runs.history import History, JobFacts
from keepstep.runs.run import Run
from keepstep.schedules.schedule import Schedule
from keepstep.units import in_words

SILENT = timedelta(seconds=60)
"""A run without a sign of life for this long may have died; its lock shows whether it has."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The current state of one job."""

    job: str
    kind: str
    running: Run | None
    last: Run | None
    """The latest run that started and finished."""
    facts: JobFacts | None
    next: datetime | None
    """The next time of its schedule, without jitter."""

    @property
    def word(self) -> str:
        """The outcome of the last finished run: a failed job stays failing until another run succeeds."""
        if self.last:
            return self.last.outcome
        return self.running.outcome if self.running else "never ran"

    def state(self, now: datetime) -> str:
        """The text for people: ``word``, and the state of a run in progress."""
        if not self.running:
            return self.word
        silent = is_silent(self.running, now)
        under_way = f"silent for {in_words(now - self.running.seen)}" if silent else self.running.outcome
        return f"{self.last.outcome}, {under_way}" if self.last and not self.last.is_good else under_way


def overview(history: History, job: str, kind: str, schedule: Schedule | None, now: datetime) -> Overview:
    """Reads the state of one job."""
    open_ = [run for run in history.open() if run.job == job]
    return Overview(
        job,
        kind,
        running=max(open_, key=lambda run: run.queued, default=None),
        last=history.last_ended(job, now),
        facts=history.facts(job),
        next=schedule.after(now) if schedule else None,
    )


def is_silent(run: Run, now: datetime) -> bool:
    """Whether a run that should be alive has given no sign of life for a while."""
    return run.is_open and now - run.seen > SILENT
