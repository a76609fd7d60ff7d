"""The servers that tests talk to, as context managers; ``tests/conftest.py`` makes fixtures of them.

Each listens on loopback, keeps its files in a folder that it is given, and has ended when its block ends. Ports are
0 or below 32768, where the ephemeral ones begin.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import Request, urlopen

import pytest

from tests.faultproxy import FaultProxy as FaultProxy

REGION = "us-east-1"
HERE = Path(__file__).parent


def absent(part: str, hint: str) -> NoReturn:
    """Skips the test with a line that names the part; where CI is set, all parts must be there, so it fails."""
    message = f"{part} is not here: {hint}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str, part: str) -> str:
    """The path of a program of this virtual environment, or of the machine."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or absent(part, f"no program {name}; `make venv` installs it")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that the kernel gives nobody by itself."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones."""
    with contextlib.ExitStack() as held:
        return [_bound(held) for _ in range(count)]


def _bound(held: contextlib.ExitStack) -> int:
    while True:
        port = random.randrange(10_000, 32_768)
        with contextlib.suppress(OSError):
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return port


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, timeout: float, log: Path) -> None:
    """Returns when ``ready``; raises with the end of the log when the process ends or the time is over."""
    deadline = time.monotonic() + timeout
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not serve:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log: Path, env: dict[str, str] | None = None, grace: float = 5
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block: asked first, killed after ``grace`` seconds. It writes to ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=env)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


@dataclass(frozen=True)
class Aws:
    """Something that answers as AWS does."""

    url: str
    env: dict[str, str]
    """What the aws CLI and every SDK need to use it."""
    process: subprocess.Popen[bytes] | None = None

    def client(self, service: str, *, region: str = REGION, **options: Any) -> Any:
        """A boto3 client that does not retry."""
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, read_timeout=30).merge(options.pop("config", Config()))
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.url,
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
            config=config,
            **options,
        )

    def fault(self, operation: str, do: dict[str, Any], **when: Any) -> None:
        """One fault of the local AWS: ``fault("PutObject", {"status": 503}, after=1, times=2)``."""
        fault = {"operation": operation, "do": do, **when}
        _call("POST", f"{self.url}/_localcloud/faults", json.dumps(fault).encode())

    def faults(self) -> list[dict[str, Any]]:
        return json.loads(_call("GET", f"{self.url}/_localcloud/faults"))  # type: ignore[no-any-return]

    def clear_faults(self) -> None:
        _call("DELETE", f"{self.url}/_localcloud/faults")


def _call(method: str, url: str, body: bytes | None = None) -> bytes:
    with urlopen(Request(url, body, method=method), timeout=30) as response:
        return bytes(response.read())


@contextlib.contextmanager
def local_aws(folder: Path, *, state: Path | None = None, port: int = 0) -> Iterator[Aws]:
    """keepstep's local AWS in a process of its own, so that its work is not the client's; ``state`` is kept."""
    if not importlib.util.find_spec("moto"):
        absent("moto", "pip install 'keepstep[demo]'")
    ready, log = folder / "aws.json", folder / "aws.log"
    ready.unlink(missing_ok=True)
    where = ["--state", str(state)] if state else []
    command = [sys.executable, "-P", str(HERE / "serve_aws.py"), "--ready", str(ready), "--port", str(port), *where]
    with running(command, log=log) as process:
        wait_until(ready.exists, process, timeout=60, log=log)
        env = json.loads(ready.read_text())
        yield Aws(env["AWS_ENDPOINT_URL"], env, process)
        if process.poll() not in (None, -9) and log.stat().st_size:
            raise AssertionError(log.read_text(errors="replace"))


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[Aws]:
    """A fast S3: SeaweedFS's master, volume server, filer and gateway in one process; data in ``folder``."""
    weed = program("weed", "SeaweedFS")
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = dict(zip((*names, "s3.port", "s3.port.grpc"), free_ports(8), strict=True))
    keys = {"accessKey": "AKIAIOSFODNN7EXAMPLE", "secretKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config, log = folder / "s3.json", folder / "weed.log"
    config.write_text(json.dumps({"identities": [{"name": "tests", "credentials": [keys], "actions": actions}]}))
    (folder / "data").mkdir(exist_ok=True)
    options = {
        **ports,
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": 256,
        "volume.max": 400,
        "volume.preStopSeconds": 0,
        "s3.config": config,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    command = [weed, "-logtostderr=true", "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
    url = f"http://127.0.0.1:{ports['s3.port']}"
    env = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": keys["accessKey"],
        "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
    with contextlib.ExitStack() as ending:
        for port in ports.values():  # its unix sockets, which it leaves behind
            ending.callback(_unlink_all, Path("/tmp"), f"seaweedfs-*-{port}.sock")
        process = ending.enter_context(running(command, log=log, grace=0))
        server = Aws(url, env, process)
        client = server.client("s3")
        wait_until(lambda: takes_objects(client), process, timeout=60, log=log)
        yield server


def _unlink_all(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def takes_objects(client: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket="is-it-ready")
        client.put_object(Bucket="is-it-ready", Key="k", Body=b"1")
        client.delete_object(Bucket="is-it-ready", Key="k")
        client.delete_bucket(Bucket="is-it-ready")
    except (BotoCoreError, ClientError):
        return False
    return True
