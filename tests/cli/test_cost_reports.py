"""The main job: OCI's cost reports arrive in S3, and whoever cannot have them is told why and what to do."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.cli.conftest import Edit, MainJob
from tests.servers import Aws


def test_reports_arrive_once(main_job: MainJob) -> None:
    """Every report arrives with its contents under its own name, and a second run moves nothing."""
    first = main_job.sync("--json")
    assert (first.code, first.err) == (0, "")
    assert first.report["counts"]["copy"] == main_job.reports == len(main_job.keys())
    key = main_job.keys()[0]
    assert key.startswith("oci/FOCUS Reports/20")
    body = main_job.aws.client("s3").get_object(Bucket=main_job.bucket, Key=key)["Body"].read()
    assert b"oci_ReferenceNumber" in gzip.decompress(body)
    second = main_job.sync("--json", "--full-every", "0s")
    assert second.code == 0
    assert second.report["actions"] == []
    assert second.report["counts"]["unchanged"] == main_job.reports
    assert second.report["requests"] == {"ListObjects": 1, "ListObjectsV2": 1}


def test_one_request_on_each_side_for_each_report(main_job: MainJob) -> None:
    """A report costs one GetObject and one PutObject, and nothing is asked that is billed without need."""
    report = main_job.sync("--json").report
    moved = {"GetObject": main_job.reports, "PutObject": main_job.reports}
    assert report["requests"] == {"ListObjects": 1, "ListObjectsV2": 1, **moved}


def test_lines_are_the_aws_clis(main_job: MainJob) -> None:
    """One line an object, ``copy: SOURCE to TARGET``, and ``(dryrun)`` in front of it when nothing is done."""
    dry = main_job.sync("--dryrun").out.splitlines()
    assert len(dry) == main_job.reports
    assert main_job.keys() == []
    done = main_job.sync().out.splitlines()
    assert sorted(dry) == sorted(f"(dryrun) {line}" for line in done)
    assert all(line.startswith(f"copy: {main_job.source}FOCUS Reports/") for line in done)
    assert all(f" to {main_job.target}FOCUS Reports/" in line for line in done)


def test_reports_come_down_with_their_time(main_job: MainJob, tmp_path: Path) -> None:
    """A download has the object's time, so that the next one finds nothing to do."""
    folder = tmp_path / "down"
    words = ("sync", main_job.source, str(folder), "--include", "*", "--exact-timestamps", "--json")
    assert main_job.keepstep(*words).report["counts"]["download"] == main_job.reports
    assert main_job.keepstep(*words).report["actions"] == []
    assert len(list(folder.rglob("*.csv.gz"))) == main_job.reports


@pytest.mark.parametrize("auth", ["instance_principal", "security_token"])
def test_other_principals(main_job: MainJob, auth: str) -> None:
    """The main job runs with whatever identity OCI offers the machine."""
    profile = "SESSION" if auth == "security_token" else "DEFAULT"
    assert main_job.sync("--json", OCI_CLI_AUTH=auth, OCI_CLI_PROFILE=profile).code == 0
    assert len(main_job.keys()) == main_job.reports


def test_a_function_needs_no_setting(main_job: MainJob, tmp_path: Path) -> None:
    """A resource principal is found by the variables that the platform sets."""
    from keepstep_localcloud.environment import read_exports

    function = read_exports(main_job.cloud.directory / "oci" / "function.env")
    result = main_job.sync("--json", OCI_CLI_CONFIG_FILE=str(tmp_path / "none"), OCI_CLI_PROFILE=None, **function)
    assert result.code == 0, result.err
    assert len(main_job.keys()) == main_job.reports


# what goes wrong in practice


def refused(main_job: MainJob, *words: str, **changed: str | None) -> str:
    """What a run says that could not even begin: exit 5, an error and a hint, no traceback, nothing copied."""
    result = main_job.sync(*words, **changed)
    assert result.code == 5, (result.code, result.err)
    assert "Traceback" not in result.err
    assert result.err.startswith("error: ")
    assert "\nhint: " in result.err
    main_job.aws.clear_faults()
    assert main_job.keys() == []
    return result.err


