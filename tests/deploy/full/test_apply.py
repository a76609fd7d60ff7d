"""The modules for AWS applied to a local AWS, and all of them looked at by checkov."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.hcl import FOLDER
from tests.deploy.moto import moto
from tests.deploy.terraform import AWS_PROVIDER, Terraform, terraform
from tests.servers import Aws, absent, program

_SERVICES = (
    *("cloudwatch", "ec2", "ecr", "ecs", "events", "iam", "kms", "lambda", "logs"),
    *("s3", "scheduler", "sns", "sqs", "sts"),
)
_MOTO = {"MOTO_LAMBDA_STUB_ECR": "true", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
_CHECKOV = "checkov==3.3.30"


@pytest.fixture(scope="module")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto as it is: the local AWS of keepstep has fewer services."""
    with moto(tmp_path_factory.mktemp("moto"), **_MOTO) as url:
        yield url


def prepared(module: str, tmp_path: Path, url: str) -> Terraform:
    """With the values of its example, but for the network, and every service at one address."""
    tool = terraform(module, tmp_path)
    example = (FOLDER / module / "terraform.tfvars.example").read_text()
    without_mail = re.sub(r"^alert_email .*\n", "", example, flags=re.MULTILINE)
    (tool.folder / "terraform.tfvars").write_text(without_mail)
    (tool.folder / "provider.tf").write_text(
        AWS_PROVIDER % "".join(f'    {name} = "{url}"\n' for name in _SERVICES)
    )
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


def planned(tool: Terraform) -> list[dict[str, Any]]:
    """What a plan would change."""
    plan = str(tool.folder / "plan")
    tool.run("plan", "-input=false", f"-out={plan}")
    found = json.loads(tool.run("show", "-json", plan).stdout)["resource_changes"]
    return [each for each in found if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"]]


def changes(tool: Terraform) -> dict[str, set[str]]:
    """What a plan would change: attributes by resource."""
    return {each["address"]: _differences(each["change"]) for each in planned(tool)}


def _differences(change: dict[str, Any]) -> set[str]:
    before, after = change["before"] or {}, (change["after"] or {}) | (change["after_unknown"] or {})
    return {name for name in before | after if before.get(name) != after.get(name)}


_SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
_CHANGED: dict[str, dict[str, Any]] = {
    "aws-sync": {
        "schedule": "cron(0 5 * * ? *)",
        "period_minutes": 1440,
        "alert_email": "ops@example.com",
        "sync_params": "--delete --trash s3://example-trash/",
        "may_delete": True,
        "tags": {"team": "finops"},
    },
    "aws-rotation": {
        "tick": "rate(1 hour)",
        "alert_email": "ops@example.com",
        "admin_secret_arn": f"{_SECRET}admin-AbCdEf",
        "aws_connection_blob_arn": f"{_SECRET}blob-AbCdEf",
        "tags": {"team": "platform"},
    },
}
"""Another schedule, a mail address, more secrets or options, tags."""
_REVISED = {"aws-sync": {"aws_ecs_task_definition.this"}, "aws-rotation": set()}
"""A task definition is never changed: ECS adds a revision, and Terraform calls that a replacement."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("module", ["aws-rotation", "aws-sync"])
def test_a_module_is_applied_changed_destroyed_and_applied_again(
    module: str, tmp_path: Path, moto_url: str
) -> None:
    """The second plan is empty but for what moto forgets, and a change replaces nothing.

    The audit log refuses to be destroyed; taken out of the state as README.md says, it survives with its key and
    its entries, and the module can be applied again.
    """
    tool = prepared(module, tmp_path, moto_url)
    tool.run("apply", "-auto-approve", "-input=false")
    assert changes(tool) == _FORGOTTEN[module]
    assert json.loads(tool.run("show", "-json").stdout)["values"]["outputs"]
    (tool.folder / "changed.auto.tfvars.json").write_text(json.dumps(_CHANGED[module]))
    plan = planned(tool)
    assert {each["address"] for each in plan if "delete" in each["change"]["actions"]} == _REVISED[module]
    assert "aws_sns_topic_subscription.mail[0]" in {each["address"] for each in plan}
    tool.run("apply", "-auto-approve", "-input=false")
    if module == "aws-rotation":
        bucket = _with_an_entry(moto_url)
        refused = tool.run("destroy", "-auto-approve", "-input=false", check=False)
        assert refused.returncode != 0
        assert "prevent_destroy" in refused.stderr
        _take_out_of_the_state(tool)
    tool.run("destroy", "-auto-approve", "-input=false")
    assert tool.run("state", "list").stdout == ""
    if module == "aws-rotation":
        assert _key_of_the_entry(moto_url, bucket) == "Enabled"
    tool.run("apply", "-auto-approve", "-input=false")


def _client(url: str, service: str) -> Any:
    aws = Aws(url, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    return aws.client(service, region="eu-west-1")


def _with_an_entry(url: str) -> str:
    """The audit bucket; an entry is in it, under the bucket's own encryption and retention."""
    s3 = _client(url, "s3")
    [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if "-audit-" in each["Name"]]
    s3.delete_bucket_policy(Bucket=bucket)  # moto lets its condition on TLS pass for none, and refuses everybody
    s3.put_object(Bucket=bucket, Key="rotations/rotation/000001.json", Body=b"{}")
    return str(bucket)


def _take_out_of_the_state(tool: Terraform) -> None:
    """By the commands of README.md."""
    text = (FOLDER / "aws-rotation" / "README.md").read_text()
    [pattern] = re.findall(r"tofu state list \| grep -E '([^']+)' \| xargs tofu state rm", text)
    held = tool.run("state", "list").stdout.split()
    taken = [name for name in held if re.search(pattern, name)]
    assert {"aws_s3_bucket.audit", "aws_kms_key.audit"} <= set(taken)
    tool.run("state", "rm", *taken)


def _key_of_the_entry(url: str, bucket: str) -> str:
    """The state of the key that encrypts the entry, which can still be read."""
    s3 = _client(url, "s3")
    assert s3.get_object(Bucket=bucket, Key="rotations/rotation/000001.json")["Body"].read() == b"{}"
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    key = rules[0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    return str(_client(url, "kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


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
