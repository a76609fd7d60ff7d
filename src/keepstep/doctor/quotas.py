"""When OCI Vault will take no more versions of a secret. Pure.

A secret has 30 versions in use and 30 pending deletion ("Secret Versions"). Rotations prune what is deprecated, a
version a day at the earliest, so what counts is how many are made a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepstep.rotation.pace import IN_USE, PENDING_DELETION

_DAY = timedelta(days=1)
SUSTAINED = PENDING_DELETION / 1.0
"""Versions a day that pruning keeps up with: each waits a day for its deletion."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is there, and until when it suffices."""

    in_use: int
    waiting: int
    """Pending deletion."""
    a_day: float
    """Versions that are made."""
    ends: datetime | None
    """When the next version will be refused; None when it never will at this pace."""

    @property
    def text(self) -> str:
        there = f"{self.in_use} of {IN_USE} versions in use, {self.waiting} pending deletion"
        until = f"takes no more from {self.ends:%Y-%m-%d %H:%M} UTC on" if self.ends else "that lasts"
        return f"{there}, {self.a_day:.3g} new a day: {until}"


def forecast(
    in_use: int, deletions: Sequence[datetime], interval: timedelta, made: Sequence[datetime], now: datetime
) -> Forecast:
    """``deletions`` are the times of versions that wait for theirs, ``made`` those at which versions were made.

    The pace is the job's interval, or what was seen in the last week where that is faster.

    ==========================  ================================================================
    pace                        the next version is refused
    ==========================  ================================================================
    no room now                 now, until the first deletion
    up to 28 a day              never: pruning keeps up
    more                        when what pruning leaves has filled what is free
    ==========================  ================================================================
    """
    week = [moment for moment in made if now - moment <= 7 * _DAY]
    a_day = max(_DAY / interval, len(week) / 7)
    free = IN_USE - in_use
    if free <= 0 and len(deletions) >= PENDING_DELETION:
        return Forecast(in_use, len(deletions), a_day, now)
    if a_day <= SUSTAINED:
        return Forecast(in_use, len(deletions), a_day, None)
    left = free + PENDING_DELETION - len(deletions)
    return Forecast(in_use, len(deletions), a_day, now + left / (a_day - SUSTAINED) * _DAY)
