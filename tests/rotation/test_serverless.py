"""A rotation by a Lambda function in its emulator, and by an OCI Function on its socket: variables, and no file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.database_servers.postgres import PostgresServer
from tests.hosts.serverless import lambda_function, oci_function
from tests.rotation.fixture import FIRST, Clouds, Scene

pytestmark = pytest.mark.long


@pytest.fixture
def scene(clouds: Clouds, postgres_server: PostgresServer) -> Scene:
    return Scene(clouds, [postgres_server])


def variables(scene: Scene, server: PostgresServer, minutes: str) -> dict[str, str]:
    """The seed's, and where both clouds are."""
    where = server.endpoint
    return scene.clouds.env | {
        "ROTATION_MINUTES": minutes,
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


def test_lambda_rotates(scene: Scene, postgres_server: PostgresServer, tmp_path: Path) -> None:
    """What is due is rotated in both clouds and the database; the answer says so, and no password is anywhere."""
    time.sleep(1.5)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    with lambda_function(bundle, variables(scene, postgres_server, "0.02"), timeout=300) as function:
        error, report = function.invoke({"source": "aws.scheduler"})
        assert (error, report["kind"], report["counts"]["rotate"]) == ("", "rotate", 1), json.dumps(report)
        assert scene.is_in_step(2)
        text = function.log.read_text() + json.dumps(report)
    current = scene.aws()
    assert current
    assert FIRST not in text and current["password"] not in text
    assert [path.name for path in bundle.iterdir()] == ["lambda.log"]


def test_a_function_looks_and_leaves_alone_what_is_not_due(
    scene: Scene, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Nothing is written; then, once it is due, the same function rotates."""
    early, late = tmp_path / "early", tmp_path / "late"
    early.mkdir()
    late.mkdir()
    with oci_function(early, **variables(scene, postgres_server, "1440")) as function:
        status, report = function.call("{}")
        assert (status, report["kind"], report["counts"].get("rotate", 0)) == (200, "rotate", 0), report
        assert scene.is_in_step(1)
    time.sleep(1.5)
    with oci_function(late, **variables(scene, postgres_server, "0.02")) as function:
        status, report = function.call("{}")
        assert status == 500 and "there is no time for a single step" in report["failures"][0]["error"], report
        assert scene.is_in_step(1)
        status, report = function.call("{}", seconds=300)
        assert (status, report["counts"]["rotate"]) == (200, 1), report
        assert scene.is_in_step(2)
