"""``keepstep rotate`` as people and schedulers call it: jobs, variables, plans, refusals, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keepstep.rotation.changes import Strategy
from tests.database_servers.postgres import PostgresServer
from tests.rotation.fixture import FIRST, Clouds, Scene, called, in_process

Real = Callable[..., Scene]


@pytest.fixture
def scene(clouds: Clouds, postgres_server: PostgresServer) -> Scene:
    """A credential of a real PostgreSQL, whose users take turns."""
    return Scene(clouds, [postgres_server])


def untouched(scene: Scene) -> dict[str, Any]:
    """All that a rotation could have changed."""
    versions = scene.clouds.vaults.list_secret_versions(scene.ocid).data
    return {"aws": scene.stages(), "oci": [(version.version_number, version.stages) for version in versions]}


def variables_of(scene: Scene, server: PostgresServer) -> dict[str, str]:
    """What a user of the seed sets for this credential."""
    where = server.endpoint
    return {
        "ROTATION_MINUTES": "20",
        "AWS_SECRET_ID": scene.arn,
        "OCI_SECRET_OCID": scene.ocid,
        "RDS_ENGINE": "postgres",
        "RDS_HOST": where.host,
        "RDS_DBNAME": where.name,
        "RDS_PORT": str(where.port),
        "RDS_CA": where.ca or "",
        "ADMIN_SECRET_ID": scene.admin_secret(server),
        "ROTATION_STRATEGY": "alternating",
    }


def test_a_job_is_rotated(scene: Scene, tmp_path: Path) -> None:
    """The job of keepstep.toml is rotated with --now, then nothing is left to do; the report says what was done."""
    scene.toml(tmp_path)
    done = in_process(scene.clouds, tmp_path, "rotate", "app", "--now", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kind"] == "rotate"
    assert report["counts"]["rotate"] == 1
    codes = [re.findall(r"\((\w+)\)", action["reason"])[0] for action in report["actions"]]
    assert codes == "S1 S2 S3 S4 S5 S5b".split()
    assert scene.is_in_step(2)
    again = scene.run(tmp_path, "rotate", "app", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["counts"]["step"] == 0
    assert scene.is_in_step(2)


def test_a_plan_writes_nothing(scene: Scene, tmp_path: Path) -> None:
    """--plan prints what there is, the row and the exact call, and no password; nothing is written."""
    scene.toml(tmp_path)
    before = untouched(scene)
    planned = scene.run(tmp_path, "rotate", "app", "--plan", "--now")
    assert planned.returncode == 0, planned.stderr
    assert f"generation 1 of {scene.user}" in planned.stdout
    assert "S1" in planned.stdout
    assert f"PutSecretValue SecretId={scene.arn} ClientRequestToken=" in planned.stdout
    assert FIRST not in planned.stdout + planned.stderr
    assert untouched(scene) == before
    idle = scene.run(tmp_path, "rotate", "app", "--plan")
    assert "S0" in idle.stdout


def test_the_variables_of_the_seed(scene: Scene, tmp_path: Path, postgres_server: PostgresServer) -> None:
    """With no file at all the variables say what to rotate, and nothing is written to the folder or the home."""
    where = postgres_server.endpoint
    arn, ocid = scene.clouds.create("{}")
    variables = variables_of(scene, postgres_server) | {
        "AWS_CONN_BLOB_SECRET_ID": arn,
        "OCI_CONN_BLOB_SECRET_OCID": ocid,
    }
    empty = tmp_path / "empty"
    empty.mkdir()
    done = in_process(scene.clouds, empty, "rotate", "--now", env=variables)
    assert done.returncode == 0, done.stderr
    assert scene.is_in_step(2)
    assert list(empty.iterdir()) == []
    current = scene.aws()
    assert current
    blob = json.loads(scene.clouds.sm.get_secret_value(SecretId=arn)["SecretString"])
    assert (blob["gen"], blob["username"], blob["password"]) == (2, current["username"], current["password"])
    login = f"{current['username']}:{current['password']}"
    assert blob["databases"][0]["url"] == f"postgresql://{login}@{where.host}:{where.port}/app?sslmode=verify-full"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "AWS_SECRET_ID"),
        ({"AWS_SECRET_ID": "x"}, "OCI_SECRET_OCID"),
        ({"AWS_SECRET_ID": "x", "OCI_SECRET_OCID": "ocid1.vaultsecret.oc1.iad.a"}, "RDS_HOST"),
        ({"ROTATION_MINUTES": "often"}, "ROTATION_MINUTES"),
        ({"RDS_ENGINE": "db2"}, "RDS_ENGINE"),
        ({"AUDIT_LOG": "s3://audit/rotations/"}, "AUDIT_HASH_SALT_SSM"),
        ({"ROTATION_STRATEGY": "alternating"}, "ADMIN_SECRET_ID"),
        ({"ROTATION_STRATEGY": "dual"}, "alternating"),
    ],
)
def test_variables_that_do_not_suffice(
    clouds: Clouds, tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    """What is missing or wrong is named, with exit code 5."""
    complete = {
        "AWS_SECRET_ID": "no-such",
        "OCI_SECRET_OCID": "ocid1.vaultsecret.oc1.iad.a",
        "RDS_HOST": "localhost",
        "RDS_DBNAME": "app",
    }
    is_whole = len(variables) == 1 and "AWS_SECRET_ID" not in variables
    given = {**complete, **variables} if is_whole else variables
    refused = called(clouds, tmp_path, "rotate", env=given)
    assert refused.returncode == 5
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr


def test_users_that_differ_between_the_clouds(scene: Scene, tmp_path: Path) -> None:
    """Another username in OCI is refused with exit code 4 and both names; nothing is written."""
    scene.toml(tmp_path)
    scene.clouds.put_oci(scene.ocid, scene.payload(FIRST, gen=1, user="somebody"))
    before = untouched(scene)
    refused = scene.run(tmp_path, "rotate", "app", "--now")
    assert refused.returncode == 4
    assert scene.user in refused.stderr and "somebody" in refused.stderr
    assert untouched(scene) == before


def test_a_second_rotator_on_aws(scene: Scene, tmp_path: Path) -> None:
    """A secret that Secrets Manager rotates itself is refused, also when nothing is due."""
    scene.toml(tmp_path)
    function = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
    scene.clouds.sm.rotate_secret(SecretId=scene.arn, RotationLambdaARN=function, RotateImmediately=False)
    before = untouched(scene)
    for words in ([], ["--now"], ["--plan"]):
        refused = scene.run(tmp_path, "rotate", "app", *words)
        assert refused.returncode == 4
        assert "rotated by Secrets Manager" in refused.stderr
    assert untouched(scene) == before


def test_a_second_rotator_on_oci(scene: Scene, tmp_path: Path) -> None:
    """A secret that OCI Vault rotates itself is refused."""
    scene.toml(tmp_path)
    models = scene.clouds.models
    target = models.FunctionTargetSystemDetails(function_id="ocid1.fnfunc.oc1.iad.a")
    config = models.RotationConfig(
        target_system_details=target, is_scheduled_rotation_enabled=True, rotation_interval="P30D"
    )
    scene.clouds.vaults.update_secret(scene.ocid, models.UpdateSecretDetails(rotation_config=config))
    before = untouched(scene)
    refused = scene.run(tmp_path, "rotate", "app")
    assert refused.returncode == 4
    assert "rotated by OCI Vault" in refused.stderr
    assert untouched(scene) == before


@pytest.mark.parametrize("cloud", ["aws", "oci"])
def test_a_secret_pending_deletion(scene: Scene, tmp_path: Path, cloud: str) -> None:
    """A secret that is about to be deleted is refused, and the hint says how to get it back."""
    scene.toml(tmp_path)
    if cloud == "aws":
        scene.clouds.sm.delete_secret(SecretId=scene.arn)
    else:
        details = scene.clouds.models.ScheduleSecretDeletionDetails()
        scene.clouds.vaults.schedule_secret_deletion(scene.ocid, details)
    refused = scene.run(tmp_path, "rotate", "app", "--now")
    assert refused.returncode == 4
    assert "deletion" in refused.stderr and "hint: " in refused.stderr


def test_a_secret_that_is_missing(scene: Scene, tmp_path: Path) -> None:
    """A secret that is not there is never created: exit code 5, and it is named."""
    scene.arn = scene.arn.replace("rotation-", "no-such-")
    scene.toml(tmp_path)
    refused = scene.run(tmp_path, "rotate", "app", "--now")
    assert refused.returncode == 5
    assert "no-such-" in refused.stderr


def test_a_partner_that_does_not_exist(clouds: Clouds, postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Users cannot take turns where there is only one: refused before anything is staged."""
    scene = Scene(clouds, [postgres_server], strategy=Strategy.SINGLE)
    scene.strategy = Strategy.ALTERNATING
    scene.toml(tmp_path)
    before = untouched(scene)
    refused = scene.run(tmp_path, "rotate", "app", "--now")
    assert refused.returncode == 4
    assert scene.partner in refused.stderr
    assert untouched(scene) == before


