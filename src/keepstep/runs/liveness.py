"""Which runs died without a word: those that give no sign of life for several looks, and whose locks are free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from keepstep.runs.history import History
from keepstep.runs.run import Run

LOOKS = 5
"""Looks in a row that must see the same sign of life: a minute, with looks 15 s apart and beats every 5 s."""


class Reaper:
    """Counts silence in looks, not in time: no clock decides, and looks at a state that is away do not count.

    After an outage of the state, or after this process itself was frozen, every living run has the time of several
    looks to give a sign.
    """

    def __init__(self, history: History, is_dead: Callable[[Run], bool]) -> None:
        """``is_dead`` looks whether the lock of the run's job is free."""
        self._history = history
        self._is_dead = is_dead
        self._seen: dict[str, tuple[datetime, int]] = {}

    def lost(self, now: datetime, ours: Collection[str]) -> Iterator[Run]:
        """One look. Yields each run that this call has given up; ``ours`` are looked after by the caller."""
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
