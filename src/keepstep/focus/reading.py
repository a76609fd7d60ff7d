"""Reports out of a store: which of its objects are reports of the days in question, and what each says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from keepstep.errors import ConfigError, Corrupt, Error
from keepstep.focus.reports import ENDINGS, Cost, engine, read_report, temporary_folder, writable
from keepstep.stores.interface import Entry, Store

Result = list[Cost] | None | Error
"""Costs; None for a file that is no FOCUS report; what is wrong with one that cannot be read."""

_PARTITION = re.compile(r"(?P<partition>.*\bBILLING_PERIOD=(?P<month>\d{4}-\d\d))/(?P<rest>.+)", re.DOTALL)
"""AWS Data Exports: ``…/data/BILLING_PERIOD=2026-11/NAME-00001.csv.gz``, and a folder for each delivery where
deliveries are kept ("Understanding export delivery")."""
_DATED = re.compile(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/[^/]+\Z")
"""OCI: ``FOCUS Reports/2026/11/30/NUMBER.csv.gz``."""
_OTHER_FORMS = ("reports/cost-csv/", "reports/usage-csv/")
"""Oracle's own formats, older than FOCUS, which lie next to it."""
_SLACK = timedelta(days=3)
_AT_A_TIME = 32
_AT_ONCE = 64 << 20
"""Maximum bytes of a batch; a larger report is a batch of its own."""
_PIECE = 8 << 20


async def reports_since(store: Store, first: date, only: str = "") -> list[Entry]:
    """The objects that can be reports with charges of ``first`` or later, the newest first.

    With ``only`` just the one of that key.

    Of a month that AWS has delivered several times, each time in a folder of its own, the last delivery counts.
    """
    is_local = store.address.kind == "local"
    found: list[Entry] = []
    async for page in store.list():
        entries = (page.entry(number) for number in range(len(page)))
        found += [entry for entry in entries if _is_meant(entry, first, only, is_local=is_local)]
    found = list(last_deliveries(found))
    found.sort(key=lambda entry: entry.time, reverse=True)
    return found


def _is_meant(entry: Entry, first: date, only: str, *, is_local: bool) -> bool:
    if only:
        return entry.key == only
    if not entry.key.endswith(ENDINGS) or any(form in entry.key for form in _OTHER_FORMS):
        return False
    if (month := _PARTITION.match(entry.key)) is not None:
        return month["month"] >= f"{first:%Y-%m}"
    if (day := _DATED.search(entry.key)) is not None:
        return "-".join(day.groups()) >= f"{first - _SLACK}"
    # A bucket says when the report arrived, which is after its charges; a file's time can be anything.
    since = datetime.combine(first - _SLACK, time(), UTC).timestamp() * 1e6
    return is_local or entry.time >= since


def last_deliveries(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Without those of earlier deliveries of the same month of the same export."""
    deliveries: dict[str, tuple[int, str]] = {}
    for entry in entries:
        if delivery := _delivery(entry):
            partition, folder = delivery
            deliveries[partition] = max(deliveries.get(partition, (entry.time, folder)), (entry.time, folder))
    for entry in entries:
        delivery = _delivery(entry)
        if delivery is None or deliveries[delivery[0]][1] == delivery[1]:
            yield entry


def _delivery(entry: Entry) -> tuple[str, str] | None:
    """The partition, and the folder of one delivery in it; None where deliveries replace each other."""
    found = _PARTITION.match(entry.key)
    if found is None or "/" not in found["rest"]:
        return None
    return found["partition"], found["rest"].partition("/")[0]


async def read_reports(store: Store, entries: Iterable[Entry]) -> AsyncIterator[tuple[Entry, Result]]:
    """What each of them says. Raises :class:`Error` when the store itself, or this machine, fails."""
    with engine() as database:
        for batch in _batches(entries):
            with temporary_folder() as folder:
                paths = [folder / str(number) for number in range(len(batch))]
                each = list(zip(batch, paths, strict=True))
                faults = await asyncio.gather(*(_fetch(store, entry, path) for entry, path in each))
                for (entry, path), fault in zip(each, faults, strict=True):
                    yield entry, fault or await asyncio.to_thread(_result, entry.key, path, database)
                    path.unlink(missing_ok=True)


def _result(key: str, path: Path, database: Any) -> Result:
    try:
        return read_report(key, path, database)
    except Corrupt as error:
        return error


async def _fetch(store: Store, entry: Entry, path: Path) -> Error | None:
    """What is wrong with this object, if something is. Raises :class:`ConfigError` for this machine's faults."""
    try:
        source = await store.open(entry, _AT_ONCE)
        with writable(), path.open("wb") as file:
            try:
                offset = file.write(source.first)
                while offset < source.size:
                    offset += file.write(await source.read(offset, min(_PIECE, source.size - offset)))
            finally:
                await source.close()
    except ConfigError:
        raise
    except Error as error:
        return error
    return None


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Splits reports into batches, limited by number and size."""
    batch: list[Entry] = []
    for entry in entries:
        if batch and (len(batch) == _AT_A_TIME or sum(each.size for each in batch) + entry.size > _AT_ONCE):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
