"""FOCUS reports, summed by DuckDB: CSV, gzipped or not, and Parquet.

FOCUS 1.0 columns: ChargePeriodStart, ChargePeriodEnd, EffectiveCost, ServiceName, SubAccountId, SubAccountName,
ProviderName (OCI's files say Provider, FOCUS 1.3 ServiceProviderName), BillingCurrency.
https://focus.finops.org/focus-specification/v1-0/
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from keepstep.errors import ConfigError, Corrupt, Error, unwritable
from keepstep.text import shown

ENDINGS = (".csv", ".csv.gz", ".parquet")
"""What the names of reports end in."""
WHOLE_DAY = 1 << 24
"""In :attr:`Cost.hours`: a charge for a day or longer."""
ALL_HOURS = WHOLE_DAY - 1
"""In :attr:`Cost.hours`: charges for every hour of the day."""
_LARGEST = 8 << 30
"""Bytes of one report when it is unpacked; more is taken for damage."""
_PIECE = 1 << 20
_HINT = "fetch it again, or remove it; the other reports were read"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one service cost one account on one day, in one report."""

    day: date
    """UTC."""
    provider: str
    service: str
    currency: str
    amount: Decimal
    """Exact; credits and corrections are part of it, with their signs."""
    account: str = ""
    account_name: str = ""
    hours: int = 0
    """The hours of the day, UTC, with a charge, bit by bit; :data:`WHOLE_DAY` for charges that are not hourly."""

    @property
    def cloud(self) -> str:
        """``oci`` and ``aws`` for these two, whatever their reports call them; else the provider."""
        name = self.provider.lower()
        if name.startswith("oracle"):
            return "oci"
        return "aws" if name.startswith(("aws", "amazon")) else self.provider


@contextmanager
def engine() -> Iterator[Any]:
    """DuckDB, for many reports. Raises :class:`ConfigError` where it is not installed."""
    try:
        import duckdb
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "this needs the library duckdb, which is not installed", hint="pip install 'keepstep[spend]'"
        ) from exc
    with duckdb.connect(config=_SETTINGS) as database:
        yield database


def read_report(name: str, path: Path, database: Any) -> list[Cost] | None:
    """The sums of the report in a file; None when it is no FOCUS report. ``name`` tells the format. Blocks.

    ``database`` is an :func:`engine`. Raises :class:`Corrupt` for a file that is damaged, and :class:`ConfigError`
    where no temporary file can be written.
    """
    if name.endswith(".gz"):
        with _unpacked(path) as inner:
            return _read(name.removesuffix(".gz"), inner, database)
    return _read(name, path, database)


def _read(name: str, path: Path, database: Any) -> list[Cost] | None:
    import duckdb

    try:
        rows = _rows(database, str(path), is_parquet=name.endswith(".parquet"))
        return None if rows is None else _summed(rows)
    except (duckdb.Error, ValueError) as exc:
        raise Corrupt(f"a report cannot be read: {shown(str(exc).splitlines()[0], 200)}", hint=_HINT) from exc


_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_CSV = "read_csv(?, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"')"
_NEEDED = {"ChargePeriodStart", "EffectiveCost", "ServiceName"}
_COLUMNS = (
    ("ChargePeriodStart",),
    ("ChargePeriodEnd",),
    ("ProviderName", "Provider", "ServiceProviderName"),
    ("ServiceName",),
    ("SubAccountId", "BillingAccountId"),
    ("SubAccountName",),
    ("BillingCurrency",),
)
"""What is read, each by the first of its names that the report has."""


def _rows(database: Any, path: str, *, is_parquet: bool) -> list[tuple[Any, ...]] | None:
    """The columns of :data:`_COLUMNS` as texts, and the sum. None when it is no FOCUS report."""
    table = "read_parquet(?)" if is_parquet else _CSV
    if not is_parquet and not Path(path).stat().st_size:
        return None
    columns = {row[0] for row in database.execute(f"DESCRIBE SELECT * FROM {table}", [path]).fetchall()}  # noqa: S608
    if not columns >= _NEEDED:
        return None
    taken = [next((name for name in names if name in columns), None) for names in _COLUMNS]
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' if name else "''" for name in taken)
    # By way of its text a float is the decimal that it was written as, and not its binary digits.
    amount = "sum(CAST(CAST(EffectiveCost AS VARCHAR) AS DECIMAL(38, 18)))"
    found: list[tuple[Any, ...]] = database.execute(
        f"SELECT {texts}, {amount} FROM {table} GROUP BY ALL",  # noqa: S608
        [path],
    ).fetchall()
    return found


def _summed(rows: Sequence[tuple[Any, ...]]) -> list[Cost]:
    """By everything but the hours. Raises ``ValueError`` for a time that is none."""
    sums: defaultdict[Cost, Decimal] = defaultdict(Decimal)
    hours: defaultdict[Cost, int] = defaultdict(int)
    for start, end, provider, service, account, name, currency, amount in rows:
        if amount is None:
            continue
        if start is None:
            raise ValueError("a charge has no ChargePeriodStart")
        day, covered = _period(start, end or "")
        cost = Cost(day, provider or "", service or "", currency or "USD", Decimal(0), account or "", name or "")
        sums[cost] += amount
        hours[cost] |= covered
    return [replace(cost, amount=amount, hours=hours[cost]) for cost, amount in sums.items()]


@lru_cache(maxsize=4096)
def _period(start: str, end: str) -> tuple[date, int]:
    """The day that a charge period begins on, and its hours."""
    began = _moment(start)
    try:
        length = _moment(end) - began
    except ValueError:
        length = timedelta(0)
    if length >= timedelta(days=1):
        return began.date(), WHOLE_DAY
    count = max(1, -(-length // timedelta(hours=1)))
    return began.date(), ((1 << count) - 1 << began.hour) & ALL_HOURS


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A temporary file with what is in a gzip file. Raises :class:`Corrupt`, also for one that ends too early."""
    with writable(), tempfile.NamedTemporaryFile() as file:
        try:
            with gzip.open(path) as packed:
                size = 0
                while piece := packed.read(_PIECE):
                    size += file.write(piece)
                    if size > _LARGEST:
                        raise Corrupt("a report is larger than 8 GiB when it is unpacked", hint=_HINT)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            raise Corrupt(f"a report cannot be unpacked: {shown(exc, 200)}", hint=_HINT) from exc
        file.flush()
        yield Path(file.name)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone after the block. Raises :class:`ConfigError` where none can be written."""
    with writable():
        path = Path(tempfile.mkdtemp(prefix="keepstep-focus-"))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def writable() -> Iterator[None]:
    """Says as a :class:`ConfigError` that a temporary file cannot be written."""
    try:
        yield
    except Error:
        raise
    except OSError as exc:
        if known := unwritable(exc):
            raise known from exc
        raise
