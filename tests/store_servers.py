"""S3 as others speak it: servers of other makers, as context managers like those of :mod:`tests.servers`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import REGION, Aws, free_port, program, running, wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/EXAMPLEKEY"}


def as_aws(url: str, process: subprocess.Popen[bytes] | None = None) -> Aws:
    """A server that knows :data:`KEYS`, or asks nobody for any."""
    env = {"AWS_ENDPOINT_URL": url, **KEYS, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    return Aws(url, env, process)


@contextlib.contextmanager
def localbucket(folder: Path) -> Iterator[Aws]:
    """LocalBucket: buckets are folders; no DeleteObjects, no ListParts, no tags."""
    port, data = free_port(), folder / "data"
    data.mkdir()
    command = [program("localbucket", "LocalBucket"), "--port", str(port), str(data)]
    with running(command, log=folder / "localbucket.log") as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "localbucket.log")


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[Aws]:
    """``rclone serve s3`` before a folder: signatures are verified."""
    port, data = free_port(), folder / "data"
    data.mkdir()
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    command = [
        program("rclone", "rclone"),
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        keys,
        str(data),
    ]
    env = {**os.environ, "RCLONE_CONFIG": str(folder / "none")}
    with running(command, log=folder / "rclone.log", env=env) as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "rclone.log")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Aws]:
    """moto's own server, without anything of ours before it."""
    port = free_port()
    command = [program("moto_server", "moto"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log=folder / "moto.log") as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "moto.log")


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[Aws]:
    """MiniStack's S3. By itself it listens on every interface; it is told not to, and that is looked at."""
    port = free_port()
    env = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        "TMPDIR": str(folder),
        "HOME": str(folder),
    }
    with running([program("ministack", "MiniStack")], log=folder / "ministack.log", env=env) as process:
        server = _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "ministack.log")
        assert not open_to_others(process.pid), "MiniStack listens on more than loopback"
        yield server


def _listening(server: Aws, process: subprocess.Popen[bytes], log: Path) -> Aws:
    address = urlsplit(server.url)

    def is_there() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", address.port or 0), 1):
            return True
        return False

    wait_until(is_there, process, timeout=60, log=log)
    return server


def open_to_others(pid: int) -> list[str]:
    """The addresses, as the kernel writes them, on which this process can be reached from other machines."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(descriptor))
    found = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets and not local.startswith(loopback):
                found.append(local)
    return found
