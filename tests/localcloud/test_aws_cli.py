"""The real aws CLI and rclone work with the local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.servers import Aws, program


@pytest.fixture
def bucket(moto: Aws) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    moto.client("s3").create_bucket(Bucket=name)
    return name


def run(moto: Aws, *command: str) -> str:
    env = {**os.environ, **moto.env, "AWS_PAGER": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_aws_sync_there_and_back(moto: Aws, bucket: str, tmp_path: Path) -> None:
    """``aws s3 sync`` sends a tree with a large file in parts, finds nothing to do again, and brings it back."""
    aws, source, target = program("aws", "the aws CLI"), tmp_path / "source", tmp_path / "target"
    (source / "sub folder").mkdir(parents=True)
    (source / "sub folder" / "ü+%.txt").write_text("hello")
    (source / "big").write_bytes(os.urandom(9 << 20))
    for path in (source / "sub folder" / "ü+%.txt", source / "big"):
        os.utime(
            path, (1.7e9, 1.7e9)
        )  # S3 shows whole seconds: a file of this second would be newer than its object
    assert "upload:" in run(moto, aws, "s3", "sync", str(source), f"s3://{bucket}/p")
    assert run(moto, aws, "s3", "sync", str(source), f"s3://{bucket}/p") == ""
    run(moto, aws, "s3", "sync", f"s3://{bucket}/p", str(target))
    assert (target / "big").read_bytes() == (source / "big").read_bytes()
    assert (target / "sub folder" / "ü+%.txt").read_text() == "hello"


def test_aws_secrets(moto: Aws) -> None:
    """``aws secretsmanager`` writes a new version of a secret and reads it."""
    aws, name = (program("aws", "the aws CLI"), "secretsmanager"), f"cli-{uuid.uuid4().hex}"
    moto.client("secretsmanager").create_secret(Name=name, SecretString="one")
    put = ("put-secret-value", "--secret-id", name, "--secret-string", "two")
    version = json.loads(run(moto, *aws, *put))["VersionId"]
    got = json.loads(run(moto, *aws, "get-secret-value", "--secret-id", name))
    assert (got["SecretString"], got["VersionId"], got["VersionStages"]) == ("two", version, ["AWSCURRENT"])


def test_rclone_sync_and_check(moto: Aws, bucket: str, tmp_path: Path) -> None:
    """rclone copies a tree with parts, checks it by its hashes, and lists hostile names as they are."""
    rclone, source = program("rclone", "rclone"), tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "b c").write_text("hello")
    (source / "big").write_bytes(os.urandom(11 << 20))
    options = (
        "provider=Other,env_auth=true,force_path_style=true,chunk_size=5Mi,upload_cutoff=6Mi,no_check_bucket=true"
    )
    remote = f":s3,{options},endpoint='{moto.url}':{bucket}"
    quiet = ("--config", os.devnull, "--retries", "1")
    run(moto, rclone, "sync", str(source), remote, *quiet)
    run(moto, rclone, "check", str(source), remote, *quiet)
    moto.client("s3").put_object(Bucket=bucket, Key="dir//x+%", Body=b"")
    assert sorted(run(moto, rclone, "lsf", "-R", "--files-only", remote, *quiet).split("\n")[:-1]) == [
        "a/b c",
        "big",
        "dir//x+%",
    ]
