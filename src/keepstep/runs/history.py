"""What ran, when, and how it went: rows of the state, kept for 90 days."""

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
    """What is known of a job also when its runs have been pruned."""

    first_seen: datetime
    due: datetime | None
    """The last time of its schedule that somebody took on."""
    last_success: datetime | None
    last_new: datetime | None
    """When a run last brought an object."""


class History:
    """Reads runs, and takes the steps of their lives. Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # the steps of lifecycle

    def begin(self, run: Run) -> None:
        """Makes a run by hand, which is under way."""
        self.database.write(lambda query: lifecycle.begin(query, run))

    def start(self, run: Run) -> bool:
        """The process of a queued run is there. False: the run is no longer expected."""
        return self.database.write(lambda query: lifecycle.start(query, run))

    def beat(self, run: str, *, at: datetime, progress: Mapping[str, Any] | None = None) -> bool:
        """The run's process lives, and is so far. False: the run is no longer expected."""
        return self.database.write(lambda query: lifecycle.beat(query, run, at, progress))

    def keep(self, runs: Iterable[str], *, at: datetime) -> None:
        """The daemon that looks after these runs lives, though they may not have started yet."""

        def work(query: Query) -> None:
            for run in runs:
                lifecycle.keep(query, run, at)

        self.database.write(work)

    def end(self, run: Run, lines: Iterable[Line] = ()) -> bool:
        """Writes down how a run went, once. False: it has an outcome already, which stays."""
        kept = list(lines)
        return self.database.write(lambda query: lifecycle.end(query, run, kept))

    def lose(self, run: Run, *, at: datetime) -> bool:
        """Gives a run up that is as the caller saw it. False: it has given a sign of life since, or has ended."""
        return self.database.write(lambda query: lifecycle.lose(query, run, at))

    # runs

    def get(self, run: str) -> Run | None:
        return next(iter(self._runs("WHERE id = ?", run)), None)

    def recent(self, job: str, limit: int = 30) -> list[Run]:
        """The latest first."""
        return self._runs("WHERE job = ? ORDER BY queued DESC, id DESC LIMIT ?", job, limit)

    def last_ended(self, job: str, now: datetime | None = None) -> Run | None:
        """The latest that really ran. Those that a wrong clock put after ``now`` come last."""
        return self._last(job, (*OPEN, *IDLE), now)

    def last_told(self, job: str, now: datetime | None = None) -> Run | None:
        """The latest whose outcome tells something of the job: that a run was stopped, or lost, does not."""
        return self._last(job, (*OPEN, *IDLE, *STOPPED), now)

    def _last(self, job: str, without: Iterable[str], now: datetime | None) -> Run | None:
        where = f"WHERE job = ? AND outcome NOT IN ({quoted(without)})"
        limit = now.timestamp() + FUTURE if now else 1e18
        order = "ORDER BY CASE WHEN finished > ? THEN 1 ELSE 0 END, finished DESC LIMIT 1"
        return next(iter(self._runs(f"{where} {order}", job, limit)), None)

    def open(self) -> list[Run]:
        """Queued or under way, as far as the state knows."""
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
        """The last time of its schedule that somebody took on, of each job that has one."""
        rows = self.database.read(lambda query: query("SELECT name, due FROM job WHERE due IS NOT NULL"))
        return {name: moment(due) for name, due in rows}

    def jobs(self) -> list[str]:
        """Every job that ever ran."""
        rows = self.database.read(lambda query: query("SELECT name FROM job ORDER BY name"))
        return [name for (name,) in rows]

    def totals(self) -> dict[tuple[str, str, str], float]:
        """Sums over every run there ever was, by job, name and label."""
        rows = self.database.read(lambda query: query("SELECT job, name, label, value FROM total"))
        return {(job, name, label): value for job, name, label, value in rows}

    def prune(self, now: datetime, keep: timedelta = KEPT) -> int:
        """Forgets runs that ended longer ago than ``keep``. Returns how many."""
        limit = (now - keep).timestamp()

        def work(query: Query) -> int:
            gone = "SELECT id FROM run WHERE finished < ?"
            query(f"DELETE FROM line WHERE run IN ({gone})", limit)  # noqa: S608
            return len(query("DELETE FROM run WHERE finished < ? RETURNING id", limit))

        return self.database.write(work)
