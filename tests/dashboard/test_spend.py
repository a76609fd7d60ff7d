"""Spend: the same figures as a sum by hand, from CSV and Parquet, from a folder and from S3."""

from __future__ import annotations

import csv
import gzip
import os
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from keepstep.dashboard.chart import HEIGHT, bars
from keepstep_localcloud.focus import write_reports
from tests.dashboard.worlds import Place, Site
from tests.servers import Aws

NOW = datetime.now(UTC)


def by_hand(folder: Path) -> dict[str, Decimal]:
    """By service, with the standard library alone."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for path in folder.rglob("*.csv.gz"):
        with gzip.open(path, "rt") as file:
            for row in csv.DictReader(file):
                sums[row["ServiceName"]] += Decimal(row["EffectiveCost"])
    return sums


def read(site: Site) -> str:
    """The page, once the reports have been read."""
    deadline = time.monotonic() + 90
    while "being read" in (page := site.get("/spend").text):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return page


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of OCI's reports."""
    folder = tmp_path_factory.mktemp("focus")
    assert write_reports(folder, tenancy="ocid1.tenancy.oc1..t", end=NOW, days=3)
    return folder


def test_figures_are_those_of_the_reports(tmp_path: Path, reports: Path) -> None:
    """By service and in all, to the cent; days have a bar and a row each."""
    place = Place(tmp_path, dashboard=f'spend = ["{reports}"]')
    with place.served() as site:
        page = read(site)
    sums = by_hand(reports)
    for service, amount in sums.items():
        assert f'data-label="service">{service}</th>' in page and f"{amount:,.2f}" in page
    assert f"{sum(sums.values()):,.2f} USD" in page
    assert page.count("<rect ") == page.count('data-label="day"') > 2


def test_aws_reports_are_added(tmp_path: Path, reports: Path) -> None:
    """Parquet as AWS's Data Exports writes it stands beside OCI's; what is no FOCUS report is passed over."""
    import duckdb

    aws = tmp_path / "aws"
    aws.mkdir()
    with duckdb.connect() as database:
        database.execute(
            f"COPY (SELECT TIMESTAMP '{NOW:%Y-%m-%d} 00:00:00' AS ChargePeriodStart, 12.349 AS EffectiveCost,"
            f" 'Amazon S3' AS ServiceName, 'AWS' AS ProviderName, 'USD' AS BillingCurrency)"
            f" TO '{aws}/a.snappy.parquet' (FORMAT parquet)"
        )
    (aws / "notes.csv").write_text("a,b\n1,2\n")
    (aws / "broken.parquet").write_bytes(b"no parquet")
    place = Place(tmp_path, dashboard=f'spend = ["{reports}", "{aws}"]')
    with place.served() as site:
        page = read(site)
    assert "Amazon S3" in page and "12.35" in page and "COMPUTE" in page and "AWS" in page


def bucket_of_reports(bucket: str, reports: Path, moto: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket with one of the reports beneath ``oci/``; the environment leads to it."""
    for name, value in moto.env.items():
        monkeypatch.setenv(name, value)
    s3 = moto.client("s3")
    s3.create_bucket(Bucket=bucket)
    path = next(iter(sorted(reports.rglob("*.gz"))))
    s3.put_object(Bucket=bucket, Key=f"oci/{path.relative_to(reports)}", Body=path.read_bytes())
    return bucket


def test_targets_of_cost_report_jobs_are_read(
    tmp_path: Path, reports: Path, moto: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting the page reads where the jobs that fetch OCI's reports put them."""
    bucket = bucket_of_reports(f"spend-{os.getpid()}", reports, moto, monkeypatch)
    job = f'[job.r]\nkind = "sync"\nsource = "oci://ocid1.tenancy.oc1..t@bling/"\ntarget = "s3://{bucket}/oci/"\n'
    with Place(tmp_path, jobs=job).served() as site:
        page = read(site)
    assert "1 FOCUS reports" in page and "COMPUTE" in page


def test_a_target_is_read_as_its_job_writes_it(
    tmp_path: Path, reports: Path, moto: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The params' profile, endpoint and key count for the page too; a job that makes no sense hides no other."""
    bucket = bucket_of_reports(f"spend-params-{os.getpid()}", reports, moto, monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    source = "oci://ocid1.tenancy.oc1..t@bling/"
    params = f"--endpoint-url {moto.env['AWS_ENDPOINT_URL']}"
    job = f'[job.r]\nkind = "sync"\nsource = "{source}"\ntarget = "s3://{bucket}/oci/"\nparams = "{params}"\n'
    wrong = '[job.w]\nkind = "sync"\nsource = "gs://x"\ntarget = "/x"\n'
    with Place(tmp_path, jobs=wrong + job).served() as site:
        page = read(site)
    assert "1 FOCUS reports" in page and "COMPUTE" in page


def test_trouble_is_shown(tmp_path: Path) -> None:
    """A place that cannot be read is said, and the page stands."""
    place = Place(tmp_path, dashboard=f'spend = ["{tmp_path}/none"]')
    with place.served() as site:
        assert "none" in read(site)


def test_without_reports_it_says_so(place: Place) -> None:
    """Where nothing says where reports are, nothing is read."""
    with place.served() as site:
        assert "names none" in site.get("/spend").text


def test_bars_are_as_high_as_their_share() -> None:
    """The highest fills the chart, credits have no height, and nothing divides by nought."""
    day = NOW.date()
    found = bars([(day, Decimal(5)), (day + timedelta(1), Decimal(10)), (day + timedelta(2), Decimal(-3))], "USD")
    assert [bar.height for bar in found.bars] == [HEIGHT / 2, HEIGHT, 0]
    assert bars([(day, Decimal(0))], "USD").bars[0].height == 0 and bars([], "USD").width > 0
