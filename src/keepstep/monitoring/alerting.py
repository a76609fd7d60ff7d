"""Keeps alerts in the state, so that each is raised, repeated and ended once even if several daemons share it.

Messages wait in the state until their channel has accepted them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from keepstep.monitoring.alerts import Alert, Condition, Message, decide
from keepstep.monitoring.conditions import AUDIT, Watch, conditions
from keepstep.runs.history import History
from keepstep.runs.rows import moment, moment_or_none
from keepstep.runs.run import Run
from keepstep.state.database import Database, Query

Send = Callable[[Message], str]
"""Sends a message; returns what went wrong, or an empty string."""

_SENDING = timedelta(minutes=10)
"""How long a message that one process is sending is reserved for that process."""
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_PATIENCE = timedelta(days=7)
_CONFIRMED = timedelta(minutes=10)
"""For this long after any daemon last confirmed a condition, another daemon does not end it."""
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A message that a channel did not accept."""

    channel: str
    title: str
    attempts: int
    error: str


class Alerting:
    """Checks jobs and sends messages. Safe to repeat, and safe for any number of processes."""

    def __init__(self, database: Database, channels: Mapping[str, Send], repeat: timedelta) -> None:
        self._database = database
        self._history = History(database)
        self._channels = channels
        self._repeat = repeat

    def look(self, watches: Iterable[Watch], now: datetime) -> list[Message]:
        """Raises, repeats and ends alerts. Returns the new messages, which wait in the state to be sent."""
        told = []
        known = self.active()
        for watch in watches:
            last = self._history.last_told(watch.job, now)
            found = {condition.name: condition for condition in conditions(watch, last, self._history, now)}
            before = {name: alert for (job, name), alert in known.items() if job == watch.job}
            for name in sorted(before.keys() | found.keys()):
                if name in found or _is_over(watch, name, before[name], last, now):
                    told.append(self._settle(watch.job, name, found.get(name), now))
            self._confirm(watch.job, [name for name in found if _is_unseen(before.get(name), now)], now)
        return [message for message in told if message]

    def active(self) -> dict[tuple[str, str], Alert]:
        """Active alerts, by job and condition."""
        rows = self._database.read(
            lambda query: query("SELECT job, condition, since, told, times, text FROM alert")
        )
        seen = self._database.read(_seen)
        return {
            (job, name): Alert(
                since=moment(since), told=moment(told), times=times, text=text, seen=seen.get((job, name))
            )
            for job, name, since, told, times, text in rows
        }

    def forget(self, jobs: Iterable[str], now: datetime) -> None:
        """Ends alerts of jobs that are no longer watched, without a message.

        A job that is missing from this configuration may be in that of another daemon that shares the state.
        """
        kept = set(jobs)
        for (job, _), alert in self.active().items():
            if job not in kept and not -_FORGOTTEN < now - (alert.seen or alert.told) < _FORGOTTEN:
                self._database.write(partial(_forget, job))

    def send(self, now: datetime) -> list[Trouble]:
        """Sends waiting messages, and retries for a week, less and less often, those that are not accepted."""
        troubles = []
        at, latest = now.timestamp(), (now + _LONGEST_PAUSE + _SENDING).timestamp()
        statement = "SELECT id, channel, title, body, is_bad, attempts, next, created FROM message"
        where = (
            "WHERE next <= ? OR next > ? ORDER BY created"  # later than the longest pause: written by a wrong clock
        )
        rows = self._database.read(lambda query: query(f"{statement} {where}", at, latest))
        for key, channel, title, body, is_bad, attempts, due, created in rows:
            if now - moment(created) > _PATIENCE:
                self._drop(key)
            elif channel not in self._channels:
                continue  # a channel of another daemon that shares the state
            elif self._reserve(key, due, now):
                error = self._channels[channel](Message(title=title, body=body, is_bad=bool(is_bad)))
                if error:
                    self._postpone(key, attempts + 1, error, now)
                    troubles.append(Trouble(channel, title, attempts + 1, error))
                else:
                    self._drop(key)
        return troubles

    def waiting(self) -> list[Trouble]:
        """Messages that a channel of this configuration has not accepted yet."""
        statement = "SELECT channel, title, attempts, error FROM message WHERE attempts > 0 ORDER BY created"
        rows = self._database.read(lambda query: query(statement))
        return [Trouble(*row) for row in rows if row[0] in self._channels]

    def _settle(self, job: str, name: str, condition: Condition | None, now: datetime) -> Message | None:
        def work(query: Query) -> Message | None:
            statement = "SELECT since, told, times, text FROM alert WHERE job = ? AND condition = ?"
            rows = query(statement, job, name)
            before = next(
                (Alert(since=moment(s), told=moment(told), times=n, text=text) for s, told, n, text in rows), None
            )
            message, after = decide(condition, before, now, self._repeat, job, name)
            if message is None or not _changed(query, job, name, before, after):
                return None
            for channel in self._channels:
                _enqueue(query, channel, message, now)
            return message

        return self._database.write(work)

    def _confirm(self, job: str, names: Iterable[str], now: datetime) -> None:
        """Records that these conditions still hold for this daemon."""
        for name in names:
            statement = "UPDATE alert SET seen = ? WHERE job = ? AND condition = ?"
            self._database.write(_ask(statement, now.timestamp(), job, name))

    def _reserve(self, key: str, due: float, now: datetime) -> bool:
        until = (now + _SENDING).timestamp()
        statement = "UPDATE message SET next = ? WHERE id = ? AND next = ? RETURNING id"
        return bool(self._database.write(lambda query: query(statement, until, key, due)))

    def _drop(self, key: str) -> None:
        self._database.write(lambda query: query("DELETE FROM message WHERE id = ?", key))

    def _postpone(self, key: str, attempts: int, error: str, now: datetime) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(attempts - 1, 10), _LONGEST_PAUSE)
        statement = "UPDATE message SET attempts = ?, error = ?, next = ? WHERE id = ?"
        values = (attempts, error, (now + pause).timestamp(), key)
        self._database.write(lambda query: query(statement, *values))


