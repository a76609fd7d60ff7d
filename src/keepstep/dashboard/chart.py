"""Draws bars as SVG: sizes are attributes, because the page allows no inline style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

HEIGHT = 120
_WIDTH, _GAP = 16, 4


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of one day."""

    x: int
    y: float
    width: int
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of equal width, with heights relative to the highest."""

    width: int
    bars: list[Bar]


def bars(days: Sequence[tuple[date, Decimal]], currency: str) -> Bars:
    """Creates one bar. Credits, which are negative, have no height."""
    highest = max((amount for _, amount in days), default=Decimal(0))
    found = []
    for number, (day, amount) in enumerate(days):
        height = float(HEIGHT * max(amount, Decimal(0)) / highest) if highest > 0 else 0.0
        label = f"{day:%Y-%m-%d}: {amount:,.2f} {currency}"
        found.append(Bar(number * (_WIDTH + _GAP), HEIGHT - height, _WIDTH, height, label))
    return Bars(max(1, len(days)) * (_WIDTH + _GAP), found)
