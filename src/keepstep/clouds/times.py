"""Times as stores write them, in whole microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=65536)
def microseconds(text: str) -> int:
    """Of an ISO 8601 time; UTC where it names no zone. Raises ``ValueError``.

    Cached, because objects that came together share theirs.
    """
    time = datetime.fromisoformat(text)
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=4096)
def http_microseconds(text: str | None) -> int | None:
    """Of an HTTP date (RFC 9110, section 5.6.7), which knows whole seconds; None where there is none to be read."""
    try:
        time = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()) * 1_000_000
