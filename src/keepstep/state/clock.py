"""The time of day of the state, so that machines whose clocks differ agree when a time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keepstep.clock import Clock, SystemClock
from keepstep.state.database import Database


class StateClock:
    """A :class:`Clock` that is set by the machine of the state.

    In between it follows this machine's monotonic clock, so that a jump of the local time of day changes nothing.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._offset = 0.0

    def ask(self) -> None:
        """Sets the clock. Raises :class:`Error` while the state is unavailable; the clock then keeps its offset."""
        before = self._clock.monotonic()
        told = self._database.now()
        after = self._clock.monotonic()
        self._offset = told + (after - before) / 2 - after

    def now(self) -> datetime:
        if not self._offset:
            return self._clock.now()
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=self._clock.monotonic() + self._offset)

    def monotonic(self) -> float:
        return self._clock.monotonic()
