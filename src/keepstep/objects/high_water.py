"""Lists what is new of a source that only grows, such as cost reports: one page where the whole would be many.

Names of such a source are ordered by time within a family (``FOCUS Reports/2026/11/…``, ``reports/cost-csv/000…``),
and what was written is never changed. A run that went well notes for each family where the last days begin; the
next one lists both sides from there. Every so often everything is listed all the same: what came late under an old
name, or is in a family not met before, is taken then at the latest.

That is right only while the target holds what earlier runs brought there. So each run reads the target's listing
whole, a page for a thousand reports, and lists everything where it does not hold exactly what the last run left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keepstep.objects.reach import before, beginning_with, intersection, union
from keepstep.objects.target_state import TargetState
from keepstep.stores.interface import EVERYTHING, Page, Span

_DAY = 24 * 3600 * 1_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a run leaves for the next one."""

    listed: datetime
    """When everything was last listed. UTC."""
    first: Mapping[str, str]
    """By family, the prefix of its keys: where the last days begin."""
    held: str = ""
    """What the target held at the end, as far as it is in scope (:class:`~keepstep.objects.target_state.Held`)."""


@dataclass(frozen=True, slots=True)
class ListingPace:
    """How far back, and how often."""

    overlap: timedelta = timedelta(days=5)
    """A report for an earlier day that is at most so late is taken by the next run."""
    full_every: timedelta = timedelta(hours=24)
    """Zero: always everything."""


@dataclass
class HighWater:
    """One run's view of it: what to list, and from what it has seen the marks for the next run."""

    pace: ListingPace
    now: datetime
    earlier: Marks | None = None
    _days: dict[str, dict[int, str]] = field(default_factory=dict)
    """By family and day of writing: the first key."""
    _held: TargetState = field(init=False)

    def __post_init__(self) -> None:
        self._held = TargetState() if self.is_full or self.earlier is None else TargetState.parse(self.earlier.held)

    @property
    def is_full(self) -> bool:
        """Whether this run lists everything."""
        marks = self.earlier
        is_due = marks is None or not timedelta() <= self.now - marks.listed < self.pace.full_every
        return is_due or marks is None or not marks.first

    def spans(self, within: Sequence[Span] = EVERYTHING) -> Sequence[Span]:
        """What to list at both sides, of what is asked for."""
        if self.is_full or self.earlier is None:
            return within
        ours = [Span(before(first), beginning_with(family).until) for family, first in self.earlier.first.items()]
        return intersection(within, union(ours))

    def believes(self, held: TargetState | None) -> bool:
        """Whether a target that holds this holds what the marks say. If it does not, everything is listed."""
        if held is not None and self.earlier is not None and self.earlier.held == str(held):
            return True
        self.earlier, self._held = None, TargetState()
        return False

    def see(self, ours: Page, theirs: Page | None = None) -> None:
        """Objects of the source in an interval, in order, and of the target, which will hold the source's."""
        for key, time in zip(ours.keys, ours.times, strict=True):
            self._days.setdefault(family_of(key), {}).setdefault(time // _DAY, key)
        there = dict(zip(theirs.keys, theirs.sizes, strict=True)) if theirs else {}
        if self.is_full and theirs:
            self._held.add_all(theirs)
        for key, size in zip(ours.keys, ours.sizes, strict=True):
            if (known := there.get(key)) != size:
                self._held.add(key, size)
                if known is not None:
                    self._held.add(key, known, -1)

    def marks(self) -> Marks:
        """For the next run. To be kept when everything that was listed is at the target, and only then."""
        earlier = self.earlier
        first = {} if self.is_full or earlier is None else dict(earlier.first)
        first |= {family: self._first_of(family, days) for family, days in self._days.items()}
        listed = self.now if self.is_full or earlier is None else earlier.listed
        return Marks(listed, first, str(self._held))

    def _first_of(self, family: str, days: Mapping[int, str]) -> str:
        """The folder of the first key of the last days and of one day before: what is yet to come is behind it."""
        since = max(days) - self.pace.overlap // timedelta(days=1)
        before_that = max((day for day in days if day < since), default=None)
        if before_that is None:
            return family
        first = min(key for day, key in days.items() if day >= before_that)
        folder = first.rpartition("/")[0] + "/"
        return folder if len(folder) > len(family) else first


def family_of(key: str) -> str:
    """The folders of a key up to the first one, or the name, that begins with a digit."""
    parts = key.split("/")
    names = next((n for n, part in enumerate(parts) if part[:1].isdigit()), len(parts) - 1)
    return "".join(f"{part}/" for part in parts[:names])
