"""Decides which daemon runs what, in one transaction of the state, so that any number of daemons agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum

from keepstep.runs import lifecycle
from keepstep.runs.rows import moment
from keepstep.runs.run import Run
from keepstep.state.database import Database, Query


class Claim(Enum):
    """The result of a claim."""

    OURS = "ours"
    """The run is queued, and this daemon starts it."""
    OVERLAPPED = "overlapped"
    """Another run of the job is in progress; that is recorded, and nothing is started."""
    TAKEN = "taken"
    """Another daemon has claimed this time."""


Belief = Callable[[datetime], bool]
"""Whether a time that the state says was claimed can have come already; called after the state has responded."""


def claim(database: Database, run: Run, *, daemon: str = "", is_believed: Belief | None = None) -> Claim:
    """Claims a time of the schedule (``run.due``) or, without one, just a run. Each time is claimed once.

    A future time, which a wrong clock wrote into the state, is ignored.
    """
    return database.write(lambda query: _claim(query, run, daemon, is_believed))


def _claim(query: Query, run: Run, daemon: str, is_believed: Belief | None) -> Claim:
    lifecycle.remember(query, run.job, run.queued)
    if run.due is not None and not _advance(query, run.job, run.due, is_believed):
        return Claim.TAKEN
    # The row of the job is locked now: the second daemon sees the run of the first.
    return Claim.OURS if lifecycle.queue(query, run, daemon) else Claim.OVERLAPPED


def pass_over(database: Database, job: str, due: datetime, *, is_believed: Belief | None = None) -> None:
    """Marks every time up to ``due`` as handled, without a run."""

    def work(query: Query) -> None:
        lifecycle.remember(query, job, due)
        _advance(query, job, due, is_believed)

    database.write(work)


def _advance(query: Query, job: str, due: datetime, is_believed: Belief | None) -> bool:
    """Whether no daemon has handled that time yet."""
    at = due.timestamp()
    statement = "UPDATE job SET due = ? WHERE name = ? AND (due IS NULL OR due < ?) RETURNING name"
    if query(statement, at, job, at):
        return True
    # The row is locked now, and the clock is read only now: the response may have been slow.
    [(stored,)] = query("UPDATE job SET name = name WHERE name = ? RETURNING due", job)
    if is_believed is None or is_believed(moment(stored)):
        return False
    query("UPDATE job SET due = ? WHERE name = ?", at, job)
    return True
