"""Finds the conditions of a job that need attention, from its history."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from keepstep.monitoring.alerts import Condition
from keepstep.runs.history import History, JobFacts
from keepstep.runs.run import MEANINGS, Run
from keepstep.schedules.schedule import Schedule
from keepstep.units import in_words

AUDIT = "audit"
"""The condition of an audit log that has been altered."""
_TIMES = 3
_PATIENCE = timedelta(hours=1)
_SLACK = timedelta(hours=1)
"""A run may have finished this long after ``now``, because the state may respond slowly."""
_COMMANDS = {"sync": "keepstep sync", "secrets": "keepstep secrets apply", "rotate": "keepstep rotate"}
_MEANS = {
    "sync": "the target keeps what earlier runs transferred; a run whose listing fails deletes nothing",
    "secrets": "files keep their current values; later changes may not be everywhere yet",
    "rotate": "the credential in use keeps working; the next run continues the rotation",
}


@dataclass(frozen=True, slots=True)
class Audited:
    """The result of verifying an audit log."""

    at: datetime
    address: str
    problem: str
    """Empty when nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The limits that a job must keep."""

    job: str
    kind: str
    schedule: Schedule | None = None
    success_within: timedelta | None = None
    """None: three times of the schedule, plus an hour."""
    stale_after: timedelta | None = None
    pending_after: timedelta = timedelta(hours=2)
    """Maximum age of a pending rotation."""
    has_audit: bool = False
    audited: Audited | None = None
    """None: this daemon has not verified the job's audit log."""

    @property
    def command(self) -> str:
        return f"{_COMMANDS[self.kind]} {shlex.quote(self.job)}"


def conditions(watch: Watch, last: Run | None, history: History, now: datetime) -> Iterator[Condition]:
    """Every condition that a job has now; ``last`` is its last run with a meaningful outcome."""
    facts = history.facts(watch.job)
    is_failing = last is not None and not last.is_good
    if last and is_failing:
        yield _failed(watch, last, history)
    if facts and not is_failing:
        yield from _unsuccessful(watch, facts, now)
    if facts and watch.stale_after:
        yield from _stale(watch, facts, watch.stale_after, now)
    if last:
        yield from _concerns(watch, last, history, now)
    if watch.audited and watch.audited.problem:
        yield _damaged(watch, watch.audited)


def _damaged(watch: Watch, audited: Audited) -> Condition:
    return Condition(
        job=watch.job,
        name=AUDIT,
        what=f"{watch.job}: the audit log {audited.address} has been altered: {audited.problem}",
        since=audited.at,
        means="entries were changed, deleted or inserted; rotations continue",
        todo="keep the log unchanged, find out who can write to it, and start a new one in another folder",
        command=f"keepstep audit verify {shlex.quote(audited.address)}",
    )


def _failed(watch: Watch, run: Run, history: History) -> Condition:
    lines = [line.body for line in history.lines(run.id, "failure")]
    first = lines[0] if lines else {}
    why = first.get("error") or MEANINGS.get(run.outcome, run.outcome)
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return Condition(
        job=watch.job,
        name="failed",
        what=f"{watch.job} {_VERBS.get(run.outcome, 'failed')} on {run.host}: {why}{more}",
        since=run.finished or run.seen,
        means=_MEANS[watch.kind],
        todo=first.get("hint") or "read the messages of the run, fix the cause, and run the job again",
        command=f"keepstep status {shlex.quote(watch.job)}; then {watch.command}",
    )


_VERBS = {"refused": "was refused", "crashed": "crashed", "overdue": "was stopped at its deadline"}


def _unsuccessful(watch: Watch, facts: JobFacts, now: datetime) -> Iterator[Condition]:
    since = _past(facts.last_success, facts.first_seen, now)
    limit = watch.success_within or _usual(watch.schedule, since)
    if limit is not None and now - since > limit:
        yield Condition(
            job=watch.job,
            name="no-success",
            what=f"{watch.job} has not succeeded for {in_words(now - since)}; the limit is {in_words(limit)}",
            since=since,
            means="it did not run, or its runs were stopped before they finished: " + _MEANS[watch.kind],
            todo="check that a daemon is running, and why the last runs did not finish",
            command=f"keepstep status {shlex.quote(watch.job)}; then {watch.command}",
        )


def _past(*moments: datetime | None) -> datetime:
    """The first moment that is not in the future, where only a wrong clock could have put it; otherwise now."""
    now = moments[-1]
    assert now
    return next(each for each in moments if each and each <= now + _SLACK)


@lru_cache(1024)
def _usual(schedule: Schedule | None, since: datetime) -> timedelta | None:
    """The time until the third run is due, plus an hour."""
    moment: datetime | None = since
    for _ in range(_TIMES):
        moment = schedule.after(moment) if schedule and moment else None
    return moment - since + _PATIENCE if moment else None


def _stale(watch: Watch, facts: JobFacts, limit: timedelta, now: datetime) -> Iterator[Condition]:
    since = _past(facts.last_new, facts.first_seen, now)
    if now - since > limit:
        yield Condition(
            job=watch.job,
            name="stale",
            what=f"{watch.job} has had nothing new for {in_words(now - since)}; the limit is {in_words(limit)}",
            since=since,
            means="the source has no new objects: whatever writes them may have stopped",
            todo="check the newest object in the source; OCI cost reports may be a day or two late",
            command=f"{watch.command} --dryrun --explain",
        )


def _concerns(watch: Watch, run: Run, history: History, now: datetime) -> Iterator[Condition]:
    for line in history.lines(run.id, "concern"):
        body = line.body
        since = datetime.fromisoformat(body["since"])
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        if body["name"] == "pending" and now - since <= watch.pending_after:
            continue
        yield Condition(
            job=watch.job,
            name=body["name"],
            what=f"{watch.job}: {body['text']}",
            since=since,
            means=body["means"],
            todo=body["hint"],
            command=body["command"] or f"keepstep status {shlex.quote(watch.job)}",
        )
