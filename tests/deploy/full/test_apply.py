"""The modules for AWS applied to a local AWS, and all of them looked at by checkov."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.hcl import FOLDER
from tests.deploy.terraform import Terraform, terraform
from tests.servers import Aws, absent, free_port, program, running, wait_until

_SERVICES = ("cloudwatch", "ec2", "ecr", "ecs", "iam", "kms", "lambda", "logs", "s3", "scheduler", "sqs", "sts")
_MOTO = {"MOTO_LAMBDA_STUB_ECR": "true", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
_CHECKOV = "checkov==3.3.30"


@pytest.fixture(scope="module")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto as it is: the local AWS of keepstep has fewer services."""
    log, port = tmp_path_factory.mktemp("moto") / "log", free_port()
    command = [program("moto_server", "moto"), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, log=log, env={**os.environ, **_MOTO}) as process:
        wait_until(lambda: "Running on" in log.read_text(), process, timeout=60, log=log)
        yield f"http://127.0.0.1:{port}"


_PROVIDER = """provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "a"
  secret_key                  = "b"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  endpoints {
%s  }
}
"""


def prepared(module: str, tmp_path: Path, url: str) -> Terraform:
    """With the values of its example, but for the network, and every service at one address."""
    tool = terraform(module, tmp_path)
    (tool.folder / "terraform.tfvars").write_text((FOLDER / module / "terraform.tfvars.example").read_text())
    (tool.folder / "provider.tf").write_text(_PROVIDER % "".join(f'    {name} = "{url}"\n' for name in _SERVICES))
    ec2 = Aws(url, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).client("ec2", region="eu-west-1")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    network = {"vpc_id": vpc, "subnet_ids": [subnet]}
    (tool.folder / "network.auto.tfvars.json").write_text(json.dumps(network))
    tool.run("init", "-input=false")
    return tool


_FORGOTTEN = {
    "aws-sync": {},
    "aws-rotation": {
        "aws_lambda_function.this": {"dead_letter_config", "image_config"},
        "aws_iam_role_policy.scheduler": {"policy"},
    },
}
"""What moto does not keep: a function's dead letters; and what waits for the function because of that."""


def changes(tool: Terraform) -> dict[str, set[str]]:
    """What a plan would change: attributes by resource."""
    plan = str(tool.folder / "plan")
    tool.run("plan", "-input=false", f"-out={plan}")
    found = json.loads(tool.run("show", "-json", plan).stdout)["resource_changes"]
    changing = [each for each in found if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"]]
    return {each["address"]: _differences(each["change"]) for each in changing}


def _differences(change: dict[str, Any]) -> set[str]:
    before, after = change["before"] or {}, (change["after"] or {}) | (change["after_unknown"] or {})
    return {name for name in before | after if before.get(name) != after.get(name)}


@pytest.mark.parametrize("module", ["aws-rotation", "aws-sync"])
def test_the_second_plan_is_empty(module: str, tmp_path: Path, moto_url: str) -> None:
    """A second plan finds nothing to do but what moto forgets; the audit log and its key survive a destroy."""
    tool = prepared(module, tmp_path, moto_url)
    tool.run("apply", "-auto-approve", "-input=false")
    assert changes(tool) == _FORGOTTEN[module]
    assert json.loads(tool.run("show", "-json").stdout)["values"]["outputs"]
    if module == "aws-rotation":
        refused = tool.run("destroy", "-auto-approve", "-input=false", check=False)
        assert refused.returncode != 0
        assert "prevent_destroy" in refused.stderr
        held = tool.run("state", "list").stdout.split()
        tool.run("state", "rm", *(name for name in held if re.match(_KEPT, name)))
    tool.run("destroy", "-auto-approve", "-input=false")
    if module == "aws-rotation":
        client = Aws(moto_url, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).client
        [bucket] = [each["Name"] for each in client("s3").list_buckets()["Buckets"] if "-audit-" in each["Name"]]
        rules = client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        key = rules[0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
        assert client("kms", region="eu-west-1").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


_KEPT = r"aws_s3_bucket.*\.audit|aws_kms_(key|alias)\.audit"
"""As README.md takes them out of the state."""


def test_checkov_has_no_finding_that_is_not_explained(tmp_path: Path) -> None:
    """Each module passes checkov's checks, or says beside the resource why not."""
    uv = program("uv", "uv")
    command = [uv, "tool", "run", "--python", sys.executable, "--from", _CHECKOV, "checkov"]
    words = [
        "--directory",
        str(FOLDER),
        "--framework",
        "terraform",
        "--skip-download",
        "--output",
        "json",
        "--quiet",
    ]
    ran = subprocess.run([*command, *words], capture_output=True, text=True, timeout=600, check=False)
    if not ran.stdout.startswith(("{", "[")):
        absent("checkov", ran.stderr[-500:])
    report = json.loads(ran.stdout)
    failed = report["results"]["failed_checks"]
    assert [(each["check_id"], each["resource"], each["check_name"]) for each in failed] == []
    assert report["summary"]["passed"] > 50
