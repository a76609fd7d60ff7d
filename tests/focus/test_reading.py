"""Which objects are reports of the days in question."""

from __future__ import annotations

import asyncio
import os
from datetime import date
from pathlib import Path

import pytest

from keepstep.focus.reading import reports_since
from keepstep.jobs.assembly import Assembly
from keepstep.stores.address import parse

SINCE = date(2026, 11, 1)


def chosen(folder: Path, only: str = "") -> set[str]:
    async def run() -> set[str]:
        store = Assembly().source(parse(str(folder)))
        try:
            return {entry.key for entry in await reports_since(store, SINCE, only)}
        finally:
            await store.close()

    return asyncio.run(run())


def make(folder: Path, key: str, time: int = 0) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time, time))


@pytest.mark.parametrize(
    ("key", "is_taken"),
    [
        ("FOCUS Reports/2026/11/01/1-00001.csv.gz", True),
        ("FOCUS Reports/2026/10/29/1-00001.csv.gz", True),  # whose last hours may be later
        ("FOCUS Reports/2026/10/28/1-00001.csv.gz", False),
        ("FOCUS Reports/2027/01/01/1-00001.csv.gz", True),  # corrections come late
        ("reports/cost-csv/0001.csv.gz", False),
        ("oci/reports/usage-csv/0001.csv.gz", False),
        ("e/data/BILLING_PERIOD=2026-11/e-00001.csv.gz", True),
        ("e/data/BILLING_PERIOD=2026-10/e-00001.snappy.parquet", False),
        ("e/metadata/BILLING_PERIOD=2026-11/e-Manifest.json", False),
        ("anything.csv", True),
        ("anything.parquet", True),
        ("anything.txt", False),
    ],
)
def test_names_say_which_days_a_report_has(tmp_path: Path, key: str, is_taken: bool) -> None:
    """By the folders of OCI and AWS; a local file without any is read, whatever its time."""
    make(tmp_path, key)
    assert chosen(tmp_path) == ({key} if is_taken else set())


def test_of_several_deliveries_the_last_counts(tmp_path: Path) -> None:
    """Of each month and export, and whole: AWS can keep every delivery of a month, and each has all its charges."""
    old = "e/data/BILLING_PERIOD=2026-11/2026-11-02T00:00:00.000Z-a"
    new = "e/data/BILLING_PERIOD=2026-11/2026-11-03T00:00:00.000Z-b"
    other = "f/data/BILLING_PERIOD=2026-11/2026-11-01T00:00:00.000Z-c/f-00001.csv.gz"
    plain = "g/data/BILLING_PERIOD=2026-11/g-00001.csv.gz"
    for name in ("e-00001.csv.gz", "e-00002.csv.gz"):
        make(tmp_path, f"{old}/{name}", 1000)
        make(tmp_path, f"{new}/{name}", 2000)
    make(tmp_path, other, 500)
    make(tmp_path, plain, 100)
    assert chosen(tmp_path) == {f"{new}/e-00001.csv.gz", f"{new}/e-00002.csv.gz", other, plain}


def test_one_file_may_be_named(tmp_path: Path) -> None:
    """Whatever it is called."""
    make(tmp_path, "a.csv")
    make(tmp_path, "strange")
    assert chosen(tmp_path, "strange") == {"strange"}
