"""Parses cron expressions, with the grammar and semantics of Debian's cron.

What Debian accepts by accident (``5-1``, which never fires, ``5*``, ``*-5``, ``1~5``) is refused with an error. The
tests compare with the real one: crontab(5) of Debian's cron 3.0pl1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "sun mon tue wed thu fri sat".split()
_RANGE = re.compile(r"(?:(\*)|([a-z]{3}|\d+)(?:-([a-z]{3}|\d+))?)(?:/(\d+))?", re.IGNORECASE | re.ASCII)

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST = {month: 31 - (month in (4, 6, 9, 11)) - 2 * (month == 2) for month in range(1, 13)}
"""Days of each month."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When an expression fires, in local time."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    is_wild: bool
    """Minute or hour starts with ``*``: the expression follows the wall clock through daylight-saving changes."""
    needs_both: bool
    """Day of month or day of week starts with ``*``: then both must match; otherwise either is enough."""

    times: tuple[timedelta, ...] = field(default=(), compare=False)
    """The times of a day on which it fires, in order."""

    def fires_on(self, day: date) -> bool:
        by_date = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        if day.month not in self.months:
            return False
        return (by_date and by_weekday) if self.needs_both else (by_date or by_weekday)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """Parses a field into its numbers. Raises ``ValueError`` that names the field."""
        return frozenset(number for part in text.split(",") for number in self._of_range(part))

    def _of_range(self, text: str) -> range:
        found = _RANGE.fullmatch(text)
        if not found:
            raise ValueError(f"{self.name}: {text!r} is not a number, a name or a range")
        star, first, last, step = found.groups()
        low = self.low if star else self._number(first)
        high = self.high if star else self._number(last or first)
        if low > high:
            raise ValueError(f"{self.name}: {text!r} runs backwards, so cron would never fire")
        if step and not (star or last):
            raise ValueError(f"{self.name}: {text!r}: a step needs a range, or *")
        if step and not int(step):
            raise ValueError(f"{self.name}: {text!r}: a step cannot be 0")
        return range(low, high + 1, int(step or 1))

    def _number(self, word: str) -> int:
        if not word.isdigit():
            if word.lower() not in self.names:
                raise ValueError(f"{self.name}: {word!r} is not a valid name")
            return self.names.index(word.lower()) + self.low
        if not self.low <= int(word) <= self.high:
            raise ValueError(f"{self.name}: {word} is not between {self.low} and {self.high}")
        return int(word)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS)),
    _Field("day of week", 0, 7, tuple(_WEEKDAYS)),
)


def parse_cron(text: str) -> Cron:
    """Parses five fields, or a nickname. Raises ``ValueError`` that says which field is wrong, and why."""
    words = NICKNAMES.get(text, text).split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(words)} fields instead of 5: minute, hour, day, month, day of week")
    minutes, hours, days, months, weekdays = (each.values(word) for each, word in zip(_FIELDS, words, strict=True))
    if 7 in weekdays:
        weekdays |= {0}
    cron = Cron(
        minutes,
        hours,
        days,
        months,
        weekdays - {7},
        is_wild=words[0].startswith("*") or words[1].startswith("*"),
        needs_both=words[2].startswith("*") or words[4].startswith("*"),
        times=tuple(timedelta(hours=hour, minutes=minute) for hour in sorted(hours) for minute in sorted(minutes)),
    )
    if cron.needs_both and min(days) > max(_LONGEST[month] for month in months):
        raise ValueError(f"{text!r} never occurs: those months have fewer days")
    return cron
