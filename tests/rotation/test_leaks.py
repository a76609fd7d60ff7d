"""No password stands anywhere but in the secrets and, as a verifier, in the databases."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.database_servers.mariadb import MariadbServer
from tests.database_servers.postgres import PostgresServer
from tests.rotation.fixture import FIRST, Scene
from tests.secrets.test_leaks import command_lines

Real = Callable[..., Scene]


def forms(password: str) -> list[str]:
    """How it might be written somewhere."""
    return [
        password,
        base64.b64encode(password.encode()).decode().rstrip("="),
        password.encode().hex(),
        quote(password),
    ]


class Watch:
    """Everything that the commands say, and the command lines of every process meanwhile."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.folder = folder
        self.said: list[tuple[str, str]] = []

    def run(self, *words: str) -> int:
        command = [sys.executable, "-m", "keepstep", *words]
        pipe = subprocess.PIPE
        env = {**os.environ, **self.scene.clouds.env}
        with subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=0.05)
                    break
                except subprocess.TimeoutExpired:
                    self.said.append(("the process list", "\n".join(command_lines())))
        self.said.append((" ".join(words), out + err))
        return process.returncode


@pytest.fixture
def audited(real: Real, tmp_path: Path) -> Scene:
    """A credential whose rotations are recorded in a bucket."""
    scene = real()
    aws = scene.clouds.aws
    bucket = f"audit-{scene.user.replace('_', '-')}"
    aws.client("s3").create_bucket(Bucket=bucket)
    aws.client("ssm").put_parameter(Name=f"/{bucket}/salt", Value="salt-of-the-audit", Type="SecureString")
    audit = f'{{ log = "s3://{bucket}/rotations/", key = "aws-ssm:/{bucket}/salt" }}'
    scene.toml(tmp_path, audit=audit)
    scene.others["audit"] = bucket
    return scene


def test_nothing_leaks(
    audited: Scene, tmp_path: Path, postgres_server: PostgresServer, mariadb_server: MariadbServer
) -> None:
    """Planned, rotated, failing halfway, idle: no password in what is said, written, logged, listed or recorded."""
    scene, watch = audited, Watch(audited, tmp_path)
    passwords = [FIRST]
    assert watch.run("rotate", "app", "--plan", "--now") == 0
    assert watch.run("--verbose", "rotate", "app", "--now", "--json") == 0
    passwords.append((scene.aws() or {})["password"])
    scene.clouds.aws.fault("UpdateSecretVersionStage", {"status": 500}, times=9)
    assert watch.run("--verbose", "rotate", "app", "--now") == 1
    scene.clouds.aws.clear_faults()
    passwords.append((scene.aws("PENDING") or {})["password"])
    assert watch.run("rotate", "app") == 0
    for server in (postgres_server, mariadb_server):
        passwords.append(server.admin.password.reveal())
    s3 = scene.clouds.aws.client("s3")
    bucket = scene.others["audit"]
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    entries = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
    assert [json.loads(entry)["kind"] for entry in entries] == ["intent", "result"] * 3
    watch.said += [("the audit log", entry) for entry in entries]
    watch.said.append(("PostgreSQL's log", postgres_server.log.read_text(errors="replace")))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    watch.said += [(str(path), path.read_bytes().decode("latin-1")) for path in files]
    check(watch.said, [password for password in passwords if password != FIRST])
    own = [(where, text) for where, text in watch.said if where != "PostgreSQL's log"]  # the scene was set there
    check(own, [FIRST])


def check(said: list[tuple[str, str]], passwords: list[str]) -> None:
    for where, text in said:
        for password in passwords:
            assert not [form for form in forms(password) if form in text], f"a password stands in {where}"


def test_a_leak_would_be_found() -> None:
    """The test itself notices a password in an output."""
    with pytest.raises(AssertionError, match="somewhere"):
        check([("somewhere", f"xx{forms('S3cret-word')[1]}yy")], ["S3cret-word"])
