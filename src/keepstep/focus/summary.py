"""Costs summed by what somebody wants to see, next to those of the same days of the month before. Pure.

Amounts of different currencies are never added; all sums are exact.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Literal

from keepstep.focus.reports import ALL_HOURS, WHOLE_DAY, Cost

Column = Literal["day", "service", "account", "cloud"]
COLUMNS: tuple[Column, ...] = ("day", "service", "account", "cloud")
Key = tuple[str, ...]
"""One value for each heading of :attr:`Summary.headings`."""


@dataclass(frozen=True, slots=True)
class Days:
    """Days from the first to the last, both included."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1))

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def month_before(self) -> Days:
        """The same days of the month before; of a shorter month those that it has."""
        return Days(_month_before(self.first), _month_before(self.last))


def this_month(today: date) -> Days:
    """The month up to today."""
    return Days(today.replace(day=1), today)


def last_month(today: date) -> Days:
    """The whole of the month before."""
    last = today.replace(day=1) - timedelta(days=1)
    return Days(last.replace(day=1), last)


def last_of_month(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _month_before(day: date) -> date:
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=min(day.day, last.day))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a summary."""

    key: Key
    currency: str
    amount: Decimal
    before: Decimal | None
    """Of the same days of the month before; None where nothing is known of them."""
    is_partial: bool = False
    """Whether charges of one of its days are missing, or may still come."""


@dataclass(frozen=True, slots=True)
class PartialDay:
    """A day of which one cloud's reports do not cover every hour, or that is not over."""

    day: date
    cloud: str
    hours: int
    """Of 24, with a charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that is to be shown."""

    days: Days
    before: Days | None
    """None where nothing is known of these days."""
    headings: tuple[str, ...]
    rows: Sequence[Row]
    """Days in their order; else the dearest first."""
    totals: Sequence[Row]
    """One for each currency, without a key."""
    partial: Sequence[PartialDay]
    partial_before: Sequence[PartialDay]
    """Of the days that are compared with, and the clouds that have charges then."""


def summary(costs: Iterable[Cost], days: Days, by: Sequence[Column], today: date) -> Summary:
    """``costs`` may have other days in them; they are passed over."""
    pairs = {day: _same_day(day) for day in days}
    earlier_to_day = {earlier: day for day, earlier in pairs.items() if earlier}
    costs = list(costs)
    is_known = any(cost.day in earlier_to_day for cost in costs)
    now: defaultdict[tuple[str, Key], Decimal] = defaultdict(Decimal)
    before: defaultdict[tuple[str, Key], Decimal] = defaultdict(Decimal)
    with localcontext(prec=200):
        for cost in costs:
            if cost.day in days:
                now[cost.currency, _key(cost, cost.day, by)] += cost.amount
            if cost.day in earlier_to_day:
                before[cost.currency, _key(cost, earlier_to_day[cost.day], by)] += cost.amount
        partial = partial_days(costs, days, today)
        rows = _rows(now, before if is_known else None, by, partial)
        totals = _totals(rows, is_partial=bool(partial))
    shown = days.month_before if is_known else None
    clouds = {cost.cloud for cost in costs if shown and cost.day in shown}
    return Summary(
        days=days,
        before=shown,
        headings=_headings(by),
        rows=rows,
        totals=totals,
        partial=partial,
        partial_before=partial_days((c for c in costs if c.cloud in clouds), shown, today) if shown else [],
    )


_HEADINGS: dict[Column, tuple[str, ...]] = {
    "day": ("day",),
    "service": ("cloud", "service"),
    "account": ("cloud", "account", "name"),
    "cloud": ("cloud",),
}


def _key(cost: Cost, day: date, by: Sequence[Column]) -> Key:
    """``day`` is the one that it is shown for."""
    values = {
        "day": day.isoformat(),
        "cloud": cost.cloud,
        "service": cost.service,
        "account": cost.account,
        "name": cost.account_name,
    }
    return tuple(values[heading] for heading in _headings(by))


def _rows(
    now: dict[tuple[str, Key], Decimal],
    before: dict[tuple[str, Key], Decimal] | None,
    by: Sequence[Column],
    partial: Sequence[PartialDay],
) -> list[Row]:
    rows = [
        Row(
            key=key,
            currency=currency,
            amount=now.get((currency, key), Decimal(0)),
            before=None if before is None else before.get((currency, key), Decimal(0)),
            is_partial=_has_part(key, by, partial),
        )
        for currency, key in now.keys() | (before or {}).keys()
    ]
    place = [number for number, heading in enumerate(_headings(by)) if heading == "day"]
    rows.sort(key=lambda row: (row.currency, [row.key[n] for n in place], -row.amount, row.key))
    return rows


def _headings(by: Sequence[Column]) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(heading for column in by for heading in _HEADINGS[column]))


def _has_part(key: Key, by: Sequence[Column], partial: Sequence[PartialDay]) -> bool:
    named = dict(zip(_headings(by), key, strict=True))
    return any(
        named.get("day", part.day.isoformat()) == part.day.isoformat()
        and named.get("cloud", part.cloud) == part.cloud
        for part in partial
    )


def _totals(rows: Iterable[Row], *, is_partial: bool) -> list[Row]:
    found: dict[str, Row] = {}
    for row in rows:
        sofar = found.get(row.currency)
        earlier = None if row.before is None else row.before + (sofar.before or 0 if sofar else 0)
        amount = row.amount + (sofar.amount if sofar else 0)
        found[row.currency] = Row(
            key=(), currency=row.currency, amount=amount, before=earlier, is_partial=is_partial
        )
    return list(found.values())


def _same_day(day: date) -> date | None:
    """Of the month before, if that has one of this number."""
    earlier = _month_before(day)
    return earlier if earlier.day == day.day else None


def partial_days(costs: Iterable[Cost], days: Days, today: date) -> list[PartialDay]:
    """Of each cloud that has charges at all: days that are not over, and days without a charge for every hour.

    Where a cloud's charges are for whole days, a day with any is complete.
    """
    hours: defaultdict[str, dict[date, int]] = defaultdict(dict)
    for cost in costs:
        known = hours[cost.cloud]
        known[cost.day] = known.get(cost.day, 0) | cost.hours
    found = []
    for cloud, known in sorted(hours.items()):
        is_hourly = any(each & ALL_HOURS for each in known.values())
        for day in days:
            covered = known.get(day, 0)
            is_whole = covered & ALL_HOURS == ALL_HOURS if is_hourly else bool(covered & WHOLE_DAY)
            if not is_whole or day >= today:
                count = 24 if not is_hourly and covered else (covered & ALL_HOURS).bit_count()
                found.append(PartialDay(day, cloud, count))
    return sorted(found, key=lambda each: (each.day, each.cloud))
