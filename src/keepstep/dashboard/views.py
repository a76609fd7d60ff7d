"""Reads what the pages show from the state, so that templates query nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keepstep.config import Config
from keepstep.jobs.resolve import resolve
from keepstep.monitoring.alerting import Alerting
from keepstep.monitoring.overview import Overview, is_silent, overview
from keepstep.runs.history import History
from keepstep.runs.lifecycle import Line
from keepstep.runs.run import GOOD, IDLE, MEANINGS, OPEN, Run

STRIP = 30
"""Runs in a job's history strip."""
LINES = 500
"""Actions on one page."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as shown on the front page."""

    overview: Overview
    runs: list[Run]
    """Runs, oldest first."""
    state: str
    """The state in words."""
    is_silent: bool

    @property
    def name(self) -> str:
        return self.overview.job

    @property
    def tone(self) -> str:
        """Whether the last finished run failed; a run in progress says nothing about the job."""
        return "bad" if self.is_silent else tone_of(self.overview.word)


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with all its records."""

    run: Run
    meaning: str
    lines: list[Line]
    page: int
    pages: int
    actions: list[Line]

    def of(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line.kind == kind]


@dataclass(frozen=True, slots=True)
class AlertView:
    """An active alert."""

    job: str
    name: str
    since: datetime
    text: str


class Views:
    """Reads the state; every method blocks."""

    def __init__(self, history: History) -> None:
        self._history = history

    def jobs(self, config: Config, now: datetime) -> list[JobView]:
        return [self.job(config, name, now) for name in config.job]

    def job(self, config: Config, name: str, now: datetime) -> JobView:
        job = resolve(config, name)
        found = overview(self._history, name, job.kind, job.schedule, now)
        silent = found.running is not None and is_silent(found.running, now)
        return JobView(found, self._history.recent(name, STRIP)[::-1], found.state(now), silent)

    def alerts(self, config: Config | None = None) -> list[AlertView]:
        """Active alerts of jobs of this configuration, or of all if None."""
        active = sorted(Alerting(self._history.database, {}, timedelta()).active().items())
        return [
            AlertView(job, name, alert.since, alert.text)
            for (job, name), alert in active
            if config is None or job in config.job
        ]

    def run(self, key: str, page: int) -> RunView | None:
        run = self._history.get(key)
        if run is None:
            return None
        lines = self._history.lines(key)
        actions = [line for line in lines if line.kind == "action"]
        pages = max(1, -(-len(actions) // LINES))
        page = min(max(page, 1), pages)
        shown = actions[(page - 1) * LINES : page * LINES]
        return RunView(run, MEANINGS.get(run.outcome, ""), lines, page, pages, shown)

    def mark(self) -> str:
        """A value that changes whenever a page would."""
        running = [(run.id, run.outcome, str(run.progress)) for run in self._history.open()]
        ended = [run.id for name in self._history.jobs() for run in self._history.recent(name, 1)]
        return repr((running, ended, [(alert.job, alert.name) for alert in self.alerts()]))


def tone_of(outcome: str) -> str:
    """``good``, ``bad``, ``busy`` or ``idle``; pages add a sign, because not everybody can see colours."""
    if outcome in GOOD:
        return "good"
    if outcome in OPEN:
        return "busy"
    return "idle" if outcome in (*IDLE, "never ran") else "bad"


def moment(value: datetime | None) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else ""
