"""``keepstep spend``: the same figures as a sum by hand, from folders and buckets, in three forms."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len

from keepstep.focus.reports import engine
from keepstep_localcloud.focus import write_reports
from tests.cli.conftest import MainJob
from tests.cli.inprocess import keepstep
from tests.servers import Aws

HEAD = (
    "ChargePeriodStart,ChargePeriodEnd,EffectiveCost,ServiceName,Provider,BillingCurrency,SubAccountId,"
    "SubAccountName"
)
NOVEMBER = ("--from", "2026-11", "--until", "2026-11")


@pytest.fixture(scope="module")
def oci(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Oracle has written in two weeks of November 2026."""
    folder = tmp_path_factory.mktemp("oci")
    assert write_reports(folder, tenancy="ocid1.tenancy.oc1..t", end=datetime(2026, 11, 16, tzinfo=UTC), days=14)
    return folder


def report(folder: Path, *rows: str, name: str = "report.csv") -> Path:
    """Rows without their times are of 2 November."""
    folder.mkdir(exist_ok=True, parents=True)
    day = "2026-11-02T00:00:00Z,2026-11-03T00:00:00Z,"
    path = folder / name
    path.write_text("\n".join([HEAD, *(row if row.startswith("20") else day + row for row in rows), ""]))
    return path


def by_hand(folder: Path, column: str) -> dict[str, Decimal]:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for path in folder.rglob("*.csv.gz"):
        with gzip.open(path, "rt") as file:
            for row in csv.DictReader(file):
                sums[row[column][:10] if column == "ChargePeriodStart" else row[column]] += Decimal(
                    row["EffectiveCost"]
                )
    return {key: amount.normalize() for key, amount in sums.items()}


@pytest.mark.parametrize(
    ("by", "column", "key"),
    [
        ("day", "ChargePeriodStart", "day"),
        ("service", "ServiceName", "service"),
        ("account", "SubAccountId", "account"),
    ],
)
def test_json_has_every_digit(oci: Path, by: str, column: str, key: str) -> None:
    """Each row is the sum that the standard library makes of the same files; the total is the sum of the rows."""
    ran = keepstep("--json", "spend", str(oci), *NOVEMBER, "--by", by)
    found = ran.report
    assert ran.code == 0 and ran.err == "" and (found["version"], found["kind"]) == (1, "spend")
    expected = by_hand(oci, column)
    rows = {row[key]: Decimal(row["amount"]) for row in found["rows"]}
    assert {name: amount for name, amount in rows.items() if amount} == expected
    assert [Decimal(total["amount"]) for total in found["totals"]] == [sum(expected.values())]
    assert found["compared_with"] is None and found["totals"][0]["month_before"] is None
    assert found["sources"][0]["reports"] == len(list(oci.rglob("*.gz")))


def test_csv_is_what_json_says(oci: Path) -> None:
    """A line for each row, by several things at once."""
    words = ("spend", str(oci), *NOVEMBER, "--by", "day,service")
    rows = list(csv.DictReader(io.StringIO(keepstep(*words, "--csv").out)))
    expected = keepstep(*words, "--json").report["rows"]
    assert [(row["day"], row["service"], row["amount"], row["partial"]) for row in rows] == [
        (row["day"], row["service"], row["amount"], "yes" if row["partial"] else "no") for row in expected
    ]


def test_both_clouds_are_compared_with_the_month_before(tmp_path: Path, oci: Path) -> None:
    """AWS's Parquet next to OCI's CSV; one line for each cloud, and the total to the cent."""
    aws = tmp_path / "aws"
    aws.mkdir()
    with engine() as database:
        database.execute(
            "COPY (SELECT d AS ChargePeriodStart, d + INTERVAL 1 DAY AS ChargePeriodEnd,"
            " 0.1 :: DOUBLE AS EffectiveCost, 'Amazon S3' AS ServiceName,"
            " 'AWS' AS ProviderName, 'USD' AS BillingCurrency, '1' AS SubAccountId"
            " FROM range(TIMESTAMP '2026-10-01', TIMESTAMP '2026-12-01', INTERVAL 1 DAY) t(d))"
            f" TO '{aws}/a.snappy.parquet' (FORMAT parquet)"
        )
    ran = keepstep("spend", str(oci), str(aws), *NOVEMBER, "--by", "cloud")
    total = sum(by_hand(oci, "ServiceName").values()) + 3
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["aws", "3.00", "3.00", "+0%"] in lines
    assert ["TOTAL", f"{total:,.2f}", "3.00", ">999%", "*"] in lines


CENTS = ("012,345.68", " -5.00", " 1.00")


