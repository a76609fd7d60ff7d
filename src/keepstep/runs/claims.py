"""Who runs what: decided by one statement in the state, so that any number of daemons agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import Enum

from keepstep.runs.database import Database, Query
from keepstep.runs.history import insert, remember
from keepstep.runs.run import OPEN, Run


class Claim(Enum):
    """What became of a wish to run."""

    OURS = "ours"
    """The run is queued, and ours to start."""
    OVERLAPPED = "overlapped"
    """Another run of the job is under way; that is written down, and nothing is started."""
    TAKEN = "taken"
    """Another daemon has taken this time on."""


def claim(database: Database, run: Run) -> Claim:
    """Takes a time of the schedule (``run.due``) on, or, without one, just a run. Each time is taken once."""
    return database.write(lambda query: _claim(query, run))


def _claim(query: Query, run: Run) -> Claim:
    remember(query, run.job, run.queued)
    if run.due is not None and not advance(query, run.job, run.due):
        return Claim.TAKEN
    # The row is locked now: who comes second sees the first one's run.
    query("UPDATE job SET name = name WHERE name = ?", run.job)
    if query("SELECT 1 FROM run WHERE job = ? AND outcome IN (?, ?)", run.job, *OPEN):
        idle = replace(run, outcome="overlapped", finished=run.queued)
        if run.due is not None:
            insert(query, idle)
        return Claim.OVERLAPPED
    insert(query, run)
    return Claim.OURS


def pass_over(database: Database, job: str, due: datetime) -> None:
    """Marks every time up to ``due`` as dealt with, without a run."""

    def work(query: Query) -> None:
        remember(query, job, due)
        advance(query, job, due)

    database.write(work)


def advance(query: Query, job: str, due: datetime) -> bool:
    """Whether nobody has dealt with that time yet."""
    at = due.timestamp()
    statement = "UPDATE job SET due = ? WHERE name = ? AND (due IS NULL OR due < ?) RETURNING name"
    return bool(query(statement, at, job, at))
