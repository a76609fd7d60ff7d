"""A sync job, looked at: cost reports in a local OCI, a bucket in a local S3, and what can be wrong with either."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.config import Config, SyncJob
from keepstep.doctor.check import Verdict
from keepstep.doctor.checks import examined
from keepstep.doctor.clocks import judged
from keepstep.jobs.settings import CloudSettings
from keepstep.jobs.sync import ResolvedSync
from tests.cli.conftest import Edit, MainJob
from tests.doctor.worlds import Clock, Report, configure, doctor

pytestmark = pytest.mark.long

DENIED = {"status": 403, "code": "AccessDenied"}


@pytest.fixture
def look(main_job: MainJob, tmp_path: Path) -> Callable[..., Report]:
    """``look(params)``: the doctor's report on a job that copies cost reports; ``env`` changes variables."""

    def visit(params: str = "", *, source: str = "", target: str = "", **env: str | None) -> Report:
        job = f'source = "{source or main_job.source}"\ntarget = "{target or main_job.target}"\nparams = "{params}"'
        config = configure(tmp_path, f'[job.reports]\nkind = "sync"\n{job}\n')
        return doctor(config, "reports", env={**main_job.variables, **env})

    return visit


def test_a_missing_permission_of_oci_is_named(look: Callable[..., Report], main_job: MainJob) -> None:
    """A 404 of OCI fails with both its meanings, and the policy that cost reports need."""
    main_job.cloud.fault("ListObjects", times=None, status=404)
    report = look()
    assert report.failed == {"source-list", "source-read", "cost-reports"}
    assert "missing and for what is forbidden" in report.of("source-list")["text"]
    assert "endorse group <your group> to read objects in tenancy usage-report" in report.of("source-list")["fix"]


def test_an_object_that_cannot_be_read_is_found(look: Callable[..., Report], main_job: MainJob) -> None:
    """Listing is allowed and reading is not: source-read alone fails."""
    main_job.cloud.fault("GetObject", times=None, status=404)
    assert look().failed == {"source-read"}


def test_writing_to_oci_is_tried_without_a_trace(
    look: Callable[..., Report], main_job: MainJob, tmp_path: Path
) -> None:
    """A bucket of OCI that takes objects is ok, one that is read-only to us fails, with `manage objects`."""
    (tmp_path / "in").mkdir()
    report = look("--delete", source=str(tmp_path / "in"), target=main_job.source)
    assert {"target-write", "target-delete"} <= report.failed
    assert "to manage objects" in report.of("target-write")["fix"]


def test_reports_are_looked_for_in_the_home_region(look: Callable[..., Report], oci_config: Edit) -> None:
    """No bling data: another region than the tenancy's home is named, and what to set."""
    report = look(OCI_CLI_CONFIG_FILE=str(oci_config(region="eu-frankfurt-1")))
    assert report.failed == {"region"}
    assert "set region = us-ashburn-1" in report.of("region")["fix"]


def test_without_a_permission_to_look_the_region_is_unknown(look: Callable[..., Report], main_job: MainJob) -> None:
    """The job needs no `inspect tenancies`: what cannot be seen is unknown, with the statement, and no failure."""
    main_job.cloud.fault("ListRegionSubscriptions", times=None, status=404)
    report = look()
    assert report.code == 0 and report.verdict("region") == "unknown" and report.verdict("oci-identity") == "ok"
    assert "inspect tenancies" in report.of("region")["fix"]


def test_a_key_that_is_not_registered_is_found(look: Callable[..., Report], main_job: MainJob) -> None:
    """A 401 of the identity service fails, with the places to look at."""
    main_job.cloud.fault("*", times=None, status=401)
    report = look()
    assert "oci-identity" in report.failed and "API Keys" in report.of("oci-identity")["fix"]


def test_an_empty_key_file_is_found(look: Callable[..., Report], oci_config: Edit, tmp_path: Path) -> None:
    """key.pem empty: the file is named, and that it is empty."""
    key = tmp_path / "key.pem"
    key.touch(0o600)
    report = look(OCI_CLI_CONFIG_FILE=str(oci_config(key_file=str(key))))
    assert "oci-identity" in report.failed
    assert "is empty" in report.of("oci-identity")["text"] and str(key) in report.of("oci-identity")["text"]


