"""Sums, comparisons and partial days, row by row."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.focus.reports import ALL_HOURS, WHOLE_DAY, Cost
from keepstep.focus.summary import COLUMNS, Days, PartialDay, last_month, partial_days, summary, this_month

NOV = Days(date(2026, 11, 1), date(2026, 11, 30))
LATER = date(2027, 3, 1)


EXACT = Context(prec=100)


def cost(day: str, amount: str, **rest: object) -> Cost:
    fields = {"provider": "AWS", "service": "S3", "currency": "USD", "hours": WHOLE_DAY, **rest}
    return Cost(date.fromisoformat(day), amount=Decimal(amount), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "last", "before_first", "before_last"),
    [
        ("2026-11-01", "2026-11-15", "2026-10-01", "2026-10-15"),
        ("2026-01-03", "2026-01-03", "2025-12-03", "2025-12-03"),
        ("2026-03-01", "2026-03-31", "2026-02-01", "2026-02-28"),
        ("2024-03-30", "2024-03-31", "2024-02-29", "2024-02-29"),
        ("2026-10-15", "2026-11-20", "2026-09-15", "2026-10-20"),
    ],
)
def test_the_month_before_has_the_same_days(first: str, last: str, before_first: str, before_last: str) -> None:
    """As far as it has them."""
    before = Days(date.fromisoformat(first), date.fromisoformat(last)).month_before
    assert (str(before.first), str(before.last)) == (before_first, before_last)


def test_default_ranges() -> None:
    """This month ends today; the last one is whole."""
    assert this_month(date(2026, 12, 5)) == Days(date(2026, 12, 1), date(2026, 12, 5))
    assert last_month(date(2026, 12, 5)) == NOV


def test_each_day_stands_next_to_the_same_day_of_the_month_before() -> None:
    """And days that the month before has not are compared with nothing."""
    costs = [cost("2026-03-01", "2"), cost("2026-02-01", "1"), cost("2026-03-31", "5"), cost("2026-02-28", "7")]
    found = summary(costs, Days(date(2026, 3, 1), date(2026, 3, 31)), ["day"], LATER)
    rows: dict[str, object] = {row.key[0]: (row.amount, row.before) for row in found.rows}
    assert rows == {"2026-03-01": (2, 1), "2026-03-28": (0, 7), "2026-03-31": (5, 0)}
    assert [found.totals[0].amount, found.totals[0].before] == [7, 8]


def test_currencies_are_never_added() -> None:
    """One total for each, and rows apart."""
    costs = [cost("2026-11-02", "1"), cost("2026-11-02", "2", currency="EUR"), cost("2026-11-03", "4")]
    found = summary(costs, NOV, ["service"], LATER)
    for lines in (found.rows, found.totals):
        assert {row.currency: str(row.amount) for row in lines} == {"EUR": "2", "USD": "5"}


def test_nothing_is_compared_with_nothing() -> None:
    """Without a charge of those days there is no comparison, which is not a comparison with 0."""
    found = summary([cost("2026-11-02", "1"), cost("2026-10-31", "3")], NOV, ["day"], LATER)
    assert found.before is None and found.rows[0].before is None and found.totals[0].before is None


def test_the_dearest_come_first_within_each_day() -> None:
    """A service that cost something in the month before alone is shown, too; credits are the last."""
    costs = [
        cost("2026-11-01", "1", service="a"),
        cost("2026-11-01", "-3", service="credit"),
        cost("2026-11-01", "2", service="b"),
        cost("2026-11-02", "9", service="a"),
        cost("2026-10-02", "9", service="gone"),
    ]
    by_both = summary(costs, NOV, ["day", "service"], LATER)
    assert [row.key[0][-1] + row.key[2] for row in by_both.rows] == ["1b", "1a", "1credit", "2a", "2gone"]
    by_service = summary(costs, NOV, ["service"], LATER)
    assert [f"{row.key[1]} {row.amount} {row.before}" for row in by_service.rows] == [
        "a 10 0",
        "b 2 0",
        "gone 0 9",
        "credit -3 0",
    ]


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([], []),
        # Hourly: every hour, over several reports.
        ([cost("2026-11-02", "1", hours=ALL_HOURS)], []),
        (
            [
                cost("2026-11-02", "1", hours=ALL_HOURS >> 12),
                cost("2026-11-02", "1", hours=ALL_HOURS << 12 & ALL_HOURS),
            ],
            [],
        ),
        ([cost("2026-11-02", "1", hours=0b111)], [3]),
        ([cost("2026-11-03", "1", hours=ALL_HOURS)], [0]),
        # A monthly charge makes no day of an hourly cloud whole.
        ([cost("2026-11-02", "1"), cost("2026-11-03", "1", hours=1)], [0]),
        # Daily: a charge is enough.
        ([cost("2026-11-02", "1")], []),
        ([cost("2026-11-03", "1")], [0]),
    ],
)
def test_partial_days(costs: list[Cost], expected: list[int]) -> None:
    """Each row: the charges, and how many hours the 2nd of November has if it is partial."""
    day = date(2026, 11, 2)
    found = partial_days(costs, Days(day, day), LATER)
    assert found == [PartialDay(day, "aws", hours) for hours in expected]


def test_a_day_that_is_not_over_is_partial() -> None:
    """However many hours its reports say they cover; yesterday is whole."""
    costs = [cost("2026-11-02", "1"), cost("2026-11-01", "1")]
    days = Days(date(2026, 11, 1), date(2026, 11, 2))
    assert partial_days(costs, days, date(2026, 11, 2)) == [PartialDay(date(2026, 11, 2), "aws", 24)]
    rows = summary(costs, days, ["day"], date(2026, 11, 2)).rows
    assert [row.is_partial for row in rows] == [False, True]


def test_only_rows_of_the_cloud_are_marked() -> None:
    """What is missing of OCI's reports says nothing of AWS."""
    costs = [cost(f"2026-11-{day:02}", "1") for day in range(1, 31)]
    costs += [cost("2026-11-01", "1", provider="Oracle", hours=1)]
    found = summary(costs, NOV, ["cloud"], LATER)
    assert {row.key[0]: row.is_partial for row in found.rows} == {"aws": False, "oci": True}
    assert found.totals[0].is_partial and len(found.partial) == 30


