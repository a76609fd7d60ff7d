"""Output of ``keepstep spend``: a table for people within 80 columns, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich.cells import cell_len, set_cell_size

from keepstep.errors import Error
from keepstep.focus.summary import Days, PartialDay, Row, Summary
from keepstep.text import printable, shown

_WIDTH = 80
_GAP = "  "
_SHORTEST = 5
"""Minimum columns of a name."""
_NAMED = 3
"""Maximum partial days that are listed one by one."""


def table(found: Summary, reports: int) -> Iterator[str]:
    """Formats names to the left, figures to the right; one block per currency, with its total."""
    compared = f", compared with {_words(found.before)}" if found.before else ""
    yield f"{_words(found.days)}{compared}"
    yield f"{reports} FOCUS {'report' if reports == 1 else 'reports'}; days are UTC"
    for total in found.totals:
        yield ""
        rows = [row for row in found.rows if row.currency == total.currency]
        yield from _block(found.headings, rows, total)
    if found.partial or found.partial_before:
        yield ""
        yield from _partial(found)


def _words(days: Days) -> str:
    return f"{days.first} to {days.last}" if days.first != days.last else f"{days.first}"


def _block(headings: Sequence[str], rows: Sequence[Row], total: Row) -> Iterator[str]:
    figures = [shown(total.currency, 12).upper(), *(["MONTH BEFORE", "CHANGE"] if total.before is not None else [])]
    lines = [([*map(_name, row.key)], _figures(row)) for row in rows]
    last = (["TOTAL", *[""] * (len(headings) - 1)], _figures(total))
    head = ([heading.upper() for heading in headings], figures)
    # A column without any name, such as AWS's account names, is omitted.
    kept = [number for number in range(len(headings)) if any(line[0][number] != "–" for line in lines)] or [0]
    everything = [([names[n] for n in kept], values) for names, values in (head, *lines, last)]
    while len(figures) > 1 and _room(figures, everything) < sum(_floors(everything)):
        figures.pop()  # with amounts this large the total matters more than the comparison
    everything = [(names, values[: len(figures)]) for names, values in everything]
    right = [max(len(values[n]) for _, values in everything) for n in range(len(figures))]
    marked = [False, *(row.is_partial for row in rows), total.is_partial]
    left = _left(everything, _room(figures, everything))
    for (names, values), is_marked in zip(everything, marked, strict=True):
        cells = [set_cell_size(_cut(name, width), width) for name, width in zip(names, left, strict=True)]
        mark = " *" if is_marked else "  "
        yield (_GAP.join([*cells, *map(str.rjust, values, right)]) + mark).rstrip()


def _room(figures: Sequence[str], lines: Sequence[tuple[list[str], list[str]]]) -> int:
    """The columns left for names."""
    right = [max(len(values[n]) for _, values in lines) for n in range(len(figures))]
    return _WIDTH - sum(right) - len(_GAP) * len(right) - len(" *")


def _floors(lines: Sequence[tuple[list[str], list[str]]]) -> list[int]:
    """The minimum width of each name, with the gap after it; a day is never cut."""
    return [(len("2026-11-30") if head == "DAY" else _SHORTEST) + len(_GAP) for head in lines[0][0]]


def _left(lines: Sequence[tuple[list[str], list[str]]], room: int) -> list[int]:
    """The widths of the names: as wide as the widest of each, cutting the widest until all fit."""
    floors = [floor - len(_GAP) for floor in _floors(lines)]
    widths = [max(cell_len(names[n]) for names, _ in lines) for n in range(len(floors))]
    room -= len(_GAP) * (len(widths) - 1)
    while sum(widths) > room and (spare := max(w - f for w, f in zip(widths, floors, strict=True))) > 0:
        widths[[w - f for w, f in zip(widths, floors, strict=True)].index(spare)] -= 1
    return widths


def _cut(name: str, width: int) -> str:
    return name if cell_len(name) <= width else set_cell_size(name, width - 1).rstrip() + "…"


def _name(text: str) -> str:
    return printable(text) or "–"


def _figures(row: Row) -> list[str]:
    amount = _money(row.amount)
    return [amount] if row.before is None else [amount, _money(row.before), _change(row.amount, row.before)]


def _money(amount: Decimal) -> str:
    return f"{round(amount, 2) + 0:,f}"


def _change(amount: Decimal, before: Decimal) -> str:
    """The change in percent; empty if there is nothing to compare with."""
    if before <= 0:
        return ""
    percent = round((amount - before) * 100 / before)
    return f"{percent:+d}%" if percent < 1000 else ">999%"


def _partial(found: Summary) -> Iterator[str]:
    if found.partial:
        yield "* Charges are missing, or may still come:"
    for part in found.partial[:_NAMED]:
        why = f"{part.hours} of 24 hours" if part.hours < 24 else "the day is not over"
        yield f"  {part.day} {shown(part.cloud, 30)}: {why}"
    if len(found.partial) > _NAMED:
        yield f"  and {len(found.partial) - _NAMED} more; --json has all of them"
    if count := len({part.day for part in found.partial_before}):
        days = "1 day" if count == 1 else f"{count} days"
        yield f"Charges of {days} of the month before are missing; --json has them"


def csv_lines(found: Summary) -> Iterator[str]:
    """Formats CSV: a line per row, without totals; amounts in full precision."""
    yield _line([*found.headings, "currency", "amount", "month_before", "partial"])
    for row in found.rows:
        before = "" if row.before is None else exact(row.before)
        values = [*map(printable, row.key), row.currency, exact(row.amount), before]
        yield _line([*values, "yes" if row.is_partial else "no"])


def _line(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def document(
    found: Summary, sources: Sequence[dict[str, Any]], failures: Sequence[Error], by: Sequence[str]
) -> dict[str, Any]:
    """Formats one JSON document; amounts are strings in full precision."""
    return {
        "version": 1,
        "kind": "spend",
        **_span(found.days),
        "compared_with": _span(found.before) if found.before else None,
        "by": list(by),
        "sources": list(sources),
        "totals": [_values(row, ()) for row in found.totals],
        "rows": [_values(row, found.headings) for row in found.rows],
        "partial_days": _parts(found.partial),
        "partial_days_before": _parts(found.partial_before),
        "failures": [{"error": error.message, "hint": error.hint} for error in failures],
    }


def _parts(parts: Iterable[PartialDay]) -> list[dict[str, Any]]:
    return [{"day": part.day.isoformat(), "cloud": part.cloud, "hours": part.hours} for part in parts]


def _span(days: Days) -> dict[str, str]:
    return {"from": days.first.isoformat(), "until": days.last.isoformat()}


def _values(row: Row, headings: Sequence[str]) -> dict[str, Any]:
    return {
        **dict(zip(headings, row.key, strict=True)),
        "currency": row.currency,
        "amount": exact(row.amount),
        "month_before": None if row.before is None else exact(row.before),
        "partial": row.is_partial,
    }


def exact(amount: Decimal) -> str:
    """All significant digits, without an exponent."""
    text = f"{amount:f}" if amount else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text
