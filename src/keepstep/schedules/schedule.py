"""Computes when a job is due: cron expressions in a time zone, and ``@every``.

Daylight saving works as in Debian's cron(8). A job at a fixed time that is skipped runs right after the change, and
one whose time comes twice runs once. A job with ``*`` in its minute or hour follows the wall clock.
``@every`` counts from 1970, so that all machines agree and a restart changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keepstep.schedules.cron import Cron, parse_cron
from keepstep.units import parse_duration

_HORIZON = timedelta(days=366 * 9)
"""The 29th of February comes within eight years, even around 2100."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job's times. Both fields are None for ``@reboot``, which is due when the daemon starts and never again."""

    cron: Cron | None = None
    every: timedelta | None = None
    zone: tzinfo = UTC

    @property
    def is_startup(self) -> bool:
        return self.cron is None and self.every is None

    def after(self, moment: datetime) -> datetime | None:
        """The first due time after ``moment``, in UTC. None if there is none within nine years."""
        if self.every:
            return _EPOCH + ((moment - _EPOCH) // self.every + 1) * self.every
        return next(self._times(moment), None) if self.cron else None

    def period(self, moment: datetime) -> timedelta | None:
        """The time between the next due time and the one after it."""
        first = self.after(moment)
        second = first and self.after(first)
        return second - first if first and second else None

    def latest(self, since: datetime, until: datetime) -> datetime | None:
        """The last due time after ``since`` and not after ``until``."""
        if self.every:
            found = _EPOCH + (until - _EPOCH) // self.every * self.every
            return found if found > since else None
        if self.cron is None:
            return None
        first, last = since.astimezone(self.zone).date(), until.astimezone(self.zone).date()
        for back in range(-1, (last - first).days + 2):
            moments = [each for each in self._of(last - timedelta(days=back)) if since < each <= until]
            if moments:
                return max(moments)
        return None

    def _times(self, moment: datetime) -> Iterator[datetime]:
        """Due times after ``moment``, earliest first. Works day by day, because clock changes make days differ."""
        today = moment.astimezone(self.zone).date()
        # A time that is skipped, or comes twice, may belong to the day before.
        for ahead in range(-1, _HORIZON.days):
            yield from sorted(each for each in self._of(today + timedelta(days=ahead)) if each > moment)

    def _of(self, day: date) -> Iterable[datetime]:
        """The due times of a local day."""
        assert self.cron
        if not self.cron.fires_on(day):
            return ()
        midnight = datetime.combine(day, time(), self.zone)
        if midnight.utcoffset() == (midnight + timedelta(days=1)).utcoffset():
            start = midnight.astimezone(UTC)
            return [start + after for after in self.cron.times]
        return {moment for after in self.cron.times for moment in self._real(midnight.replace(tzinfo=None) + after)}

    def _real(self, wall: datetime) -> list[datetime]:
        """The moments at which the local clock shows that time, or the end of the gap that skips it."""
        assert self.cron
        moments = [wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        if moments[0] == moments[1]:
            return moments[:1]
        if moments[0] < moments[1]:  # it comes twice
            return moments if self.cron.is_wild else moments[:1]
        return [] if self.cron.is_wild else [self._change(moments[1], moments[0])]

    def _change(self, before: datetime, after: datetime) -> datetime:
        """When the clock was put forward, to the second."""
        offset = after.astimezone(self.zone).utcoffset()
        while after - before > timedelta(seconds=1):
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if middle.astimezone(self.zone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after


def parse_schedule(text: str, zone: tzinfo | None = None) -> Schedule:
    """Parses a cron expression, ``@hourly`` and the like, ``@reboot``, or ``@every 5m``. Raises ``ValueError``.

    The same text in the same zone gives the same object, because a schedule of every minute is large.
    """
    return _parsed(text.strip(), zone or local_zone())


@lru_cache(1024)
def _parsed(text: str, zone: tzinfo) -> Schedule:
    if text == "@reboot":
        return Schedule()
    if text.startswith("@every"):
        every = parse_duration(text.removeprefix("@every").strip())
        if every < timedelta(seconds=1):
            raise ValueError("@every needs at least one second")
        return Schedule(every=every)
    return Schedule(cron=parse_cron(text), zone=zone)


def zone_of(name: str) -> tzinfo:
    """Returns the time zone of that name, such as Europe/Berlin. Raises ``ValueError``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone known to this machine; write one like Europe/Berlin"
        ) from None


def local_zone() -> tzinfo:
    """The machine's time zone: ``TZ``, otherwise ``/etc/localtime``, otherwise UTC."""
    if name := os.environ.get("TZ", "").removeprefix(":"):
        return zone_of(name)
    try:
        return _zone_in(_LOCAL.read_bytes())
    except (OSError, ValueError):
        return UTC


@lru_cache(4)
def _zone_in(data: bytes) -> tzinfo:
    """Returns one object per content, because zones read from files equal only themselves."""
    return ZoneInfo.from_file(BytesIO(data))
