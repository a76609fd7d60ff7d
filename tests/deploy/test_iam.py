"""Modules and documents grant what keepstep calls, and nothing that it does not: both are derived, and compared."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from keepstep.clouds.http import Response
from keepstep.stores.s3_errors import error_of
from keepstep_localcloud.server import LocalCloud
from tests.database_servers.postgres import PostgresServer
from tests.deploy.hcl import resources
from tests.deploy.iam import S3_ACTIONS, Right, actions_in, documented, granted, in_the_code, observed, switched_on
from tests.deploy.images import REPOSITORY
from tests.deploy.terraform import variables_alone
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


def actions(seen: set[Right]) -> set[str]:
    return {action for action, _ in seen}


class Rotated:
    """A credential with administrator, connection blob and audit log, rotated by a file's job."""

    def __init__(self, clouds: Clouds, server: PostgresServer, folder: Path) -> None:
        self.clouds, self.folder = clouds, folder
        self.scene = Scene(clouds, [server])
        self.salt = f"/iam/{uuid.uuid4().hex}"
        clouds.aws.client("ssm").put_parameter(Name=self.salt, Value="salt", Type="SecureString")
        self.blob, other = clouds.create(json.dumps({"dsn": ""}))
        self.log = bucket(clouds)
        more = {
            "audit": f'{{ log = "s3://{self.log}/rotations/", key = "aws-ssm:{self.salt}" }}',
            "connection_blob": f'{{ aws = "{self.blob}", oci = "{other}" }}',
        }
        self.scene.toml(folder, **more)

    def call(self, *words: str) -> int:
        ran = called(self.clouds, self.folder, *words)
        assert ran.returncode in (0, 1), ran.stderr
        return ran.returncode

    def role(self, thing: str) -> str:
        """What the module calls a secret, a parameter or a bucket."""
        named = {self.scene.arn: "rotated", self.blob: "rotated", self.salt: "salt", self.log: "audit"}
        return named.get(thing, "others" if thing.startswith("arn:aws:secretsmanager") else thing)


@pytest.fixture
def rotated(clouds: Clouds, postgres_server: PostgresServer, tmp_path: Path) -> Rotated:
    return Rotated(clouds, postgres_server, tmp_path)


