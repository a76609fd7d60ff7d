"""When to call for help, and what to say. Decides only; it sends nothing and asks no clock.

A condition that begins is told at once; while it stays it is told again after ``repeat``, then after twice as long,
and so on up to once a week; when it ends, that is told too. Nothing is told twice.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from keepstep.text import shown
from keepstep.units import in_words

_LONGEST = timedelta(days=7)
"""Between reminders."""
_SLACK = timedelta(hours=1)
"""Another process that looks at the same time may be this far ahead, as answers of the state may take long."""
_LINE = 1000
"""Characters of one line of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that somebody should do something about."""

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
    """A condition that has been told of."""

    since: datetime
    told: datetime
    times: int
    text: str
    """What was the matter, in one line."""
    seen: datetime | None = None
    """When somebody last found it to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to be sent to every channel."""

    title: str
    body: str
    is_bad: bool


def decide(
    condition: Condition | None, alert: Alert | None, now: datetime, repeat: timedelta, job: str, name: str
) -> tuple[Message | None, Alert | None]:
    """What is to be told, and what is to be remembered; ``alert`` is what was remembered before.

    ======== ======= ==================== ===========================
    holds    alert   told                 remembered
    ======== ======= ==================== ===========================
    yes      none    that it began        told once, now
    yes      young   nothing              the same
    yes      old     that it goes on      told once more, now
    no       none    nothing              nothing
    no       any     that it is over      nothing
    ======== ======= ==================== ===========================
    """
    if condition is None:
        return (_recovery(alert, now, job, name), None) if alert else (None, None)
    if alert is None:
        alert = Alert(since=condition.since, told=now, times=1, text=shown(condition.what, _LINE))
        return _message(condition, alert, now), alert
    is_from_the_future = alert.told - now > _SLACK  # told by a wrong clock
    if now < next_time(alert, repeat) and not is_from_the_future:
        return None, alert
    alert = replace(alert, told=now, times=alert.times + 1, text=shown(condition.what, _LINE))
    return _message(condition, alert, now), alert


def next_time(alert: Alert, repeat: timedelta) -> datetime:
    """When a condition that stays is told again."""
    doubled: timedelta = repeat * 2 ** min(alert.times - 1, 20)
    return alert.told + min(doubled, _LONGEST)


def _message(condition: Condition, alert: Alert, now: datetime) -> Message:
    still = f" (reminder {alert.times - 1})" if alert.times > 1 else ""
    lines = [
        condition.what,
        "",
        f"Since: {_when(alert.since)} ({in_words(now - alert.since)})",
        f"It means: {condition.means}",
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
        f"It is over: {alert.text}",
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
    "no-success": "without success for too long",
    "stale": "nothing new for too long",
    "pending": "a rotation is stuck",
    "oracle-window": "the old password's time is running out",
    "oci-quota": "OCI's version quota is running out",
    "audit": "the audit log is broken",
}


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%F %T} UTC"
