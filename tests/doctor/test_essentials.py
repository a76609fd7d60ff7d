"""One of each: a sync and a rotation that are well, what S3 denies, fencing. ``make test-long`` has the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.conftest import MainJob
from tests.doctor.test_rotation import look as look_at_rotation
from tests.doctor.test_rotation import scene as scene
from tests.doctor.test_rotation import written
from tests.doctor.test_sync import DENIED
from tests.doctor.test_sync import look as look_at_sync
from tests.doctor.worlds import Report
from tests.rotation.fixture import Clouds, Scene

__all__ = ["look_at_rotation", "look_at_sync", "scene"]

Look = Callable[..., Report]


def test_a_healthy_job_has_nothing_that_fails(look_at_sync: Look, main_job: MainJob) -> None:
    """Where everything is right all checks are ok, it says who we are and no key, and nothing was changed."""
    before = main_job.keys()
    report = look_at_sync()
    assert report.failed == set() and report.code == 0
    for name in ("aws-identity", "oci-identity", "aws-clock", "oci-clock", "region", "cost-reports"):
        assert report.verdict(name) == "ok"
    for name in ("source-list", "source-read", "target-list", "target-write", "state", "schedule", "history"):
        assert report.verdict(name) == "ok"
    assert (
        report.of("aws-identity")["about"].startswith("arn:aws:") and "by env" in report.of("aws-identity")["text"]
    )
    assert report.of("oci-identity")["about"].startswith("ocid1.user.")
    assert main_job.variables["AWS_SECRET_ACCESS_KEY"] not in str(report)
    s3 = main_job.aws.client("s3")
    assert main_job.keys() == before == []
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=main_job.bucket)


@pytest.mark.parametrize(
    ("operation", "check", "action"),
    [("ListObjectsV2", "target-list", "s3:ListBucket"), ("UploadPart", "target-write", "s3:PutObject")],
)
def test_a_missing_permission_of_s3_is_named(
    look_at_sync: Look, main_job: MainJob, operation: str, check: str, action: str
) -> None:
    """What S3 denies fails, and the fix is the IAM statement with its action and bucket."""
    main_job.aws.fault(operation, DENIED, times=None, match=main_job.bucket)
    report = look_at_sync()
    assert (report.code, report.failed) == (1, {check})
    assert action in report.of(check)["fix"] and main_job.bucket in report.of(check)["fix"]


def test_a_healthy_rotation_has_nothing_that_fails(look_at_rotation: Look, scene: Scene) -> None:
    """All that can be seen is ok, the exit code is 0, and neither vault was written to."""
    before = written(scene)
    report = look_at_rotation()
    assert report.failed == set() and report.code == 0, report.checks
    for name in ("writable", "second-rotator"):
        assert report.verdict(name, scene.arn) == report.verdict(name, scene.ocid) == "ok"
    for name in ("stage", "credential", "quota", "database", "tls", "ca"):
        assert report.verdict(name) == "ok"
    assert report.verdict("policy") == "unknown" and "PutSecretValue" in report.of("policy")["fix"]
    assert written(scene) == before


def test_fencing_is_proved_on_scratch_secrets(look_at_rotation: Look, scene: Scene, clouds: Clouds) -> None:
    """Only when asked, on secrets of their own: both vaults refuse a second writer, and the lag is measured."""
    arn, ocid = clouds.create("scratch")
    report = look_at_rotation("--probe-fencing", arn, "--probe-fencing", ocid)
    found = [check for check in report.checks if check["name"] == "fencing"]
    assert {check["verdict"] for check in found} == {"ok"} and len(found) == 6 and report.code == 0
    assert any("before a version was added" in check["text"] for check in found)
    assert clouds.sm.get_secret_value(SecretId=arn)["SecretString"] == "scratch"
    labels = clouds.sm.describe_secret(SecretId=arn)["VersionIdsToStages"]
    assert "KEEPSTEP_DOCTOR" not in str(labels)
