"""Times as Object Storage writes them: RFC 3339 with milliseconds in JSON, RFC 9110 dates in headers."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache


def stamp(moment: datetime) -> str:
    """``2026-11-22T06:47:19.123Z``; ordered as text like the times themselves."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    return stamp(datetime.now(UTC))


@lru_cache(maxsize=4096)
def http_date(stamped: str) -> str:
    """``Sun, 22 Nov 2026 06:47:19 GMT``: the fraction is lost."""
    return format_datetime(datetime.fromisoformat(stamped), usegmt=True)
