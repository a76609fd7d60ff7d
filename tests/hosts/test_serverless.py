"""Lambda in its real runtime emulator, called by boto3; an OCI Function in the real fdk, called on its socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.serverless import Lambda, lambda_function, oci_function
from tests.servers import Aws

pytestmark = pytest.mark.long

_TOML = """
[state]
url = "sqlite:///{folder}/state.db"
[job.copy]
kind = "sync"
source = "s3://{bucket}/in/"
target = "s3://{bucket}/out/"
[job.nowhere]
kind = "sync"
source = "s3://{bucket}-none/in/"
target = "s3://{bucket}/out/"
[job.hang]
kind = "secrets"
map = "{folder}/pipe"
[job.brief]
kind = "secrets"
map = "{folder}/pipe"
deadline = "2s"
[job.check]
kind = "secrets"
map = "{folder}/map.csv"
"""


class Bundle:
    """A folder as it is bundled, and a bucket with two objects and a secret."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.folder = folder
        self.aws = aws
        self.bucket = f"serverless-{uuid.uuid4().hex[:10]}"
        self.s3 = aws.client("s3")
        self.s3.create_bucket(Bucket=self.bucket)
        for name in ("a", "b"):
            self.s3.put_object(Bucket=self.bucket, Key=f"in/{name}", Body=b"12345")
        self.toml = _TOML.format(folder=folder, bucket=self.bucket)
        self.secret = f"value-{uuid.uuid4().hex}"
        name = f"secret-{uuid.uuid4().hex[:8]}"
        aws.client("secretsmanager").create_secret(Name=name, SecretString=self.secret)
        (folder / "map.csv").write_text(f"aws-sm:{name},{folder}/run/password,0600,,\n")
        os.mkfifo(folder / "pipe")

    def write(self) -> None:
        (self.folder / "keepstep.toml").write_text(self.toml)

    def copied(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="out/")
        return [item["Key"] for item in listed.get("Contents", ())]


@pytest.fixture
def bundle(moto: Aws, tmp_path: Path) -> Bundle:
    return Bundle(moto, tmp_path)


class TestLambda:
    """The handler ``keepstep.hosts.aws_lambda.handler``."""

    @pytest.fixture
    def function(self, bundle: Bundle) -> Iterator[Lambda]:
        bundle.write()
        with lambda_function(bundle.folder, bundle.aws.env) as function:
            yield function

    def test_runs_of_every_kind(self, bundle: Bundle, function: Lambda) -> None:
        """A sync moves objects and returns its report; secrets are checked, and go nowhere; metrics are logged."""
        error, report = function.invoke({"job": "copy"})
        assert (error, report["outcome"], report["counts"]["copy"], report["bytes"]) == ("", "done", 2, 10), report
        assert bundle.copied() == ["out/a", "out/b"]
        error, again = function.invoke({"detail": {"job": "copy"}})
        assert (error, again["counts"]["unchanged"]) == ("", 2)
        error, check = function.invoke({"job": "check"})
        assert (error, check["kind"], check["exit_code"]) == ("", "secrets", 3)
        assert not (bundle.folder / "run").exists()
        text = function.log.read_text()
        assert bundle.secret not in text + json.dumps(check)
        metrics = [json.loads(line) for line in text.splitlines() if line.startswith('{"_aws"')]
        assert [(each["job"], each["Success"], each["Objects"]) for each in metrics[:2]] == [
            ("copy", 1, 2),
            ("copy", 1, 0),
        ]

    def test_failures_are_errors_of_the_function(self, bundle: Bundle, function: Lambda) -> None:
        """A run that fails, and an event that names no job, raise with what is wrong and what to do."""
        error, payload = function.invoke({"job": "nowhere"})
        assert error
        assert payload["errorType"] == "RunFailed"
        assert f"{bundle.bucket}-none" in payload["errorMessage"]
        error, payload = function.invoke({"job": "cop"})
        assert error
        assert "configured jobs: brief, check, copy, hang, nowhere" in payload["errorMessage"]
        error, payload = function.invoke({})
        assert "the event does not name a job" in payload["errorMessage"]

    def test_the_deadline_is_kept(self, bundle: Bundle) -> None:
        """A run that hangs is stopped before the host would kill the function, which serves on."""
        bundle.write()
        with lambda_function(bundle.folder, bundle.aws.env, timeout=9) as function:
            error, payload = function.invoke({"job": "hang"})
            assert error
            assert payload["errorType"] == "RunFailed"
            assert "overdue" in payload["errorMessage"] or "terminated" in payload["errorMessage"]

    def test_a_job_s_own_deadline_is_kept(self, bundle: Bundle) -> None:
        """``deadline`` ends a run here as it does in the daemon, long before the host's own."""
        bundle.write()
        with lambda_function(bundle.folder, bundle.aws.env, timeout=300) as function:
            error, payload = function.invoke({"job": "brief"})
        assert error
        assert "overdue" in payload["errorMessage"] or "terminated" in payload["errorMessage"]

    def test_the_configuration_may_be_an_object(self, bundle: Bundle) -> None:
        """``KEEPSTEP_CONFIG`` names it; ``KEEPSTEP_JOB`` the job. Nothing has to be bundled."""
        bundle.s3.put_object(Bucket=bundle.bucket, Key="conf/k.toml", Body=bundle.toml.encode())
        places = {"KEEPSTEP_CONFIG": f"s3://{bundle.bucket}/conf/k.toml", "KEEPSTEP_JOB": "copy"}
        with lambda_function(bundle.folder, bundle.aws.env | places) as function:
            error, report = function.invoke({"source": "aws.events"})
        assert (error, report["counts"]["copy"]) == ("", 2)