def test_empty_private_key(main_job: MainJob, oci_config: Edit, tmp_path: Path) -> None:
    """The seed's ``key.pem empty``: the file is named, and where to look."""
    (tmp_path / "key.pem").touch(mode=0o600)
    path = oci_config(key_file=str(tmp_path / "key.pem"))
    said = refused(main_job, OCI_CLI_CONFIG_FILE=str(path))
    assert f"the private key {tmp_path}/key.pem is empty" in said


def test_malformed_private_key(main_job: MainJob, oci_config: Edit, tmp_path: Path) -> None:
    """A key file that holds something else is named, without a byte of it."""
    (tmp_path / "key.pem").touch(mode=0o600)
    (tmp_path / "key.pem").write_text("hunter2hunter2")
    said = refused(main_job, OCI_CLI_CONFIG_FILE=str(oci_config(key_file=str(tmp_path / "key.pem"))))
    assert "is not PEM" in said
    assert "hunter2" not in said


def test_wrong_fingerprint(main_job: MainJob, oci_config: Edit) -> None:
    """A fingerprint that is not the key's is found before any request, and the right one is named."""
    wrong = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"
    said = refused(main_job, OCI_CLI_CONFIG_FILE=str(oci_config(fingerprint=wrong)))
    assert wrong in said
    right = next(x for x in main_job.cloud.config.read_text().splitlines() if x.startswith("fingerprint"))
    assert right.partition("=")[2].strip() in said


def test_unregistered_key(main_job: MainJob, oci_config: Edit, tmp_path: Path) -> None:
    """A key that OCI does not know for this user is told from a wrong clock by naming both."""
    user = "ocid1.user.oc1..aaaaaaaasomebodyelse"
    said = refused(main_job, OCI_CLI_CONFIG_FILE=str(oci_config(user=user)))
    assert "NotAuthenticated" in said
    assert "not registered" in said
    assert "clock" in said


def test_missing_policy(main_job: MainJob) -> None:
    """OCI's 404 means missing or forbidden: both are said, and the policy's statements are printed."""
    main_job.cloud.fault("ListObjects", times=None, status=404, code="BucketNotFound")
    said = refused(main_job)
    assert "for what is missing and for what is forbidden" in said
    assert "define tenancy usage-report as ocid1.tenancy.oc1..aaaaaaaaned4fkpkis" in said
    assert "endorse group <your group> to read objects in tenancy usage-report" in said


def test_wrong_region(main_job: MainJob, oci_config: Edit) -> None:
    """Reports are in the home region: OCI is asked for its name, and the answer is the advice."""
    main_job.cloud.fault("ListObjects", times=None, status=404, code="BucketNotFound")
    said = refused(main_job, OCI_CLI_CONFIG_FILE=str(oci_config(region="eu-frankfurt-1")))
    assert "home region us-ashburn-1, and your region is eu-frankfurt-1" in said


def test_wrong_tenancy(main_job: MainJob) -> None:
    """A bucket that is not the tenancy's own gets the same advice."""
    main_job.source = "oci://ocid1.tenancy.oc1..aaaaaaaanotours@bling/"
    said = refused(main_job)
    assert "check also that ocid1.tenancy.oc1..aaaaaaaanotours is your tenancy's OCID" in said