def test_missing_credentials_of_aws_are_found(look: Callable[..., Report]) -> None:
    """EC2 IMDS error: the places that were looked in are listed, and what to set."""
    report = look(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "aws-identity" in report.failed and "EC2 instance metadata" in report.of("aws-identity")["text"]


def test_a_role_that_may_not_be_assumed_is_found(
    look: Callable[..., Report], main_job: MainJob, tmp_path: Path
) -> None:
    """Trouble with an explicit role: the trust policy and the caller's statement are printed."""
    main_job.aws.fault("AssumeRole", {**DENIED, "message": "not authorized"}, times=None)
    env = {
        "SYNC_FROM": main_job.source,
        "SYNC_TO": main_job.target,
        "ROLE_ARN": "arn:aws:iam::123456789012:role/sync",
    }
    report = doctor(None, env={**main_job.variables, **env})
    found = report.of("aws-identity")
    assert found["verdict"] == "fail", found
    assert "sts:AssumeRole" in (found["fix"] or "") and "role/sync" in found["text"]


def test_a_delete_that_cannot_be_tried_is_unknown(look: Callable[..., Report]) -> None:
    """--delete to S3 where IAM's simulator is not to be asked: unknown, with the statement that it takes."""
    report = look("--delete")
    assert report.code == 0
    assert report.verdict("target-delete") == "unknown" and "s3:DeleteObject" in report.of("target-delete")["fix"]


def test_a_folder_that_is_missing_is_found(look: Callable[..., Report], tmp_path: Path) -> None:
    """A local source that is not there fails; a local target that is not there yet will be created."""
    report = look(source=str(tmp_path / "none"), target=str(tmp_path / "a/b"))
    assert report.failed == {"source-list"} and "will be created" in report.of("target-write")["text"]


def test_a_wrong_clock_is_found(main_job: MainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is more than five minutes off, fails against both clouds, with the command."""
    for name, value in main_job.variables.items():
        monkeypatch.setenv(name, value)
    job = SyncJob(kind="sync", source=main_job.source, target=main_job.target)
    patient = ResolvedSync(name="reports", config=Config(), job=job)
    clock = Clock(timedelta(minutes=7))
    checks = run(examined(Config(), [patient], CloudSettings(), is_recorded=False, clock=clock))
    off = {check.name: check for check in checks if check.name.endswith("-clock")}
    assert {check.verdict for check in off.values()} == {Verdict.FAIL} and len(off) == 2
    assert all("ahead" in check.text for check in off.values())
    assert "timedatectl" in (off["oci-clock"].fix or "")


@pytest.mark.parametrize(
    ("seconds", "verdict", "words"),
    [
        (2, "ok", "within 2 s"),
        (59, "ok", "within 59 s"),
        (90, "fail", "90 s ahead"),
        (-90, "fail", "90 s behind"),
        (-301, "fail", "301 s behind; signatures are refused from 300 s"),
    ],
)
def test_a_clock_is_judged(seconds: int, verdict: str, words: str) -> None:
    """A minute is worth mending, five are refused by both clouds; an answer without a date tells nothing."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    check = judged("oci-clock", "https://x", format_datetime(now - timedelta(seconds=seconds), usegmt=True), now)
    assert (check.verdict, words in check.text) == (verdict, True)
    assert judged("oci-clock", "https://x", "", now).verdict == "unknown"


def test_silence_ends_at_the_deadline(main_job: MainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloud that takes connections and says nothing costs no more than the deadline, and the others are asked."""
    main_job.cloud.fault("ListObjects", times=None, latency_ms=60_000)
    for name, value in main_job.variables.items():
        monkeypatch.setenv(name, value)
    job = SyncJob(kind="sync", source=main_job.source, target=main_job.target)
    patient = ResolvedSync(name="reports", config=Config(), job=job)
    checks = run(examined(Config(), [patient], CloudSettings(), is_recorded=False, deadline=4))
    found = {check.name: check for check in checks}
    assert "no response within 4 s" in found["source-list"].text and found["source-list"].verdict is Verdict.FAIL
    assert found["target-list"].verdict is Verdict.OK