def test_amounts_stand_to_the_right_within_80_columns(tmp_path: Path) -> None:
    """Long, wide and hostile names are cut and escaped; figures end in one column, and none is cut."""
    names = ["A" * 200, "計算" * 60, "a\u202eb\u001b[31m", "short"]
    rows = [
        f"{amount},{name},Oracle,USD,{'o' * 90},{'n' * 90}"
        for amount, name in zip(["123456789012345.678", "-5", "0.004", "1"], names, strict=True)
    ]
    rows += ["2026-10-02T00:00:00Z,2026-10-03T00:00:00Z,98765432109876.5,short,Oracle,USD,a,b"]
    report(tmp_path, *rows)
    for by in ("service", "account", "account,service,day"):
        ran = keepstep("spend", str(tmp_path), *NOVEMBER, "--by", by)
        lines = ran.out.splitlines()
        assert ran.code == 0 and max(map(cell_len, lines)) <= 80
        assert "\u001b" not in ran.out and "\u202e" not in ran.out
        head = next(line for line in lines if " USD" in line)
        total = next(line for line in lines if line.startswith("TOTAL"))
        assert "123,456,789,012,341.68" in total
        assert ("98,765,432,109,876.50" in total) is ("day" not in by)  # the total first
        ends = {head.index("USD") + 3, total.index("341.68") + 6}
        ends |= {cell_len(line.partition(cents)[0] + cents) for cents in CENTS for line in lines if cents in line}
        assert len(ends) == 1
        assert ("2026-11-02" in ran.out) is ("day" in by)


def test_currencies_have_totals_of_their_own(tmp_path: Path) -> None:
    """Nothing is converted, and nothing added."""
    report(tmp_path, "1.5,S,Oracle,EUR,1,", "2.25,S,Oracle,USD,1,")
    ran = keepstep("spend", str(tmp_path), *NOVEMBER, "--by", "service")
    assert [line.split()[1] for line in ran.out.splitlines() if line.startswith("TOTAL")] == ["1.50", "2.25"]


def test_credits_and_corrections_count(tmp_path: Path) -> None:
    """A credit is subtracted; a correction that arrives months later counts for its own day."""
    report(tmp_path / "FOCUS Reports/2026/11/02", "10,S,Oracle,USD,1,", "-2.5,S,Oracle,USD,1,", name="1.csv")
    report(tmp_path / "FOCUS Reports/2027/02/01", "-0.25,S,Oracle,USD,1,", name="2.csv")
    found = keepstep("spend", str(tmp_path), *NOVEMBER, "--json").report
    assert [row["amount"] for row in found["rows"] if row["day"] == "2026-11-02"] == ["7.25"]


def test_damaged_reports_are_named_and_left_out(tmp_path: Path, oci: Path) -> None:
    """Exit 1, with the file's address and a hint; everything else is shown."""
    (tmp_path / "cut.csv.gz").write_bytes(next(oci.rglob("*.gz")).read_bytes()[:-100])
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    report(tmp_path, "10,S,Oracle,USD,1,")
    ran = keepstep("spend", str(tmp_path), *NOVEMBER)
    assert ran.code == 1 and "10.00" in ran.out
    assert (
        f"error: {tmp_path}/cut.csv.gz: a report cannot be unpacked: " in ran.err
        and "hint: fetch it again" in ran.err
    )
    assert "notes" not in ran.err
    found = keepstep("spend", str(tmp_path), *NOVEMBER, "--json")
    assert found.code == 1 and "cut.csv.gz" in found.report["failures"][0]["error"]


def test_a_place_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """It is an error, exit 1; where no place can be read, exit 5."""
    there = report(tmp_path / "there", "10,S,Oracle,USD,1,").parent
    ran = keepstep("spend", str(there), str(tmp_path / "absent"), *NOVEMBER)
    assert ran.code == 1 and "10.00" in ran.out and f"error: {tmp_path}/absent: " in ran.err
    assert keepstep("spend", str(tmp_path / "absent"), *NOVEMBER).code == 5


def test_without_charges_it_says_what_there_is(tmp_path: Path) -> None:
    """No report, none of these days, no job: exit 5 each, with the next step."""
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = keepstep("spend", str(empty))
    assert (ran.code, ran.out) == (5, "") and "there are no FOCUS reports" in ran.err and "hint: " in ran.err
    folder = report(tmp_path / "some", "10,S,Oracle,USD,1,").parent
    ran = keepstep("spend", str(folder), "--from", "2027-01-01", "--until", "2027-01-02")
    assert ran.code == 5 and "--from 2026-11-02 --until 2026-11-02" in ran.err
    config = tmp_path / "keepstep.toml"
    config.write_text("")
    ran = keepstep("--config", str(config), "spend")
    assert (
        ran.code == 5
        and "no job of keepstep.toml fetches cost reports" in ran.err
        and "keepstep spend s3://" in ran.err
    )


