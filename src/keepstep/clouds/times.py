"""Times as stores write them, in whole microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SKEW = timedelta(days=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ISO = re.compile(r"(\d{4,9})(-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_FIXED = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@lru_cache(maxsize=65536)
def microseconds(text: str) -> int:
    """Of an ISO 8601 time; UTC where it names no zone. Raises ``ValueError``.

    Years beyond the calendar are its last or first moment, a leap second is the one before it. Cached, because
    objects that came together share theirs.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = _beyond_the_calendar(text)
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _beyond_the_calendar(text: str) -> datetime:
    """Raises ``ValueError`` when the text is no time at all."""
    found = _ISO.fullmatch(text)
    if not found:
        raise ValueError(f"not a time: {text[:40]!r}")
    year, rest, second, zone = int(found[1]), found[2], found[3], found[4] or ""
    if second == "60":
        return datetime.fromisoformat(f"{year:04}{rest}59{zone}")
    if _FIRST.year <= year <= _LAST.year:
        raise ValueError(f"not a time: {text[:40]!r}")
    datetime.fromisoformat(f"2000{rest}{second}{zone}")
    return _LAST if year > _LAST.year else _FIRST


@lru_cache(maxsize=4096)
def http_microseconds(text: str | None) -> int | None:
    """Of an HTTP date (RFC 9110, section 5.6.7), which knows whole seconds; None where there is none to be read."""
    time = _http_time(text or "")
    return None if time is None else int((time - _EPOCH).total_seconds()) * 1_000_000


def skew_of(date: str) -> timedelta | None:
    """How far a server's clock, by its ``Date`` header, is ahead of ours.

    None where the header cannot be read, or is more than a day off: no clock is, and signatures of such a day would
    all be refused.
    """
    time = _http_time(date)
    skew = timedelta.max if time is None else time - datetime.now(UTC)
    return skew if abs(skew) <= _MOST_SKEW else None


def _http_time(text: str) -> datetime | None:
    """As every server writes it now, or in one of the older forms."""
    try:
        if (found := _FIXED.fullmatch(text)) and found[2] in _MONTHS:
            day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
            return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC)
        from email.utils import parsedate_to_datetime

        time = parsedate_to_datetime(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # also for what is beyond the calendar
        return None
