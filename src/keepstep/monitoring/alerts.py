"""Decides when to send an alert and what it says. Sends nothing and reads no clock.

A new condition is reported at once. While it lasts it is reported again after ``repeat``, then after twice as long,
and so on up to once a week. Its end is reported too. Nothing is reported twice.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from keepstep.text import shown
from keepstep.units import in_words

_LONGEST = timedelta(days=7)
"""The longest time between reminders."""
_SLACK = timedelta(hours=1)
"""Another process may be this far ahead, because the state may respond slowly."""
_LINE = 1000
"""Maximum characters of one line of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something about a job that needs attention."""

    job: str
    name: str
    """``failed``, ``no-success``, ``stale``, or the name of a concern of the job's last run."""
    what: str
    since: datetime
    means: str
    todo: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that has been reported."""

    since: datetime
    told: datetime
    times: int
    text: str
    """The problem, in one line."""
    seen: datetime | None = None
    """When a daemon last confirmed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message for every channel."""

    title: str
    body: str
    is_bad: bool


def decide(
    condition: Condition | None, alert: Alert | None, now: datetime, repeat: timedelta, job: str, name: str
) -> tuple[Message | None, Alert | None]:
    """The message to send and the alert to remember; ``alert`` is the one remembered before.

    ======== ======= ==================== ===========================
    holds    alert   message              remembered
    ======== ======= ==================== ===========================
    yes      none    it began             reported once, now
    yes      young   nothing              the same
    yes      old     it continues         reported once more, now
    no       none    nothing              nothing
    no       any     it is over           nothing
    ======== ======= ==================== ===========================
    """
    if condition is None:
        return (_recovery(alert, now, job, name), None) if alert else (None, None)
    if alert is None:
        alert = Alert(since=condition.since, told=now, times=1, text=shown(condition.what, _LINE))
        return _message(condition, alert, now), alert
    is_from_the_future = alert.told - now > _SLACK  # written by a wrong clock
    if now < next_time(alert, repeat) and not is_from_the_future:
        return None, alert
    alert = replace(alert, told=now, times=alert.times + 1, text=shown(condition.what, _LINE))
    return _message(condition, alert, now), alert


def next_time(alert: Alert, repeat: timedelta) -> datetime:
    """When a lasting condition is reported again."""
    doubled: timedelta = repeat * 2 ** min(alert.times - 1, 20)
    return alert.told + min(doubled, _LONGEST)


def _message(condition: Condition, alert: Alert, now: datetime) -> Message:
    still = f" (reminder {alert.times - 1})" if alert.times > 1 else ""
    lines = [
        condition.what,
        "",
        f"Since: {_when(alert.since)} ({in_words(now - alert.since)} ago)",
        f"Impact: {condition.means}",
        f"What to do: {condition.todo}",
        f"Command: {condition.command}",
    ]
    lines = [shown(line, _LINE) for line in lines]
    return Message(
        title=f"{shown(condition.job)}: {TITLES.get(condition.name, condition.name)}{still}",
        body="\n".join(lines),
        is_bad=True,
    )


def _recovery(alert: Alert, now: datetime, job: str, name: str) -> Message:
    lines = [
        f"Resolved: {alert.text}",
        "",
        f"Since: {_when(alert.since)} (lasted {in_words(now - alert.since)})",
        "What to do: nothing",
        f"Command: keepstep status {shlex.quote(job)}",
    ]
    title = f"{shown(job)}: {RECOVERED} ({TITLES.get(name, name)})"
    return Message(title=title, body="\n".join(shown(line, _LINE) for line in lines), is_bad=False)


RECOVERED = "recovered"

TITLES = {
    "failed": "failed",
    "no-success": "no success for too long",
    "stale": "no new data for too long",
    "pending": "a rotation is stuck",
    "oracle-window": "the old password is about to expire",
    "oci-quota": "the OCI version quota is almost used up",
    "audit": "the audit log is broken",
}


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%F %T} UTC"