amounts = st.integers(-(10**33), 10**33).map(lambda digits: Decimal(digits).scaleb(-18, EXACT))
some = st.builds(
    Cost,
    day=st.dates(date(2026, 9, 25), date(2026, 12, 5)),
    provider=st.sampled_from(["AWS", "Oracle"]),
    service=st.sampled_from("ab"),
    currency=st.sampled_from(["USD", "EUR"]),
    amount=amounts,
    account=st.sampled_from("12"),
)


@given(st.lists(some, max_size=40), st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True))
def test_every_charge_counts_once(costs: list[Cost], by: list[str]) -> None:
    """Whatever it is summed by, rows add up to the totals, and totals to the charges, to the last digit."""
    found = summary(costs, NOV, by, LATER)  # type: ignore[arg-type]
    expected: defaultdict[str, Fraction] = defaultdict(Fraction)
    before: defaultdict[str, Fraction] = defaultdict(Fraction)
    october = [NOV.first - timedelta(days=number) for number in range(2, 32)]
    for each in costs:
        expected[each.currency] += Fraction(each.amount) if each.day in NOV else 0
        before[each.currency] += Fraction(each.amount) if each.day in october else 0
    for total in found.totals:
        rows = [row for row in found.rows if row.currency == total.currency]
        assert sum(Fraction(row.amount) for row in rows) == Fraction(total.amount) == expected[total.currency]
        if found.before:
            assert Fraction(total.before or 0) == before[total.currency]
    assert len({(row.key, row.currency) for row in found.rows}) == len(found.rows)