def test_a_rotation(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """aws-rotation: four rotations, which prune versions, and an idle tick, with all that the module offers."""
    with observed(monkeypatch) as seen:
        for words in (*[["rotate", "--now"]] * 4, ["rotate"]):
            assert rotated.call(*words) == 0
    assert rotated.scene.is_in_step(5)
    assert granted("aws-rotation", {"function"}) == {(action, rotated.role(thing)) for action, thing in seen}
    written = {each for each in documented("docs/audit.md", "Rights") if each.startswith("s3:")}
    assert actions(seen) == documented("docs/rotation.md", "What it may do") | written | {"ssm:GetParameter"}
    assert actions(seen) == documented("deploy/tofu/aws-rotation/README.md", "What it may do")


def test_an_idle_tick(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that finds nothing due needs no right to write: only to look."""
    assert rotated.call("rotate", "--now") == 0
    with observed(monkeypatch) as seen:
        assert rotated.call("rotate") == 0
    assert actions(seen) & {"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"} == set()
    assert actions(seen) <= {action for action, _ in granted("aws-rotation", {"function"})}


def test_an_audit_log_is_verified(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """``audit verify`` reads the log and, since the key has changed, its older versions; it writes nothing."""
    assert rotated.call("rotate", "--now") == 0
    rotated.clouds.aws.client("ssm").put_parameter(Name=rotated.salt, Value="new", Overwrite=True)
    assert rotated.call("rotate", "--now") == 0
    with observed(monkeypatch) as seen:
        assert rotated.call("audit", "verify", f"s3://{rotated.log}/rotations/") == 0
    rights = documented("docs/audit.md", "Rights") - {"s3:PutObject"}
    assert actions(seen) == {right for right in rights if not right.startswith("secretsmanager:")}


def test_a_log_signed_by_a_secret_is_verified(
    clouds: Clouds, rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key in Secrets Manager it is the other half of what the page says."""
    arn = clouds.aws.client("secretsmanager").create_secret(Name=rotated.salt[1:], SecretString="salt")["ARN"]
    text = (rotated.folder / "keepstep.toml").read_text()
    (rotated.folder / "keepstep.toml").write_text(text.replace(f"aws-ssm:{rotated.salt}", arn))
    assert rotated.call("rotate", "--now") == 0
    clouds.aws.client("secretsmanager").put_secret_value(SecretId=arn, SecretString="new")
    assert rotated.call("rotate", "--now") == 0
    with observed(monkeypatch) as seen:
        assert rotated.call("audit", "verify", f"s3://{rotated.log}/rotations/") == 0
    rights = documented("docs/audit.md", "Rights") - {"s3:PutObject"}
    assert actions(seen) == {right for right in rights if not right.startswith("ssm:")}


def test_a_rotation_is_examined(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """``doctor`` calls what a rotation calls, and what docs/doctor.md says that it may call besides."""
    with observed(monkeypatch) as seen:
        rotated.call("doctor")
    of_its_own = documented("docs/doctor.md", "Permissions")
    assert actions(seen) - of_its_own <= {action for action, _ in granted("aws-rotation", {"function"})}
    assert actions(seen) >= {"secretsmanager:GetSecretValue", "ssm:GetParameter", "iam:SimulatePrincipalPolicy"}


def test_secrets(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``secrets apply`` reads values; ``drift`` lists versions too; docs/secrets.md says so of both services."""
    name = f"iam-{uuid.uuid4().hex}"
    clouds.aws.client("secretsmanager").create_secret(Name=name, SecretString="a")
    clouds.aws.client("ssm").put_parameter(Name=f"/{name}", Value="b", Type="SecureString")
    place = tmp_path / "run"
    (tmp_path / "map.csv").write_text(f"aws-sm:{name},{place}/a,0600,,\naws-ssm:/{name},{place}/b,0600,,\n")
    (tmp_path / "keepstep.toml").write_text('[job.s]\nkind = "secrets"\nmap = "map.csv"\n')
    with observed(monkeypatch) as applied:
        assert called(clouds, tmp_path, "secrets", "apply", "s").returncode == 3
    assert actions(applied) == {"secretsmanager:GetSecretValue", "ssm:GetParameter"}
    clouds.aws.client("secretsmanager").put_secret_value(SecretId=name, SecretString="c")
    clouds.aws.client("ssm").put_parameter(Name=f"/{name}", Value="d", Overwrite=True)
    with observed(monkeypatch) as compared:
        called(clouds, tmp_path, "secrets", "drift", "s")
    assert actions(applied | compared) == documented("docs/secrets.md", "Identity")
    with observed(monkeypatch) as looked:
        called(clouds, tmp_path, "doctor")
    assert actions(looked) <= actions(applied) | documented("docs/doctor.md", "Permissions")


_OPTIONS = [
    "",
    "--delete",
    "--compare checksum",
    "--delete --trash s3://{trash}/kept/",
    "--acl private",
    "--grants read=id=1",
    "--copy-props none",
    "--sse AES256 --storage-class STANDARD_IA",
    "--checksum-algorithm SHA256",
]


@pytest.mark.parametrize("words", _OPTIONS)
def test_a_sync_between_buckets(
    words: str, clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aws-sync grants what a run with these options calls, on each bucket; docs/sync.md says the same."""
    client = clouds.aws.client("s3")
    source, target, trash = bucket(clouds, "small"), bucket(clouds, "gone", "stays"), bucket(clouds)
    client.put_object(Bucket=source, Key="large", Body=b"x" * (17 << 20), Tagging="a=b")
    client.put_object(Bucket=source, Key="stays", Body=b"xxxx")
    _in_two_ways(clouds, source, target)
    given = words.format(trash=trash)
    with observed(monkeypatch) as seen:
        ran = called(clouds, tmp_path, "sync", f"s3://{source}/", f"s3://{target}/", *given.split())
    assert ran.returncode == 0, ran.stderr
    names = {source: "source", target: "target", trash: "trash"}
    rights = {(action, names[place]) for action, place in seen} | {(each, "target") for each in in_the_code(_RARE)}
    if "--trash" in words:
        rights.add(("s3:AbortMultipartUpload", "trash"))
    if words == "--copy-props none":  # fewer than are granted: tags stay behind
        tagging = {("s3:GetObjectTagging", "source"), ("s3:PutObjectTagging", "target")}
        assert rights & tagging == set()
        rights |= tagging
    assert switched_on("aws-sync", {"task"}, words) == rights
    assert _in_the_table(words) == rights


def _in_the_table(words: str) -> set[Right]:
    """What docs/sync.md says about these options."""
    text = (REPOSITORY / "docs" / "sync.md").read_text()
    rows = re.findall(r"^\| (always|`--.*?) \| the (source|target|trash) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) >= 7
    return {
        (action, place)
        for when, place, said in rows
        if when == "always" or any(option.split(" s3:")[0] in words for option in re.findall(r"`(.*?)`", when))
        for action in actions_in(said)
    }


def _in_two_ways(clouds: Clouds, source: str, target: str) -> None:
    """The same bytes on both sides, here in parts and there in one, so that no ETag tells."""
    client = clouds.aws.client("s3")
    body = b"z" * (6 << 20)
    upload = client.create_multipart_upload(Bucket=target, Key="parts")["UploadId"]
    parts = []
    for number, data in enumerate((body[: 5 << 20], body[5 << 20 :]), 1):
        made = client.upload_part(Bucket=target, Key="parts", UploadId=upload, PartNumber=number, Body=data)
        parts.append({"ETag": made["ETag"], "PartNumber": number})
    client.put_object(Bucket=source, Key="parts", Body=body)
    whole = {"Parts": parts}
    client.complete_multipart_upload(Bucket=target, Key="parts", UploadId=upload, MultipartUpload=whole)


def test_a_sync_is_examined(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``doctor`` needs for a sync what the sync needs, and may ask IAM's simulator."""
    source, target = bucket(clouds, "a"), bucket(clouds)
    job = f'[job.s]\nkind = "sync"\nsource = "s3://{source}/"\ntarget = "s3://{target}/"\nparams = "--delete"\n'
    (tmp_path / "keepstep.toml").write_text(job)
    with observed(monkeypatch) as seen:
        called(clouds, tmp_path, "doctor")
    granted_to_it = {action for action, _ in switched_on("aws-sync", {"task"}, "--delete")}
    assert actions(seen) <= granted_to_it | documented("docs/doctor.md", "Permissions")


def test_options_are_recognized(tmp_path: Path) -> None:
    """Terraform finds the options in ``sync_params``, however they are written, and the image's repository."""
    tool = variables_alone("aws-sync", tmp_path)
    asked = "[local.has_contents, local.has_acl, local.trash, local.repository, local.deadline_minutes]"
    cases: dict[str, list[Any]] = {
        "": [False, False, None],
        "--delete --compare checksum": [True, False, None],
        "--compare=checksum --acl private": [True, True, None],
        "--compare size --grants read=id=1": [False, True, None],
        "--trash s3://b/kept/ --delete": [False, False, ["b", "kept/"]],
        "--trash=s3://b/": [False, False, ["b", ""]],
    }
    for words, expected in cases.items():
        answer = tool.console(f"jsonencode({asked})", sync_params=words)
        repository = ["123456789012", "eu-west-1", "keepstep"]
        assert json.loads(json.loads(answer)) == [*expected, repository, 350]


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
    needed = actions(seen) | in_the_code(_RARE)
    assert {action for action, _ in granted("oci-cost-reports", {"write"})} == needed
    assert documented("docs/cost-reports.md", in_json=True) == needed
    assert documented("deploy/tofu/oci-cost-reports/README.md") & needed == needed


@pytest.mark.parametrize("operation", sorted(S3_ACTIONS))
def test_a_refusal_names_the_right_that_is_missing(operation: str) -> None:
    """The statement in the hint is for the action that IAM was asked about, on the bucket or on its objects."""
    refusal = Response(403, {}, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
    [action] = S3_ACTIONS[operation]
    thing = "arn:aws:s3:::bucket" + ("" if action == "s3:ListBucket" else "/*")
    statement = {"Effect": "Allow", "Action": action, "Resource": thing}
    assert (error_of(refusal, operation, "bucket", "key").hint or "").endswith(json.dumps(statement))


_SAID = (
    "User: arn:aws:sts::111122223333:assumed-role/keepstep-sync-task/5f is not authorized to perform: {} "
    "on resource: &quot;{}&quot; because no identity-based policy allows the {} action"
)


@pytest.mark.parametrize(
    ("action", "thing", "is_believed"),
    [
        ("s3:GetObjectTagging", "arn:aws:s3:::source/a", True),
        ("kms:Decrypt", "arn:aws:kms:eu-west-1:111122223333:key/5f", True),
        ("s3:DeleteBucket", "arn:aws:s3:::target", False),
        ("s3:GetObject", "arn:aws:s3:::*", False),
    ],
)
def test_what_the_service_says_is_missing_is_asked_for(action: str, thing: str, is_believed: bool) -> None:
    """A copy may lack a right at its source, and S3 says so; no server talks people into granting more."""
    message = _SAID.format(action, thing, action)
    refusal = Response(403, {}, f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>".encode())
    hint = error_of(refusal, "CopyObject", "target", "key").hint or ""
    said = json.dumps({"Effect": "Allow", "Action": action, "Resource": thing})
    own = json.dumps({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::target/*"})
    assert hint.endswith(said if is_believed else own)


def test_no_policy_is_wider_than_a_name() -> None:
    """No action has a star; where a resource is a star, the module says why."""
    for module in ("aws-rotation", "aws-sync", "oci-cost-reports"):
        for kind, name, content in resources(module):
            if kind != "data.aws_iam_policy_document" or name in ("key", "audit", "audit_key"):
                continue
            text = json.dumps(content)
            assert not re.search(r'"[a-z0-9]+:\*"', text), f"{module} {name}"
            is_explained = name in ("platform", "execution")
            assert ('"*"' in text) == is_explained, f"{module} {name}"


def test_services_act_for_this_account_alone() -> None:
    """Whatever a service may do, it may for this account's own things, but for Lambda, which says no such thing."""
    trusting = 0
    for module in ("aws-rotation", "aws-sync"):
        for kind, name, content in resources(module):
            for statement in content.get("statement", ()) if kind == "data.aws_iam_policy_document" else ():
                services = [each for each in statement.get("principals", ()) if each["type"] == "Service"]
                if not services or name == "assumed_by_lambda":
                    continue
                trusting += 1
                said = {condition["variable"] for condition in statement.get("condition", ())}
                assert said & {"aws:SourceArn", "kms:EncryptionContext:aws:logs:arn"}, f"{module} {name}"
    assert trusting >= 7


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
        "use ons-topics",
        "use metrics",
        "read objects",
        "manage objects",
        "manage functions-family",
    }
