"""Spend by day and by service, from synced FOCUS reports of OCI, AWS or any other provider.

Each report is read once, and its sums are kept in memory; one that is replaced (AWS does that all month) is read
again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from keepstep.clock import Clock
from keepstep.config import Config
from keepstep.errors import Error
from keepstep.focus.places import Place, places_of
from keepstep.focus.reading import read_reports, reports_since
from keepstep.focus.reports import Cost
from keepstep.stores.interface import Entry, Store

K = TypeVar("K")

DAYS = 31
_FRESH = timedelta(minutes=30)
_MOST = 3000
"""Maximum number of reports; OCI writes four a day, one per service."""
_LARGEST = 256 << 20
"""Maximum bytes of one report."""


@dataclass(slots=True)
class Spend:
    """The known spend."""

    at: datetime | None = None
    error: str = ""
    reports: int = 0
    costs: list[Cost] = field(default_factory=list)

    def by_day(self, currency: str) -> list[tuple[date, Decimal]]:
        return sorted(_sums((cost.day, cost.amount) for cost in self.costs if cost.currency == currency).items())

    def by_service(self, currency: str) -> list[tuple[tuple[str, str], Decimal]]:
        """Services, the most expensive first."""
        pairs = ((cost.provider, cost.service, cost.amount) for cost in self.costs if cost.currency == currency)
        sums = _sums(((provider, service), amount) for provider, service, amount in pairs)
        return sorted(sums.items(), key=lambda each: (-each[1], each[0]))

    @property
    def currencies(self) -> list[str]:
        return sorted({cost.currency for cost in self.costs})


def _sums(pairs: Iterable[tuple[K, Decimal]]) -> dict[K, Decimal]:
    found: defaultdict[K, Decimal] = defaultdict(Decimal)
    for key, amount in pairs:
        found[key] += amount
    return found


class Books:
    """Keeps the sums of each report. For one event loop; refreshed in the background."""

    def __init__(self, config: Callable[[], Config], clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._known: dict[tuple[str, str], list[Cost]] = {}
        """Sums by address and state of the report."""
        self._spend = Spend()
        self._under_way: asyncio.Task[None] | None = None

    def spend(self) -> Spend | None:
        """The known spend; None if no reports are configured."""
        if not places_of(self._config()):
            return None
        is_old = self._spend.at is None or self._clock.now() - self._spend.at > _FRESH
        if is_old and (self._under_way is None or self._under_way.done()):
            self._under_way = asyncio.create_task(self._read_all())
        return self._spend

    @property
    def mark(self) -> str:
        """Changes whenever reports have been read."""
        return repr(self._spend.at)

    async def _read_all(self) -> None:
        spend = Spend()
        seen: set[tuple[str, str]] = set()
        for place in places_of(self._config()):
            try:
                seen |= await self._read(place)
            except Error as error:
                spend.error = error.message
        self._known = {key: costs for key, costs in self._known.items() if key in seen}
        first = self._clock.now().date() - timedelta(days=DAYS)
        spend.costs = [cost for costs in self._known.values() for cost in costs if cost.day >= first]
        spend.reports = len(self._known)
        spend.at = self._clock.now()
        self._spend = spend

    async def _read(self, place: Place) -> set[tuple[str, str]]:
        store = place.open()
        try:
            entries = await _recent(store, self._clock.now())
            new = [entry for entry in entries if _key(store, entry) not in self._known]
            async for entry, result in read_reports(store, new):
                self._known[_key(store, entry)] = result if isinstance(result, list) else []
            return {_key(store, entry) for entry in entries}
        finally:
            await store.close()


def _key(store: Store, entry: Entry) -> tuple[str, str]:
    return store.address.of(entry.key), f"{entry.etag}/{entry.time}/{entry.size}"


async def _recent(store: Store, now: datetime) -> list[Entry]:
    """Reports that can contain the days shown, newest first."""
    found = await reports_since(store, now.date() - timedelta(days=DAYS))
    return [entry for entry in found if entry.size <= _LARGEST][:_MOST]