def test_no_aws_credentials(main_job: MainJob) -> None:
    """Without AWS credentials nothing is read from OCI, and the places that were looked in are named."""
    said = refused(main_job, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "AWS_ACCESS_KEY_ID" in said


def test_s3_refuses_to_list(main_job: MainJob) -> None:
    """The missing permission is named with the IAM statement that grants it."""
    main_job.aws.fault("ListObjectsV2", {"status": 403, "code": "AccessDenied"}, times=None)
    said = refused(main_job)
    assert '"Action": "s3:ListBucket"' in said
    assert f'"Resource": "arn:aws:s3:::{main_job.bucket}"' in said


def test_s3_refuses_to_write(main_job: MainJob) -> None:
    """Refused objects are failures, one each, and a run in which all are refused soon gives up."""
    main_job.aws.fault("PutObject", {"status": 403, "code": "AccessDenied"}, times=None)
    result = main_job.sync("--json")
    assert result.code == 1
    failure = result.report["failures"][0]
    assert failure["action"] == "copy"
    assert '"Action": "s3:PutObject"' in failure["hint"]
    assert main_job.keys() == []


def test_missing_target_bucket(main_job: MainJob) -> None:
    """A bucket that does not exist is named; it is never made."""
    result = main_job.keepstep("sync", main_job.source, "s3://no-such-bucket-at-all/")
    assert result.code == 5
    assert "NoSuchBucket" in result.err


def test_the_usual_run_lists_one_page(main_job: MainJob, tmp_path: Path) -> None:
    """Of a year of reports the second run lists the last days; what came late is taken with the next whole one."""
    folder = tmp_path / "bling"
    now = datetime.now(UTC)

    def write(day: datetime, number: int, written: datetime) -> None:
        path = folder / f"FOCUS Reports/{day:%Y/%m/%d}/{number:016}-00001.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (written.timestamp(), written.timestamp()))

    for day in (now - timedelta(days=n) for n in range(350)):
        for number in range(4):
            write(day, number, day)
    with LocalCloud(tmp_path / "oci", "--bling", str(folder)) as cloud:
        job = MainJob(cloud, main_job.aws, f"oci://{cloud.tenancy}@bling/", main_job.bucket, 1400)
        job.variables = {**cloud.env, **main_job.aws.env}
        target = str(tmp_path / "target")

        def sync(*options: str) -> dict[str, Any]:
            return job.keepstep("sync", job.source, target, "--json", *options).report

        assert sync()["counts"]["download"] == 1400
        for day in (now, now - timedelta(days=200)):
            write(day, 99, now)
            _wait_for(cloud, f"FOCUS Reports/{day:%Y/%m/%d}/{99:016}-00001.csv.gz")
        second = sync()
        assert second["counts"]["download"] == 1
        assert second["requests"] == {"ListObjects": 1, "GetObject": 1}
        third = sync("--full-every", "0s")
        assert third["counts"]["download"] == 1
        assert third["counts"]["unchanged"] == 1401


def _wait_for(cloud: LocalCloud, name: str) -> None:
    """Returns when the local cloud has seen a new report: it looks at its folder now and then."""
    import oci

    config = oci.config.from_file(str(cloud.config))
    client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
    deadline = time.monotonic() + 60
    while True:
        try:
            client.head_object("bling", cloud.tenancy, name)
        except oci.exceptions.ServiceError:
            assert time.monotonic() < deadline, f"{name} has not appeared"
            time.sleep(0.1)
        else:
            return


def test_what_is_gone_from_the_target_comes_again(main_job: MainJob, tmp_path: Path) -> None:
    """What earlier runs brought counts only while it is there: removed wholly or in part, it is brought again."""
    folder = tmp_path / "reports"

    def sync() -> dict[str, Any]:
        return main_job.keepstep("sync", main_job.source, str(folder), "--json").report

    assert sync()["counts"]["download"] == main_job.reports
    assert sync()["counts"]["download"] == 0
    paths = sorted(path for path in folder.rglob("*.csv.gz"))
    shutil.rmtree(folder)
    assert sync()["counts"]["download"] == main_job.reports
    paths[0].unlink()
    assert sync()["counts"]["download"] == 1
    paths[0].write_bytes(b"cut")
    os.utime(paths[0])
    assert sync()["counts"]["download"] == 1
    (folder / "another.txt").write_text("somebody's own")
    assert sync()["counts"]["download"] == 0
    paths[1].unlink()
    (paths[1].parent / "as many as before.csv.gz").touch()
    assert sync()["counts"]["download"] == 1


def test_another_folder_of_the_same_name(main_job: MainJob, tmp_path: Path) -> None:
    """A relative target is another place in another folder, and however it is written the same place in one."""

    def sync(folder: Path, target: str) -> int:
        words = [sys.executable, "-m", "keepstep", "sync", main_job.source, target, "--json"]
        env = dict(os.environ) | main_job.variables
        ran = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
        report = json.loads(ran.stdout)
        return int(report["counts"]["download"])

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert sync(tmp_path / name, "reports") == main_job.reports
        assert len(list((tmp_path / name / "reports").rglob("*.csv.gz"))) == main_job.reports
    assert sync(tmp_path, str(tmp_path / "one/./reports/")) == 0


def test_a_bucket_that_was_made_again(main_job: MainJob) -> None:
    """A bucket of the same name that is empty now gets everything, also within the day."""
    assert main_job.sync("--json").report["counts"]["copy"] == main_job.reports
    s3 = main_job.aws.client("s3")
    gone = main_job.keys()
    for key in gone:
        s3.delete_object(Bucket=main_job.bucket, Key=key)
    s3.delete_bucket(Bucket=main_job.bucket)
    s3.create_bucket(Bucket=main_job.bucket)
    assert main_job.sync("--json").report["counts"]["copy"] == main_job.reports
    assert len(main_job.keys()) == main_job.reports
    s3.delete_object(Bucket=main_job.bucket, Key=main_job.keys()[0])
    assert main_job.sync("--json").report["counts"]["copy"] == 1


def test_no_reports_yet(moto: Aws, tmp_path: Path, main_job: MainJob) -> None:
    """A new tenancy has no reports: that is no error, and the first ones are announced."""
    (tmp_path / "empty").mkdir()
    with LocalCloud(tmp_path / "oci", "--bling", str(tmp_path / "empty")) as cloud:
        main_job.source = f"oci://{cloud.tenancy}@bling/"
        main_job.variables |= cloud.env
        result = main_job.sync()
    assert result.code == 0
    assert "24 to 48 hours" in result.err


def test_real_billing_rows(main_job: MainJob, tmp_path: Path) -> None:
    """Real FOCUS rows, where they are at hand, arrive byte for byte."""
    sample = Path(__file__).parents[2].parent / "shared" / "data" / "focus_sample.csv"
    if not sample.exists():
        sample = tmp_path / "sample.csv"
        sample.write_text("BilledCost\n0.1\n")
    bling = tmp_path / "bling"
    report = bling / "FOCUS Reports/2024/09/18/0001000000123456-00001.csv.gz"
    report.parent.mkdir(parents=True)
    report.write_bytes(gzip.compress(sample.read_bytes()))
    with LocalCloud(tmp_path / "oci", "--bling", str(bling)) as cloud:
        main_job.source = f"oci://{cloud.tenancy}@bling/"
        main_job.variables |= cloud.env
        assert main_job.sync("--json").report["counts"]["copy"] == 1
    (key,) = main_job.keys()
    assert key == "oci/FOCUS Reports/2024/09/18/0001000000123456-00001.csv.gz"
    body = main_job.aws.client("s3").get_object(Bucket=main_job.bucket, Key=key)["Body"].read()
    assert gzip.decompress(body) == sample.read_bytes()


def test_no_secret_is_said(main_job: MainJob) -> None:
    """Neither a report, nor a line, nor an error has a secret in it, also when everything fails."""
    main_job.cloud.fault("GetObject", times=None, status=403)
    results = [main_job.sync("--json"), main_job.sync("--verbose"), main_job.sync(AWS_SECRET_ACCESS_KEY="wrong")]
    said = json.dumps([[result.out, result.err] for result in results])
    assert main_job.variables["AWS_SECRET_ACCESS_KEY"] not in said
    for pem in (main_job.cloud.directory / "oci").glob("*.pem"):
        assert pem.read_text().splitlines()[1] not in said
