"""The life of a run: a state machine with one guarded statement per step. Nothing else changes an outcome.

========  =================  =============================================  ===========  ======================
step      from               guard                                          to           who
========  =================  =============================================  ===========  ======================
queue     nothing            no run of the job is open                      queued       scheduler
overlap   nothing            a run of the job is open                       overlapped   scheduler
begin     nothing            the caller holds the job's lock                running      a run by hand
start     queued             the caller holds the job's lock                running      the run's own process
keep      queued                                                            queued       the run's daemon
beat      running                                                           running      the run's own process
end       queued, running                                                   an outcome   own process, or daemon
lose      queued, running    ``seen`` is what the caller saw: there was no  lost         reaper, or the next run
                             sign of life since; and the caller found the
                             job's lock free, or holds it
========  =================  =============================================  ===========  ======================

An outcome is final: no step leads away from one. Each step returns whether it was taken. A process whose step was
not taken is no longer expected: another daemon has given up the run, and may have started the job again. The
process ends without doing anything more. So a daemon or a process that was frozen for an hour does no harm when it
continues.

``seen`` is compared only with earlier values of itself. The silence of a run is counted in checks
(:class:`keepstep.runs.liveness.Reaper`), so clocks that are wrong, jump or differ do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keepstep.runs.rows import COLUMNS, quoted, values_of
from keepstep.runs.run import OPEN, Run
from keepstep.state.database import Query

_ADD = (
    "INSERT INTO total VALUES (?, ?, ?, ?)"
    " ON CONFLICT (job, name, label) DO UPDATE SET value = total.value + excluded.value"
)
_NEW = ("upload", "download", "copy")
"""Counts of objects that arrived."""
_IS_OPEN = f"outcome IN ({quoted(OPEN)})"


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a run."""

    kind: str
    """``failure``, ``warning``, ``concern`` or ``action``."""
    body: dict[str, Any]
    """As in the run report; a warning has ``text``."""


def queue(query: Query, run: Run, daemon: str) -> bool:
    """Queues the run, or records that its time overlapped with the previous run. Locks the row of the job."""
    query("UPDATE job SET name = name WHERE name = ?", run.job)
    if query(f"SELECT 1 FROM run WHERE job = ? AND {_IS_OPEN}", run.job):  # noqa: S608
        if run.due is not None:
            _insert(query, replace(run, outcome="overlapped", finished=run.queued))
        return False
    _insert(query, run)
    query("UPDATE run SET daemon = ? WHERE id = ?", daemon, run.id)
    return True


def begin(query: Query, run: Run) -> None:
    _insert(query, run)


def start(query: Query, run: Run) -> bool:
    assert run.started
    at, where = run.started.timestamp(), "id = ? AND outcome = 'queued'"
    statement = f"UPDATE run SET outcome = 'running', host = ?, started = ?, seen = ? WHERE {where} RETURNING id"  # noqa: S608
    return bool(query(statement, run.host, at, at, run.id))


def keep(query: Query, run: str, at: datetime) -> bool:
    statement = "UPDATE run SET seen = ? WHERE id = ? AND outcome = 'queued' RETURNING id"
    return bool(query(statement, at.timestamp(), run))


def beat(query: Query, run: str, at: datetime, progress: Mapping[str, Any] | None) -> bool:
    statement = "UPDATE run SET seen = ?, progress = ? WHERE id = ? AND outcome = 'running' RETURNING id"
    return bool(query(statement, at.timestamp(), json.dumps(progress) if progress else None, run))


def end(query: Query, run: Run, lines: Iterable[Line] = ()) -> bool:
    """Records the end of a run; ``run`` has its outcome and everything else to remember."""
    return _end(query, run, _IS_OPEN, (), lines)


def lose(query: Query, run: Run, at: datetime) -> bool:
    """Records a run as lost; ``run`` is as the caller read it."""
    lost = replace(run, outcome="lost", finished=at, progress=None)
    return _end(query, lost, f"{_IS_OPEN} AND seen = ?", (run.seen.timestamp(),), ())


def remember(query: Query, job: str, at: datetime) -> None:
    """Records when the job was first seen; staleness counts from then on."""
    query("INSERT INTO job (name, first_seen) VALUES (?, ?) ON CONFLICT DO NOTHING", job, at.timestamp())


def _end(query: Query, run: Run, guard: str, known: tuple[object, ...], lines: Iterable[Line]) -> bool:
    values = values_of(run)
    columns = ", ".join(f"{name} = ?" for name in values)
    statement = f"UPDATE run SET {columns} WHERE id = ? AND {guard} RETURNING id"  # noqa: S608
    if not query(statement, *values.values(), run.id, *known):
        return False
    for number, line in enumerate(lines):
        query("INSERT INTO line VALUES (?, ?, ?, ?)", run.id, number, line.kind, json.dumps(line.body))
    _note(query, run)
    return True


def _insert(query: Query, run: Run) -> None:
    values = values_of(run)
    marks = ", ".join("?" * len(values))
    query(f"INSERT INTO run ({COLUMNS}) VALUES ({marks})", *values.values())  # noqa: S608
    remember(query, run.job, run.queued)


def _note(query: Query, run: Run) -> None:
    """Updates what outlives the run: the facts and totals of its job."""
    at = (run.finished or run.seen).timestamp()
    if run.is_good:
        _advance(query, "last_success", run.job, at)
    if any(run.counts.get(word) for word in _NEW):
        _advance(query, "last_new", run.job, at)
    for name, label, value in _sums(run):
        if value:
            query(_ADD, run.job, name, label, value)


def _advance(query: Query, column: str, job: str, at: float) -> None:
    """Stores a moment if it is later than the stored one, or if a wrong clock put that into the future."""
    known = f"coalesce({column}, 0)"
    query(
        f"UPDATE job SET {column} = ? WHERE name = ? AND ({known} < ? OR {known} > ?)",  # noqa: S608
        at,
        job,
        at,
        at + FUTURE,
    )


FUTURE = 3600.0
"""Seconds: a past moment that is later than now by more than this was written by a wrong clock."""


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