def _is_anothers(alert: Alert, last: Run | None, now: datetime) -> bool:
    """Whether another daemon, whose limits may differ, confirmed the condition a moment ago.

    A condition that ended with a later run is over for every daemon.
    """
    if alert.seen is None or abs(now - alert.seen) >= _CONFIRMED:
        return False
    return last is None or last.finished is None or last.finished <= alert.seen


def _is_over(watch: Watch, name: str, alert: Alert, last: Run | None, now: datetime) -> bool:
    """Whether a condition that does not hold for this daemon holds for no other either.

    Runs say nothing about an audit log: it must have been verified since, and no daemon may still find it broken.
    """
    if name == AUDIT and watch.has_audit:
        is_known = watch.audited is not None and watch.audited.at > alert.since
        return is_known and (alert.seen is None or abs(now - alert.seen) >= _CONFIRMED)
    return not _is_anothers(alert, last, now)


def _is_unseen(alert: Alert | None, now: datetime) -> bool:
    return alert is None or alert.seen is None or abs(now - alert.seen) >= _CONFIRMED / 10


def _seen(query: Query) -> dict[tuple[str, str], datetime | None]:
    """When each condition was last confirmed; empty for a state of an earlier version."""
    if query("SELECT 1 FROM keepstep_schema WHERE version < 2"):
        return {}
    rows = query("SELECT job, condition, seen FROM alert")
    return {(job, name): moment_or_none(seen) for job, name, seen in rows}


def _ask(statement: str, *values: object) -> Callable[[Query], object]:
    return lambda query: query(statement, *values)


def _forget(job: str, query: Query) -> None:
    query("DELETE FROM alert WHERE job = ?", job)


def _changed(query: Query, job: str, name: str, before: Alert | None, after: Alert | None) -> bool:
    """Records the alert and returns True, or returns False if another process was faster and sends the message."""
    if after is None:
        return bool(query("DELETE FROM alert WHERE job = ? AND condition = ? RETURNING job", job, name))
    values = (after.since.timestamp(), after.told.timestamp(), after.times, after.text)
    if before is None:
        statement = (
            "INSERT INTO alert (job, condition, since, told, times, text) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING job"
        )
        return bool(query(statement, job, name, *values))
    statement = (
        "UPDATE alert SET since = ?, told = ?, times = ?, text = ?"
        " WHERE job = ? AND condition = ? AND times = ? RETURNING job"
    )
    return bool(query(statement, *values, job, name, before.times))


def _enqueue(query: Query, channel: str, message: Message, now: datetime) -> None:
    at = now.timestamp()
    query(
        "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, 0, ?, NULL)",
        secrets.token_hex(16),
        channel,
        message.title,
        message.body,
        int(message.is_bad),
        at,
        at,
    )