def test_a_database_that_is_away(scene: Scene, tmp_path: Path) -> None:
    """A database that cannot be reached fails the run with exit code 1; what is pending goes on when it is back."""
    path = scene.toml(tmp_path)
    text = path.read_text()
    port = scene.members[0].endpoint.port  # type: ignore[union-attr]
    path.write_text(text.replace(f"port = {port}", "port = 1"))
    before = untouched(scene)
    failed = scene.run(tmp_path, "rotate", "app", "--now")
    assert failed.returncode == 1
    assert "unreachable" in failed.stderr and "Traceback" not in failed.stderr
    assert untouched(scene) == before
    path.write_text(text)
    assert scene.run(tmp_path, "rotate", "app", "--now").returncode == 0
    assert scene.is_in_step(2)


def test_an_authority_that_is_not_named_in_variables(
    scene: Scene, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """A certificate of an unknown authority: the hint is RDS_CA, for who uses variables; nothing is written."""
    given = variables_of(scene, postgres_server)
    del given["RDS_CA"]
    before = untouched(scene)
    failed = in_process(scene.clouds, tmp_path, "rotate", "--now", env=given)
    assert failed.returncode == 1
    [hint] = re.findall("hint: (.*)", failed.stderr)
    assert "RDS_CA" in hint and "next run goes on" not in failed.stderr
    assert untouched(scene) == before


def test_an_authority_that_is_not_named_in_a_file(scene: Scene, tmp_path: Path) -> None:
    """The hint is ``ca``, for who uses keepstep.toml, and no variable that they do not have."""
    path = scene.toml(tmp_path)
    path.write_text(re.sub(r",? ?ca = \"[^\"]*\"|\nca = \"[^\"]*\"", "", path.read_text()))
    assert "ca = " not in path.read_text()
    failed = scene.run(tmp_path, "rotate", "app", "--now")
    assert failed.returncode == 1
    [hint] = re.findall("hint: (.*)", failed.stderr)
    assert re.search(r"\bca\b", hint) and "RDS_CA" not in hint and "next run goes on" not in failed.stderr


@pytest.mark.parametrize(
    ("changed", "names", "keys"),
    [
        ({"RDS_DBNAME": ""}, "RDS_DBNAME", "name"),
        ({"RDS_HOST": ""}, "RDS_HOST", "host"),
        ({"RDS_PORT": "many"}, "RDS_PORT", "port"),
        ({"ROTATION_STRATEGY": "sometimes"}, "ROTATION_STRATEGY", "job.rotation"),
        ({"OCI_SECRET_OCID": "aws-sm:x"}, "OCI_SECRET_OCID", "oci_secret"),
        ({"AUDIT_LOG": "/var/log/audit", "AUDIT_HASH_SALT_SSM": "/salt"}, "AUDIT_LOG", "audit.log"),
        ({"AUDIT_LOG": "s3://audit/", "AUDIT_HASH_SALT_SSM": "aws-ssm:a b"}, "AUDIT_HASH_SALT_SSM", "audit.key"),
        ({"AWS_SECRET_ID": "no such"}, "AWS_SECRET_ID", "aws_secret"),
        ({"AWS_CONN_BLOB_SECRET_ID": "oci-vault:x"}, "AWS_CONN_BLOB_SECRET_ID", "connection_blob"),
    ],
)
def test_users_of_variables_are_told_the_names_of_variables(
    clouds: Clouds, tmp_path: Path, changed: dict[str, str], names: str, keys: str
) -> None:
    """A mistake is named by the variable that was set, and by no key of a file that nobody wrote."""
    given = {
        "AWS_SECRET_ID": "no-such",
        "OCI_SECRET_OCID": "ocid1.vaultsecret.oc1.iad.a",
        "RDS_HOST": "localhost",
        "RDS_DBNAME": "app",
        "RDS_PORT": "5432",
    }
    refused = called(clouds, tmp_path, "rotate", env=given | changed)
    assert refused.returncode == 5
    assert names in refused.stderr, refused.stderr
    assert keys not in re.sub(r"hostname|RDS_\w+", "", refused.stderr) or keys in names.lower()
    assert "Traceback" not in refused.stderr


NEWLINE = "app\nerror: everything is lost\x1b[2J"


@pytest.mark.parametrize("words", [(), ("--now",), ("--plan",), ("--plan", "--now")])
def test_a_username_begins_no_line(scene: Scene, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A username with a newline and a control sequence, in both secrets: they are shown as escapes, in one line."""
    scene.toml(tmp_path)
    payload = scene.payload(FIRST, gen=1, user=NEWLINE)
    scene.clouds.sm.put_secret_value(SecretId=scene.arn, SecretString=payload)
    scene.clouds.put_oci(scene.ocid, payload)
    result = scene.run(tmp_path, "rotate", "app", *words)
    said = result.stdout + result.stderr
    assert result.returncode == (0 if "--plan" in words else 5)
    assert "everything is lost" in said
    assert not [line for line in said.splitlines() if line.startswith("error: everything")]
    assert "\x1b" not in said and "Traceback" not in said
