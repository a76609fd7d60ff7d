"""One execution of a job, as it is remembered."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep.errors import ExitCode

OPEN = ("queued", "running")
"""What a run's outcome is called while it has none."""
GOOD = ("done", "changed", "skipped")
"""Outcomes that mean success; ``skipped`` with a warning."""
IDLE = ("overlapped", "locked")
"""Outcomes of runs that never began, because another one of the job was under way."""

STOPPED = ("interrupted", "terminated", "lost")
"""Outcomes that say nothing of the job: somebody stopped it, or its machine went. What was the matter still is."""

MEANINGS = {
    "queued": "about to start",
    "running": "under way",
    "overlapped": "its time came while the run before was under way",
    "crashed": "its process ended without a word",
    "overdue": "stopped at its deadline",
    "lost": "its machine or its daemon is gone",
}
"""Outcomes beside those of :class:`ExitCode`, whose names in lower case are outcomes too."""


def outcome_of(code: int) -> str:
    """The outcome that an exit code stands for; negative ones are a signal's, as Python has them."""
    code = {-2: int(ExitCode.INTERRUPTED), -15: int(ExitCode.TERMINATED)}.get(code, code)
    return next((known.name.lower() for known in ExitCode if known == code), "crashed")


def new_id(now: datetime) -> str:
    """Sorts by time, and is nobody else's."""
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
