"""FOCUS reports, summed up by DuckDB: CSV, gzipped or not, and Parquet.

FOCUS 1.0 columns: ChargePeriodStart, EffectiveCost, ServiceName, ProviderName (OCI's files say Provider),
BillingCurrency. https://focus.finops.org/focus-specification/v1-0/
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from keepstep.errors import unwritable


@dataclass(frozen=True, slots=True)
class Cost:
    """What one service cost on one day."""

    day: date
    provider: str
    service: str
    currency: str
    amount: Decimal


def costs_in(reports: Sequence[tuple[str, bytes]]) -> list[list[Cost]]:
    """The sums of each report, given with its name; nothing for a file that is no FOCUS report. Blocks."""
    import duckdb

    found = []
    with duckdb.connect(config=_SETTINGS) as database:
        for name, content in reports:
            with _temporary(content, _ending(name)) as path:
                try:
                    found.append(_asked(database, path))
                except duckdb.Error:
                    found.append([])
    return found


@contextmanager
def _temporary(content: bytes, ending: str) -> Iterator[str]:
    """The path of a file that is gone after the block. Raises :class:`ConfigError` where none can be written."""
    try:
        with tempfile.NamedTemporaryFile(suffix=ending) as file:
            file.write(content)
            file.flush()
            yield file.name
    except OSError as exc:
        if known := unwritable(exc):
            raise known from exc
        raise


_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def _asked(database: object, path: str) -> list[Cost]:
    execute = database.execute  # type: ignore[attr-defined]
    table = "read_parquet(?)" if path.endswith(".parquet") else "read_csv(?, all_varchar = true, header = true)"
    columns = {row[0] for row in execute(f"DESCRIBE SELECT * FROM {table}", [path]).fetchall()}  # noqa: S608
    if not columns >= {"ChargePeriodStart", "EffectiveCost", "ServiceName"}:
        return []
    provider = next((name for name in ("ProviderName", "Provider") if name in columns), "''")
    currency = "BillingCurrency" if "BillingCurrency" in columns else "'USD'"
    statement = (
        f"SELECT substr(CAST(ChargePeriodStart AS VARCHAR), 1, 10), {provider}, ServiceName, {currency},"  # noqa: S608
        f" sum(CAST(EffectiveCost AS DECIMAL(28, 10))) FROM {table} GROUP BY ALL"
    )
    rows: Sequence[tuple[str, str | None, str | None, str | None, Decimal | None]]
    rows = execute(statement, [path]).fetchall()
    return [
        Cost(date.fromisoformat(day), provider or "", service or "", currency or "USD", amount)
        for day, provider, service, currency, amount in rows
        if amount is not None
    ]


def _ending(name: str) -> str:
    return next(ending for ending in (".csv.gz", ".parquet", ".csv") if name.endswith(ending))
