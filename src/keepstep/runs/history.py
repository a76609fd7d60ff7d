"""The history of runs: rows of the state, kept for 90 days."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keepstep.runs import lifecycle
from keepstep.runs.lifecycle import FUTURE, Line
from keepstep.runs.rows import COLUMNS, moment, moment_or_none, quoted, run_of
from keepstep.runs.run import IDLE, OPEN, STOPPED, Run
from keepstep.state.database import Database, Query

KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of a job even after its runs have been pruned."""

    first_seen: datetime
    due: datetime | None
    """The last time of its schedule that a daemon claimed."""
    last_success: datetime | None
    last_new: datetime | None
    """When a run last transferred an object."""


class History:
    """Reads runs and records the steps of their life. Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # the steps of lifecycle

    def begin(self, run: Run) -> None:
        """Records a run that was started by hand."""
        self.database.write(lambda query: lifecycle.begin(query, run))

    def start(self, run: Run) -> bool:
        """Records that the process of a queued run has started. False: the run is no longer expected."""
        return self.database.write(lambda query: lifecycle.start(query, run))

    def beat(self, run: str, *, at: datetime, progress: Mapping[str, Any] | None = None) -> bool:
        """Records a sign of life and the progress of a run. False: the run is no longer expected."""
        return self.database.write(lambda query: lifecycle.beat(query, run, at, progress))

    def keep(self, runs: Iterable[str], *, at: datetime) -> None:
        """Records that the daemon of these runs is alive, although they may not have started yet."""

        def work(query: Query) -> None:
            for run in runs:
                lifecycle.keep(query, run, at)

        self.database.write(work)

    def end(self, run: Run, lines: Iterable[Line] = ()) -> bool:
        """Records the outcome of a run, once. False: it already has an outcome, which stays."""
        kept = list(lines)
        return self.database.write(lambda query: lifecycle.end(query, run, kept))

    def lose(self, run: Run, *, at: datetime) -> bool:
        """Gives up a run that is unchanged since the caller read it. False: it lives, or has ended."""
        return self.database.write(lambda query: lifecycle.lose(query, run, at))

    # runs

    def get(self, run: str) -> Run | None:
        return next(iter(self._runs("WHERE id = ?", run)), None)

    def recent(self, job: str, limit: int = 30) -> list[Run]:
        """The latest runs, newest first."""
        return self._runs("WHERE job = ? ORDER BY queued DESC, id DESC LIMIT ?", job, limit)

    def last_ended(self, job: str, now: datetime | None = None) -> Run | None:
        """The latest run that really ran. Runs that a wrong clock put after ``now`` come last."""
        return self._last(job, (*OPEN, *IDLE), now)

    def last_told(self, job: str, now: datetime | None = None) -> Run | None:
        """The latest run whose outcome says something about the job; stopped and lost runs do not count."""
        return self._last(job, (*OPEN, *IDLE, *STOPPED), now)

    def _last(self, job: str, without: Iterable[str], now: datetime | None) -> Run | None:
        where = f"WHERE job = ? AND outcome NOT IN ({quoted(without)})"
        limit = now.timestamp() + FUTURE if now else 1e18
        order = "ORDER BY CASE WHEN finished > ? THEN 1 ELSE 0 END, finished DESC LIMIT 1"
        return next(iter(self._runs(f"{where} {order}", job, limit)), None)

    def open(self) -> list[Run]:
        """Runs that are queued or in progress, as far as the state knows."""
        return self._runs(f"WHERE outcome IN ({quoted(OPEN)}) ORDER BY queued")

    def lines(self, run: str, kind: str | None = None) -> list[Line]:
        statement, values = "SELECT kind, body FROM line WHERE run = ?", [run]
        if kind:
            statement, values = statement + " AND kind = ?", [run, kind]
        rows = self.database.read(lambda query: query(statement + " ORDER BY number", *values))
        return [Line(found, json.loads(body)) for found, body in rows]

    def _runs(self, where: str, *values: object) -> list[Run]:
        rows = self.database.read(lambda query: query(f"SELECT {COLUMNS} FROM run {where}", *values))  # noqa: S608
        return [run_of(row) for row in rows]

    # jobs

    def facts(self, job: str) -> JobFacts | None:
        statement = "SELECT first_seen, due, last_success, last_new FROM job WHERE name = ?"
        rows = self.database.read(lambda query: query(statement, job))
        return next((JobFacts(moment(row[0]), *map(moment_or_none, row[1:])) for row in rows), None)

    def dues(self) -> dict[str, datetime]:
        """The last claimed time of each job that has one."""
        rows = self.database.read(lambda query: query("SELECT name, due FROM job WHERE due IS NOT NULL"))
        return {name: moment(due) for name, due in rows}

    def jobs(self) -> list[str]:
        """The names of all jobs that ever ran."""
        rows = self.database.read(lambda query: query("SELECT name FROM job ORDER BY name"))
        return [name for (name,) in rows]

    def totals(self) -> dict[tuple[str, str, str], float]:
        """Sums over all runs ever, by job, name and label."""
        rows = self.database.read(lambda query: query("SELECT job, name, label, value FROM total"))
        return {(job, name, label): value for job, name, label, value in rows}

    def prune(self, now: datetime, keep: timedelta = KEPT) -> int:
        """Deletes runs that ended longer ago than ``keep``. Returns their number."""
        limit = (now - keep).timestamp()

        def work(query: Query) -> int:
            gone = "SELECT id FROM run WHERE finished < ?"
            query(f"DELETE FROM line WHERE run IN ({gone})", limit)  # noqa: S608
            return len(query("DELETE FROM run WHERE finished < ? RETURNING id", limit))

        return self.database.write(work)
