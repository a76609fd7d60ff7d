"""Computes when OCI Vault will accept no more versions of a secret. Pure.

A secret has at most 30 versions in use and 30 pending deletion ("Secret Versions"). Rotations prune deprecated
versions, a day later at the earliest, so what counts is how many are created per day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepstep.rotation.pace import IN_USE, PENDING_DELETION

_DAY = timedelta(days=1)
SUSTAINED = PENDING_DELETION / 1.0
"""Versions per day that pruning keeps up with: each waits a day for its deletion."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The versions of a secret, and until when the quota suffices."""

    in_use: int
    waiting: int
    """Versions pending deletion."""
    a_day: float
    """New versions per day."""
    ends: datetime | None
    """When the next version will be refused; None if never at this pace."""

    @property
    def text(self) -> str:
        there = f"{self.in_use} of {IN_USE} versions in use, {self.waiting} pending deletion"
        until = f"full from {self.ends:%Y-%m-%d %H:%M} UTC" if self.ends else "this pace fits the quota"
        return f"{there}, {self.a_day:.3g} new a day: {until}"


def forecast(
    in_use: int, deletions: Sequence[datetime], interval: timedelta, made: Sequence[datetime], now: datetime
) -> Forecast:
    """``deletions`` are the deletion times of pending versions, ``made`` the creation times of versions.

    The pace is the job's interval, or that of the last week if that is faster.

    ==========================  ================================================================
    pace                        the next version is refused
    ==========================  ================================================================
    full now                    now, until the first deletion
    up to 28 a day              never: pruning keeps up
    more                        when the surplus has filled the free versions
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
