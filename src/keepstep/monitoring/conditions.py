"""What is the matter with a job: looked up in the history."""

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
"""The condition of an audit log that is not as it was written."""
_TIMES = 3
_PATIENCE = timedelta(hours=1)
_SLACK = timedelta(hours=1)
"""A run may have ended after the moment that is called now, as answers of the state may take long."""
_COMMANDS = {"sync": "keepstep sync", "secrets": "keepstep secrets apply", "rotate": "keepstep rotate"}
_MEANS = {
    "sync": "the target has what earlier runs brought; nothing is deleted by a run that failed to list",
    "secrets": "files keep the values that they have; a secret that was changed since has not arrived everywhere",
    "rotate": "the credential in use goes on working; the rotation goes on with the next run",
}


@dataclass(frozen=True, slots=True)
class Audited:
    """What was found when an audit log was verified."""

    at: datetime
    address: str
    problem: str
    """Empty when nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is expected of a job."""

    job: str
    kind: str
    schedule: Schedule | None = None
    success_within: timedelta | None = None
    """None: until three times of the schedule have come, and an hour more."""
    stale_after: timedelta | None = None
    pending_after: timedelta = timedelta(hours=2)
    """How old a pending rotation may become."""
    has_audit: bool = False
    audited: Audited | None = None
    """None: nobody has verified the job's audit log here."""

    @property
    def command(self) -> str:
        return f"{_COMMANDS[self.kind]} {shlex.quote(self.job)}"


def conditions(watch: Watch, last: Run | None, history: History, now: datetime) -> Iterator[Condition]:
    """Everything that is the matter with a job now; ``last`` is its last run that tells something of it."""
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
        what=f"{watch.job}: the audit log {audited.address} is not as it was written: {audited.problem}",
        since=audited.at,
        means="somebody changed, deleted or inserted entries; rotations go on",
        todo="keep the log as it is, find out who could write there, and begin a new one in another folder",
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
        todo=first.get("hint") or "see what the run has to say, mend it, and run the job again",
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
            what=f"{watch.job} has not succeeded for {in_words(now - since)}; {in_words(limit)} were allowed",
            since=since,
            means="it did not run, or runs were stopped before their end: " + _MEANS[watch.kind],
            todo="see whether a daemon runs, and why the last runs did not end",
            command=f"keepstep status {shlex.quote(watch.job)}; then {watch.command}",
        )


def _past(*moments: datetime | None) -> datetime:
    """The first that is not in the future, where only a wrong clock could have put it; the last is now."""
    now = moments[-1]
    assert now
    return next(each for each in moments if each and each <= now + _SLACK)


@lru_cache(1024)
def _usual(schedule: Schedule | None, since: datetime) -> timedelta | None:
    """Until the third time of the schedule has come, and an hour more."""
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
            what=f"{watch.job} has brought nothing new for {in_words(now - since)}; {in_words(limit)} were allowed",
            since=since,
            means="the source has nothing new: whoever writes it may have stopped",
            todo="look at the newest object of the source; cost reports of OCI may be late by a day or two",
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
