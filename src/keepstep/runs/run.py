"""One execution of a job, as recorded in the history."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep.errors import ExitCode

OPEN = ("queued", "running")
"""Outcomes of runs that have not ended."""
GOOD = ("done", "changed", "skipped")
"""Outcomes that mean success; ``skipped`` with a warning."""
IDLE = ("overlapped", "locked")
"""Outcomes of runs that never started, because another run of the job was in progress."""

STOPPED = ("interrupted", "terminated", "lost")
"""Outcomes that say nothing about the job: it was stopped, or its machine died. Earlier problems remain."""

MEANINGS = {
    "queued": "about to start",
    "running": "in progress",
    "overlapped": "due while the previous run was still in progress",
    "crashed": "its process exited without reporting",
    "overdue": "stopped at its deadline",
    "lost": "its machine or its daemon is gone",
}
"""Outcomes in addition to those of :class:`ExitCode`, whose names in lower case are outcomes too."""


def outcome_of(code: int) -> str:
    """The outcome for an exit code; a negative one is the number of a signal, as in Python."""
    code = {-2: int(ExitCode.INTERRUPTED), -15: int(ExitCode.TERMINATED)}.get(code, code)
    return next((known.name.lower() for known in ExitCode if known == code), "crashed")


def new_id(now: datetime) -> str:
    """Returns a unique id that sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A row of the history. Times are aware UTC."""

    id: str
    job: str
    kind: str
    host: str
    cause: str
    """``schedule``, ``startup``, ``missed``, ``resumed`` (after a lost run) or ``hand``."""
    queued: datetime
    seen: datetime
    """When its process last gave a sign of life."""
    outcome: str
    due: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    source: str | None = None
    target: str | None = None
    bytes: int = 0
    """Bytes that reached the target."""
    price: float = 0.0
    """US dollars, estimated from list prices; requests only."""
    counts: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        return self.outcome in OPEN

    @property
    def is_good(self) -> bool:
        return self.outcome in GOOD

    @property
    def duration(self) -> timedelta | None:
        return self.finished - self.started if self.finished and self.started else None