def test_no_report_counts_twice(tmp_path: Path) -> None:
    """Neither where two names are given for one folder, nor where one file of it is named."""
    path = report(tmp_path, "10,S,Oracle,USD,1,")
    for places in ([tmp_path, tmp_path], [path, tmp_path], [path]):
        found = keepstep("spend", *map(str, places), *NOVEMBER, "--json").report
        assert found["totals"][0]["amount"] == "10"


def test_this_month_is_the_default(tmp_path: Path) -> None:
    """Compared with the same days; while it has no charges yet, the month before is shown, and that is said."""
    today = datetime.now(UTC).date()
    before = today.replace(day=1) - timedelta(days=1)

    def row(day: date, amount: int) -> str:
        return f"{day}T00:00:00Z,{day + timedelta(days=1)}T00:00:00Z,{amount},S,AWS,USD,1,"

    report(tmp_path, row(before.replace(day=1), 3))
    ran = keepstep("spend", str(tmp_path), "--json")
    assert (ran.report["from"], ran.report["until"]) == (str(before.replace(day=1)), str(before))
    assert ran.err == "note: there are no charges of this month yet; showing the month before\n"
    report(tmp_path, row(today.replace(day=1), 4), name="new.csv")
    ran = keepstep("spend", str(tmp_path), "--json")
    assert (ran.report["from"], ran.report["until"], ran.err) == (str(today.replace(day=1)), str(today), "")
    assert (ran.report["totals"][0]["amount"], ran.report["totals"][0]["month_before"]) == ("4", "3")
    assert ran.report["partial_days"][-1]["day"] == str(today)


def test_jobs_of_cost_reports_are_found(tmp_path: Path, oci: Path, moto: Aws) -> None:
    """Without a source: the targets of jobs that fetch them, out of S3; by its name any sync job's target."""
    bucket = f"spend-cli-{os.getpid()}"
    s3 = moto.client("s3")
    s3.create_bucket(Bucket=bucket)
    for path in sorted(oci.rglob("*.gz"))[:3]:
        s3.put_object(Bucket=bucket, Key=f"oci/{path.relative_to(oci)}", Body=path.read_bytes())
    other = report(tmp_path / "other", "10,S,AWS,USD,1,").parent
    config = tmp_path / "keepstep.toml"
    config.write_text(
        f'[job.reports]\nkind = "sync"\nsource = "oci://ocid1.tenancy.oc1..t@bling/"\ntarget = "s3://{bucket}/oci/"\n'
        f'[job.aws]\nkind = "sync"\nsource = "s3://x/"\ntarget = "{other}"\n'
    )
    ran = keepstep("--config", str(config), "spend", *NOVEMBER, "--json", env=moto.env)
    assert ran.code == 0
    assert ran.report["sources"] == [{"name": "reports", "address": f"s3://{bucket}/oci/", "reports": 3}]
    ran = keepstep(
        "--config", str(config), "spend", "reports", "aws", f"s3://{bucket}/", *NOVEMBER, "--json", env=moto.env
    )
    assert [source["reports"] for source in ran.report["sources"]] == [3, 1, 0]


def test_oracle_s_own_bucket_can_be_read(main_job: MainJob) -> None:
    """Without any copy: the reports where Oracle puts them."""
    ran = main_job.keepstep("spend", main_job.source, "--by", "cloud", "--json", "--from", "2020-01-01")
    assert ran.code == 0, ran.err
    assert ran.report["sources"][0]["reports"] == main_job.reports
    assert [row["cloud"] for row in ran.report["rows"]] == ["oci"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "tomorrow"], "'tomorrow' is not a day; write it as 2026-11-30 or 2026-11"),
        (["--from", "2026-02-30"], "'2026-02-30' is not a day"),
        (["--from", "2026-11-02", "--until", "2026-11-01"], "--from 2026-11-02 is after --until 2026-11-01"),
        (["--from", "0001-01-01"], "more than ten years"),
        (["--by", "team"], "'team' is none of day, service, account, cloud"),
        (["--csv", "--json"], "--csv and --json"),
    ],
)
def test_misuse(tmp_path: Path, words: list[str], says: str) -> None:
    """Exit 2, with what is wrong."""
    ran = keepstep("spend", str(tmp_path), *words)
    assert ran.code == 2 and says in ran.err and "hint: " in ran.err and json.dumps(ran.out) == '""'
