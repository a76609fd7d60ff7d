"""Finds runs that died silently: no sign of life for several checks, and their lock is free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from keepstep.runs.history import History
from keepstep.runs.run import Run

LOOKS = 5
"""Consecutive checks that must see no new sign of life: a minute, with checks every 15 s and signs every 5 s."""


class Reaper:
    """Counts silence in checks, not in time: no clock decides, and checks do not count while the state is down.

    After an outage of the state, or after this process itself was frozen, every live run has the time of several
    checks to give a sign of life.
    """

    def __init__(self, history: History, is_dead: Callable[[Run], bool]) -> None:
        """``is_dead`` checks whether the lock of the run's job is free."""
        self._history = history
        self._is_dead = is_dead
        self._seen: dict[str, tuple[datetime, int]] = {}

    def lost(self, now: datetime, ours: Collection[str]) -> Iterator[Run]:
        """Makes one check. Yields each run that this call has given up; ``ours`` are supervised by the caller."""
        open_ = self._history.open()
        self._seen = {run.id: self._count(run) for run in open_ if run.id not in ours}
        for run in open_:
            if self._seen.get(run.id, (run.seen, 0))[1] < LOOKS or not self._is_dead(run):
                continue
            if self._history.lose(run, at=now):
                yield run

    def _count(self, run: Run) -> tuple[datetime, int]:
        seen, count = self._seen.get(run.id, (run.seen, 0))
        return (run.seen, count + 1) if seen == run.seen else (run.seen, 1)
