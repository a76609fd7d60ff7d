"""What one report says: every format, every digit, and files that are damaged or something else."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from keepstep.errors import Corrupt
from keepstep.focus.reports import ALL_HOURS, WHOLE_DAY, Cost, engine, read_report

HEAD = "ChargePeriodStart,ChargePeriodEnd,EffectiveCost,ServiceName,ProviderName,BillingCurrency,SubAccountId"


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    with engine() as opened:
        yield opened


def charges(*amounts: str, start: str = "2026-11-03T05:00:00Z", end: str = "2026-11-03T06:00:00Z") -> bytes:
    """A report with a line for each amount."""
    return "\n".join([HEAD, *(f"{start},{end},{amount},S,AWS,USD,1" for amount in amounts), ""]).encode()


def read(database: Any, folder: Path, name: str, content: bytes) -> list[Cost] | None:
    path = folder / "content"
    path.write_bytes(content)
    return read_report(name, path, database)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_sums_are_exact(database: Any, tmp_path: Path, ending: str) -> None:
    """Eighteen digits after the point, exponents and credits; nothing is a float on the way."""
    content = charges("0.1", "0.2", "1.5E-10", "-0.000000000000000001", "", "100000000.000000001")
    found = read(database, tmp_path, f"a{ending}", gzip.compress(content) if ending.endswith("gz") else content)
    assert found is not None
    assert [cost.amount for cost in found] == [Decimal("100000000.300000001149999999")]


def test_a_float_of_parquet_is_the_decimal_that_it_was_written_as(database: Any, tmp_path: Path) -> None:
    """AWS writes doubles: 0.1 three times is 0.3."""
    path = tmp_path / "a.snappy.parquet"
    database.execute(
        "COPY (SELECT TIMESTAMP '2026-11-03 00:00:00' AS ChargePeriodStart,"
        " TIMESTAMP '2026-11-04 00:00:00' AS ChargePeriodEnd, CAST(0.1 AS DOUBLE) AS EffectiveCost,"
        " 'Amazon S3' AS ServiceName, 'AWS' AS ProviderName, 'EUR' AS BillingCurrency, '1' AS SubAccountId,"
        f" 'prod' AS SubAccountName FROM range(3)) TO '{path}' (FORMAT parquet)"
    )
    expected = Cost(date(2026, 11, 3), "AWS", "Amazon S3", "EUR", Decimal("0.3"), "1", "prod", WHOLE_DAY)
    assert read_report(path.name, path, database) == [expected]


def test_hours_are_those_of_the_charges(database: Any, tmp_path: Path) -> None:
    """Hour by hour, with and without seconds and zone, in the zone of the day; several hours count each."""
    rows = [
        "2026-11-03T00:00Z,2026-11-03T01:00Z,1,S,Oracle,USD,1",
        "2026-11-03 02:00:00,2026-11-03 05:00:00,1,S,Oracle,USD,1",
        "2026-11-03T01:00:00+02:00,2026-11-03T02:00:00+02:00,1,S,Oracle,USD,1",
        "2026-11-03T22:00:00Z,2026-11-04T06:00:00Z,1,S,Oracle,USD,1",
    ]
    found = read(database, tmp_path, "a.csv", "\n".join([HEAD, *rows]).encode())
    assert found is not None
    assert {cost.day.day: cost.hours for cost in found} == {3: 0b1100_0000_0000_0000_0001_1101, 2: 1 << 23}
    assert all(cost.hours <= ALL_HOURS and cost.cloud == "oci" for cost in found)


@pytest.mark.parametrize(
    ("provider", "cloud"),
    [("Oracle", "oci"), ("AWS", "aws"), ("Amazon Web Services", "aws"), ("Microsoft", "Microsoft")],
)
def test_clouds_have_one_name(provider: str, cloud: str) -> None:
    """Whatever reports call their provider."""
    assert Cost(date(2026, 1, 1), provider, "", "USD", Decimal(1)).cloud == cloud


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"x\n"])
def test_other_files_are_no_reports(database: Any, tmp_path: Path, content: bytes) -> None:
    """A CSV without FOCUS columns is passed over, not called damaged."""
    assert read(database, tmp_path, "a.csv", content) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"no gzip"),
        ("a.csv.gz", gzip.compress(charges(*["1.25"] * 5000))[:-20]),
        ("a.csv.gz", gzip.compress(charges("1"))[:-8] + b"12345678"),
        ("a.parquet", b"no parquet"),
        ("a.csv", charges("much")),
        ("a.csv", charges("1e30")),
        ("a.csv", charges("1", start="yesterday")),
        ("a.csv", charges("1", start="")),
        ("a.csv", charges(*["1"] * 50)[:-12]),
        ("a.csv", charges("1") + b"\xff\xfe"),
    ],
)
def test_damage_is_an_error(database: Any, tmp_path: Path, name: str, content: bytes) -> None:
    """Nothing of a report counts of which a part cannot be read: cut, flipped, or with amounts that are none."""
    with pytest.raises(Corrupt):
        read(database, tmp_path, name, content)