def test_an_oci_function(bundle: Bundle) -> None:
    """200 with the report, 502 with it when the run or the call is wrong; no secret in the fdk's debug log."""
    bundle.write()
    with oci_function(bundle.folder, FDK_DEBUG="1", **bundle.aws.env) as function:
        status, report = function.call('{"job": "copy"}')
        assert (status, report["outcome"], report["counts"]["copy"]) == (200, "done", 2)
        status, report = function.call('{"job": "nowhere"}')
        assert (status, report["outcome"]) == (502, "misconfigured")
        assert f"{bundle.bucket}-none" in report["failures"][0]["error"]
        status, report = function.call("not json")
        assert status == 502
        assert "the event does not name a job" in report["error"]
        status, report = function.call('{"job": "hang"}', seconds=6)
        assert (status, report["outcome"]) == (502, "overdue")
        status, report = function.call('{"job": "check"}')
        assert (status, report["exit_code"]) == (200, 3)
        text = function.log.read_text()
    assert bundle.secret not in text + json.dumps(report)
    assert bundle.aws.env["AWS_SECRET_ACCESS_KEY"] not in text


def test_a_cold_start_loads_what_the_job_needs() -> None:
    """The handler itself is Python's own library: no SDK, no web server, no configuration model."""
    code = "import sys, keepstep.hosts.aws_lambda; print(*sys.modules)"
    loaded: Any = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "boto3",
        "botocore",
        "oci",
        "pydantic",
        "click",
        "structlog",
        "starlette",
        "psycopg",
        "apprise",
        "dbos",
    }
    assert heavy & set(loaded) == set()


def test_without_a_file_it_is_the_rotation(bundle: Bundle) -> None:
    """The variables of the old worker are asked for by name, and nothing is written, not even a lock."""
    with lambda_function(bundle.folder, bundle.aws.env) as function:
        before = set(bundle.folder.rglob("*"))
        error, payload = function.invoke({"source": "aws.events"})
        assert error == "RunFailed"
        assert "AWS_SECRET_ID" in payload["errorMessage"]
        assert set(bundle.folder.rglob("*")) == before
