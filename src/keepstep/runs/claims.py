"""Who runs what: decided by one transaction in the state, so that any number of daemons agree."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from keepstep.runs import lifecycle
from keepstep.runs.database import Database, Query
from keepstep.runs.run import Run


class Claim(Enum):
    """What became of a wish to run."""

    OURS = "ours"
    """The run is queued, and ours to start."""
    OVERLAPPED = "overlapped"
    """Another run of the job is under way; that is written down, and nothing is started."""
    TAKEN = "taken"
    """Another daemon has taken this time on."""


def claim(database: Database, run: Run, *, daemon: str = "", horizon: datetime | None = None) -> Claim:
    """Takes a time of the schedule (``run.due``) on, or, without one, just a run. Each time is taken once.

    ``horizon`` is the schedule's own next time: a later one cannot have been taken on, as no daemon takes a time
    before it has come. A state that says so was told by a clock that was wrong, and is not believed.
    """
    return database.write(lambda query: _claim(query, run, daemon, horizon))


def _claim(query: Query, run: Run, daemon: str, horizon: datetime | None) -> Claim:
    lifecycle.remember(query, run.job, run.queued)
    if run.due is not None and not _advance(query, run.job, run.due, horizon):
        return Claim.TAKEN
    # The row of the job is locked now: who comes second sees the first one's run.
    return Claim.OURS if lifecycle.queue(query, run, daemon) else Claim.OVERLAPPED


def pass_over(database: Database, job: str, due: datetime, *, horizon: datetime | None = None) -> None:
    """Marks every time up to ``due`` as dealt with, without a run."""

    def work(query: Query) -> None:
        lifecycle.remember(query, job, due)
        _advance(query, job, due, horizon)

    database.write(work)


def _advance(query: Query, job: str, due: datetime, horizon: datetime | None) -> bool:
    """Whether nobody has dealt with that time yet."""
    at, limit = due.timestamp(), horizon.timestamp() if horizon else 1e18
    statement = "UPDATE job SET due = ? WHERE name = ? AND (due IS NULL OR due < ? OR due > ?) RETURNING name"
    return bool(query(statement, at, job, at, limit))
