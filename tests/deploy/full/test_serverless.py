"""The variants for Lambda and OCI Functions, under the real runtime emulator and the real fdk."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.deploy.images import Images
from tests.hosts.serverless import Function, _listens, emulator
from tests.servers import Aws, free_ports, program, running, wait_until

_TOML = """
[job.copy]
kind = "sync"
source = "s3://{bucket}/in/"
target = "s3://{bucket}/out/"
"""


@pytest.fixture
def bucket(moto: Aws, tmp_path: Path) -> str:
    """With one object, and a keepstep.toml beside it that copies it."""
    name = f"serverless-{uuid.uuid4().hex[:10]}"
    client = moto.client("s3")
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="in/a", Body=b"12345")
    client.put_object(Bucket=name, Key="keepstep.toml", Body=_TOML.format(bucket=name).encode())
    return name


def options(name: str, moto: Aws, bucket: str, *more: str) -> list[str]:
    """Where the configuration is, is the value of a secret: so it is seen that secrets become variables."""
    moto.client("secretsmanager").create_secret(Name=bucket, SecretString=f"s3://{bucket}/keepstep.toml")
    variables = {**moto.env, "KEEPSTEP_SECRETS": f"KEEPSTEP_CONFIG=aws-sm:{bucket}"}
    given = [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
    return ["run", "--rm", "--read-only", "--name", name, *given, *more]


def copied(moto: Aws, bucket: str) -> list[str]:
    return [
        item["Key"] for item in moto.client("s3").list_objects_v2(Bucket=bucket, Prefix="out/").get("Contents", ())
    ]


def test_lambda(store: Images, debian: str, moto: Aws, bucket: str, tmp_path: Path) -> None:
    """Under the Runtime Interface Emulator, as Lambda's user, an invocation runs the job and returns its report."""
    image = store.build("keepstep-lambda", base=debian, target="lambda", extras="aws,oci")
    front, api = free_ports(2)
    places = [
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{front}",
        "--runtime-api-address",
        f"127.0.0.1:{api}",
    ]
    more = ["--user", "993:990", "--volume", f"{emulator()}:/rie:ro", "--entrypoint", "/rie"]
    config = store.inspect(image)["Config"]
    command = options("lambda", moto, bucket, *more, "--env", "AWS_LAMBDA_FUNCTION_TIMEOUT=60")
    log = tmp_path / "log"
    words = [program("podman", "Podman"), *command, image, *places, *config["Entrypoint"], *config["Cmd"]]
    with running(words, log=log, env=store.env) as process:
        try:
            wait_until(lambda: _listens(front), process, timeout=60, log=log)
            env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
            answer = (
                Aws(f"http://127.0.0.1:{front}", env)
                .client("lambda")
                .invoke(FunctionName="function", Payload=b"{}")
            )
            report = json.loads(answer["Payload"].read())
            assert (report["job"], report["exit_code"]) == ("copy", 0), log.read_text()
            assert copied(moto, bucket) == ["out/a"]
        finally:
            store.podman("rm", "--force", "--time", "0", "lambda", check=False)


def test_function(store: Images, debian: str, moto: Aws, bucket: str, tmp_path: Path) -> None:
    """Over its socket, as the user of OCI Functions, a call runs the job and answers 200 with the report."""
    image = store.build("keepstep-function", base=debian, target="function", extras="aws,oci")
    iofs = tmp_path / "iofs"
    iofs.mkdir()
    iofs.chmod(0o777)
    places = {"FN_LISTENER": "unix:/iofs/fn.sock", "FN_FORMAT": "http-stream", "FN_FN_ID": "fn", "FN_APP_ID": "app"}
    more = [word for name, value in places.items() for word in ("--env", f"{name}={value}")]
    command = options("function", moto, bucket, *more, "--volume", f"{iofs}:/iofs")
    log = tmp_path / "log"
    with running([program("podman", "Podman"), *command, image], log=log, env=store.env) as process:
        try:
            wait_until((iofs / "fn.sock").exists, process, timeout=60, log=log)
            status, report = Function(iofs / "fn.sock", log).call("{}")
            assert (status, report["job"]) == (200, "copy"), log.read_text()
            assert copied(moto, bucket) == ["out/a"]
        finally:
            store.podman("rm", "--force", "--time", "0", "function", check=False)
