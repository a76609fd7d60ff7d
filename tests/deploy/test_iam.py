"""The modules grant what keepstep calls, and nothing that it does not: both are derived, and compared."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from keepstep.localcloud.server import LocalCloud
from tests.database_servers.postgres import PostgresServer
from tests.deploy.hcl import resources
from tests.deploy.iam import granted, in_the_code, observed
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds
from tests.rotation.fixture import Clouds, Scene, called

_RARE = {"AbortMultipartUpload", "ListParts"}
"""After a run that was cut short; what these need is taken from the code."""


def bucket(clouds: Clouds, *keys: str, size: int = 3) -> str:
    name = f"iam-{uuid.uuid4().hex[:10]}"
    client = clouds.aws.client("s3")
    client.create_bucket(Bucket=name)
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"x" * size)
    return name


def test_a_rotation(
    clouds: Clouds, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aws-rotation: two rotations and an idle tick, with administrator, connection blob and audit log."""
    scene = Scene(clouds, [postgres_server])
    salt = f"/iam/{uuid.uuid4().hex}"
    clouds.aws.client("ssm").put_parameter(Name=salt, Value="salt", Type="SecureString")
    blob, other = clouds.create(json.dumps({"dsn": ""}))
    log = bucket(clouds)
    more = {
        "audit": f'{{ log = "s3://{log}/rotations/", key = "aws-ssm:{salt}" }}',
        "connection_blob": f'{{ aws = "{blob}", oci = "{other}" }}',
    }
    scene.toml(tmp_path, **more)
    with observed(monkeypatch) as seen:
        for words in (["rotate", "--now"], ["rotate", "--now"], ["rotate"]):
            ran = called(clouds, tmp_path, *words)
            assert ran.returncode == 0, ran.stderr
    assert scene.is_in_step(3)
    assert granted("aws-rotation", {"function"}) == seen


def test_a_sync_between_buckets(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """aws-sync: small objects, one in parts, one that is new, one that is deleted."""
    source = bucket(clouds, "small")
    clouds.aws.client("s3").put_object(Bucket=source, Key="large", Body=b"x" * (17 << 20), Tagging="a=b")
    target = bucket(clouds, "gone", "stays")
    clouds.aws.client("s3").put_object(Bucket=source, Key="stays", Body=b"xxxx")
    with observed(monkeypatch) as seen:
        ran = called(clouds, tmp_path, "sync", f"s3://{source}/", f"s3://{target}/", "--delete")
    assert ran.returncode == 0, ran.stderr
    assert granted("aws-sync", {"task"}) == seen | in_the_code(_RARE)


def test_cost_reports(
    clouds: Clouds, rotation_cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oci-cost-reports: from OCI, a small report and one that is sent in parts; two runs."""
    import oci

    config = oci.config.from_file(str(rotation_cloud.config))
    client = oci.object_storage.ObjectStorageClient(config, service_endpoint=rotation_cloud.endpoint)
    space, name = client.get_namespace().data, f"iam-{uuid.uuid4().hex[:10]}"
    details = oci.object_storage.models.CreateBucketDetails(name=name, compartment_id=rotation_cloud.tenancy)
    client.create_bucket(space, details)
    client.put_object(space, name, "FOCUS Reports/2026/11/22/small.csv.gz", b"1")
    client.put_object(space, name, "FOCUS Reports/2026/11/22/large.csv.gz", b"1" * (17 << 20))
    target = bucket(clouds)
    with observed(monkeypatch) as seen:
        for _ in range(2):
            ran = called(clouds, tmp_path, "sync", f"oci://{name}@{space}/", f"s3://{target}/oci/")
            assert ran.returncode == 0, ran.stderr
    assert granted("oci-cost-reports", {"write"}) == seen | in_the_code(_RARE)


def test_no_policy_is_wider_than_a_name() -> None:
    """No action has a star; where a resource is a star, the module says why."""
    for module in ("aws-rotation", "aws-sync", "oci-cost-reports"):
        for kind, name, content in resources(module):
            if kind != "data.aws_iam_policy_document" or name in ("key", "audit", "audit_key"):
                continue
            text = json.dumps(content)
            assert not re.search(r'"[a-z0-9]+:\*"', text), f"{module} {name}"
            assert ('"*"' in text) == (name == "platform"), f"{module} {name}"


@pytest.mark.parametrize("module", ["oci-cost-reports", "oci-rotation", "oci-secrets-host"])
def test_oci_policies_name_what_they_are_about(module: str) -> None:
    """Each statement is about one secret, key, bucket or schedule; only cost reports are Oracle's own to limit."""
    text = " ".join(json.dumps(content) for kind, _, content in resources(module) if kind == "oci_identity_policy")
    statements = re.findall(r"allow (.*?)'(?:\}|\\?\"|\$|,)", text)
    assert statements
    for statement in statements:
        assert " where" in statement or "local.where" in statement, statement
    assert "manage all-resources" not in text
    assert set(re.findall(r" to (\w+ [\w-]+) in", text)) <= {
        "read secret-bundles",
        "use secrets",
        "manage secret-versions",
        "use keys",
        "read objects",
        "manage objects",
        "manage functions-family",
    }
