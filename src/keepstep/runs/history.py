"""What ran, when, and how it went: rows of the state, kept for 90 days."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep.runs.database import Database, Query
from keepstep.runs.run import IDLE, OPEN, Run

KEPT = timedelta(days=90)

_COLUMNS = (
    "id, job, kind, host, cause, due, queued, started, seen, finished, outcome, exit_code, source, target, bytes,"
    " price, counts, requests, progress"
)
_ADD = (
    "INSERT INTO total VALUES (?, ?, ?, ?)"
    " ON CONFLICT (job, name, label) DO UPDATE SET value = total.value + excluded.value"
)
_TIMES = ("due", "queued", "started", "seen", "finished")
_NEW = ("upload", "download", "copy")
"""Counts of objects that arrived."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something a run has to say."""

    kind: str
    """``failure``, ``warning``, ``concern`` or ``action``."""
    body: dict[str, Any]
    """As in the run report; a warning has ``text``."""


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
    """Reads and writes runs. Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # runs

    def begin(self, run: Run) -> None:
        self.database.write(lambda query: insert(query, run))

    def start(self, run: str, *, host: str, at: datetime, source: str = "", target: str = "") -> None:
        """Its process is there."""
        columns = "host = ?, started = ?, seen = ?, source = ?, target = ?"
        statement = f"UPDATE run SET outcome = 'running', {columns} WHERE id = ?"  # noqa: S608
        values = (host, at.timestamp(), at.timestamp(), source or None, target or None, run)
        self.database.write(lambda query: query(statement, *values))

    def beat(self, run: str, *, at: datetime, progress: Mapping[str, Any] | None = None) -> None:
        """Its process lives, and is so far."""
        text = json.dumps(progress) if progress else None
        statement = "UPDATE run SET seen = ?, progress = ? WHERE id = ? AND finished IS NULL"
        self.database.write(lambda query: query(statement, at.timestamp(), text, run))

    def keep(self, runs: Iterable[str], *, at: datetime) -> None:
        """Whoever looks after these runs lives, though they may not have begun yet."""

        def work(query: Query) -> None:
            for run in runs:
                query("UPDATE run SET seen = ? WHERE id = ? AND outcome = 'queued'", at.timestamp(), run)

        self.database.write(work)

    def end(self, run: Run, lines: Iterable[Line] = ()) -> bool:
        """Writes how it went, once: a run that has ended stays as it is, and the answer is False."""

        def work(query: Query) -> bool:
            open_ = query("SELECT 1 FROM run WHERE id = ? AND finished IS NULL", run.id)
            if not open_:
                return False
            query("DELETE FROM run WHERE id = ?", run.id)
            insert(query, run)
            for number, line in enumerate(lines):
                body = json.dumps(line.body)
                query("INSERT INTO line VALUES (?, ?, ?, ?)", run.id, number, line.kind, body)
            _note(query, run)
            return True

        return self.database.write(work)

    def get(self, run: str) -> Run | None:
        return next(iter(self._runs("WHERE id = ?", run)), None)

    def recent(self, job: str, limit: int = 30) -> list[Run]:
        """The latest first."""
        return self._runs("WHERE job = ? ORDER BY queued DESC, id DESC LIMIT ?", job, limit)

    def last_ended(self, job: str) -> Run | None:
        """The latest that really ran."""
        where = f"WHERE job = ? AND outcome NOT IN ({_quoted((*OPEN, *IDLE))})"
        return next(iter(self._runs(f"{where} ORDER BY finished DESC LIMIT 1", job)), None)

    def open(self) -> list[Run]:
        """Queued or under way, as far as the state knows."""
        return self._runs(f"WHERE outcome IN ({_quoted(OPEN)}) ORDER BY queued")

    def lines(self, run: str, kind: str | None = None) -> list[Line]:
        statement, values = "SELECT kind, body FROM line WHERE run = ?", [run]
        if kind:
            statement, values = statement + " AND kind = ?", [run, kind]
        rows = self.database.read(lambda query: query(statement + " ORDER BY number", *values))
        return [Line(found, json.loads(body)) for found, body in rows]

    def _runs(self, where: str, *values: object) -> list[Run]:
        rows = self.database.read(lambda query: query(f"SELECT {_COLUMNS} FROM run {where}", *values))  # noqa: S608
        return [_run(row) for row in rows]

    # jobs

    def facts(self, job: str) -> JobFacts | None:
        statement = "SELECT first_seen, due, last_success, last_new FROM job WHERE name = ?"
        rows = self.database.read(lambda query: query(statement, job))
        return next((JobFacts(moment(row[0]), *map(_moment, row[1:])) for row in rows), None)

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


def insert(query: Query, run: Run) -> None:
    """Writes a row, and remembers the job."""
    values = {name: getattr(run, name) for name in _COLUMNS.split(", ")}
    values |= {name: values[name] and values[name].timestamp() for name in _TIMES}
    values |= {name: json.dumps(values[name]) for name in ("counts", "requests")}
    values["progress"] = json.dumps(run.progress) if run.progress else None
    marks = ", ".join("?" * len(values))
    query(f"INSERT INTO run ({_COLUMNS}) VALUES ({marks})", *values.values())  # noqa: S608
    remember(query, run.job, run.queued)


def remember(query: Query, job: str, at: datetime) -> None:
    """The job's first appearance is when staleness begins to count."""
    query("INSERT INTO job (name, first_seen) VALUES (?, ?) ON CONFLICT DO NOTHING", job, at.timestamp())


def _note(query: Query, run: Run) -> None:
    """What outlives the run."""
    at = (run.finished or run.seen).timestamp()
    if run.is_good:
        query("UPDATE job SET last_success = ? WHERE name = ? AND coalesce(last_success, 0) < ?", at, run.job, at)
    if any(run.counts.get(word) for word in _NEW):
        query("UPDATE job SET last_new = ? WHERE name = ? AND coalesce(last_new, 0) < ?", at, run.job, at)
    for name, label, value in _sums(run):
        if value:
            query(_ADD, run.job, name, label, value)


def _sums(run: Run) -> list[tuple[str, str, float]]:
    seconds = run.duration.total_seconds() if run.duration else 0.0
    return [
        ("runs", run.outcome, 1),
        ("seconds", "", seconds),
        ("bytes", "", run.bytes),
        ("price", "", run.price),
        *(("actions", word, count) for word, count in run.counts.items()),
        *(("requests", word, count) for word, count in run.requests.items()),
    ]


def _run(row: tuple[Any, ...]) -> Run:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values |= {name: _moment(values[name]) for name in _TIMES}
    values |= {name: json.loads(values[name]) for name in ("counts", "requests")}
    values["progress"] = json.loads(values["progress"]) if values["progress"] else None
    return Run(**values)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
