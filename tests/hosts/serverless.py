"""The hosts that serverless handlers run in: Lambda's Runtime Interface Emulator, and the fdk on its socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.servers import HERE, Aws, absent, free_ports, program, running, wait_until

_SAM = (
    "aws-sam-cli==1.170.0",
    "--hash=sha256:24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf",
)
"""The emulator is inside this wheel, which is downloaded and not installed."""
_CACHE = HERE.parent / ".cache"


def emulator() -> Path:
    """The emulator's program, fetched once."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")
    path = _CACHE / f"aws-lambda-rie-{machine}"
    if not path.exists():
        _fetch(path)
    return path


def _fetch(path: Path) -> None:
    folder = _CACHE / f"sam-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(" ".join(_SAM) + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run([*command, "-d", folder, "-r", wanted], capture_output=True, text=True, timeout=240)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        absent("Lambda's Runtime Interface Emulator", f"pip download aws-sam-cli: {done.stderr[-300:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        new = folder / "rie"
        new.write_bytes(wheel.read(f"samcli/local/rapid/{path.name}"))
    new.chmod(0o755)
    os.replace(new, path)
    for each in (*wheels, wanted):
        each.unlink()
    folder.rmdir()


@dataclass
class Lambda:
    """A function that can be invoked as any other."""

    client: Any
    log: Path

    def invoke(self, event: object) -> tuple[str, Any]:
        """The error's kind, empty for success, and the payload."""
        answer = self.client.invoke(FunctionName="function", Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        # The emulator leaves out the header that the real service has for it.
        return (payload or {}).get("errorType", ""), payload


@contextlib.contextmanager
def lambda_function(folder: Path, variables: dict[str, str], *, timeout: int = 60) -> Iterator[Lambda]:
    """The handler in the emulator, by Lambda's own runtime client; ``folder`` is what is bundled."""
    front, api = free_ports(2)
    places = [
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{front}",
        "--runtime-api-address",
        f"127.0.0.1:{api}",
    ]
    handler = [sys.executable, "-m", "awslambdaric", "keepstep.hosts.aws_lambda.handler"]
    env = {**os.environ, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout), "LAMBDA_TASK_ROOT": str(folder), **variables}
    log = folder / "lambda.log"
    command = ["env", "-C", str(folder), str(emulator()), *places, *handler]
    with running(command, log=log, env=env) as process:
        wait_until(lambda: _listens(front), process, timeout=60, log=log)
        env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        yield Lambda(Aws(f"http://127.0.0.1:{front}", env).client("lambda"), log)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@dataclass
class Function:
    """An OCI Function behind its socket."""

    path: Path
    log: Path

    def call(self, body: str, *, seconds: float = 60) -> tuple[int, Any]:
        """The status that the platform sees, and the answer; as Resource Scheduler and the OCI CLI call."""
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        headers = {
            "Fn-Call-Id": uuid.uuid4().hex,
            "Fn-Deadline": deadline.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Content-Type": "application/json",
        }
        connection = _Unix(str(self.path))
        try:
            connection.request("POST", "/call", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self._path)


@contextlib.contextmanager
def oci_function(folder: Path, **variables: str) -> Iterator[Function]:
    """The handler in the real fdk; ``folder`` is what is bundled."""
    fdk = program("fdk", "OCI's fdk")
    path, log = folder / "fn.sock", folder / "function.log"
    module = HERE.parent / "src/keepstep/hosts/oci_function.py"
    places = {"FN_LISTENER": f"unix:{path}", "FN_FORMAT": "http-stream", "FN_FN_ID": "fn", "FN_APP_ID": "app"}
    env = {**os.environ, **places, **variables}
    with running(["env", "-C", str(folder), fdk, str(module), "handler"], log=log, env=env) as process:
        wait_until(path.exists, process, timeout=60, log=log)
        yield Function(path, log)
