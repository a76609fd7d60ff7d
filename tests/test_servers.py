"""The servers that the other tests trust do what they are told."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests import servers
from tests.servers import Aws, FaultProxy, free_port, free_ports, local_aws

Proxied = Callable[[str], FaultProxy]


@pytest.fixture
def bucket(moto: Aws) -> str:
    """Holds ``k``: 100,000 bytes."""
    client, name = moto.client("s3"), "proxied"
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="k", Body=b"x" * 100_000)
    return name


@pytest.fixture
def proxy(moto: Aws, proxied: Proxied) -> FaultProxy:
    return proxied(moto.url)


def get(proxy: FaultProxy, path: str) -> bytes:
    """By the standard library's client, which checks nothing but the length."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(proxy.url).port or 0, timeout=10)
    connection.request("GET", path, headers={"Authorization": "anybody"})
    return connection.getresponse().read()


def through(proxy: FaultProxy, moto: Aws) -> Any:
    return Aws(proxy.url, moto.env).client("s3")


def test_everything_passes_unchanged(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """Without a fault the proxy changes nothing, keeps connections open, and counts requests by their method."""
    client = through(proxy, moto)
    body = os.urandom(3_000_000)
    client.put_object(Bucket=bucket, Key="big", Body=body)
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == body
    assert client.head_object(Bucket=bucket, Key="big")["ContentLength"] == len(body)
    client.delete_object(Bucket=bucket, Key="big")
    assert proxy.counts == {"PUT": 1, "GET": 1, "HEAD": 1, "DELETE": 1}
    assert proxy.requests[0] == "PUT /proxied/big HTTP/1.1"


def test_a_status_is_answered_for_some_requests(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """503 is answered to the requests that match, after and for as many times as told, and to no others."""
    client = through(proxy, moto)
    proxy.add(match="^GET", after=1, times=2, status=503)
    client.get_object(Bucket=bucket, Key="k")["Body"].read()
    client.put_object(Bucket=bucket, Key="other", Body=b"")
    for _ in range(2):
        with pytest.raises(ClientError) as failed:
            client.get_object(Bucket=bucket, Key="k")
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert len(client.get_object(Bucket=bucket, Key="k")["Body"].read()) == 100_000


def test_an_upload_is_refused_and_the_next_is_taken(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """A refused upload leaves nothing on the server and the connection, or a new one, usable."""
    client = through(proxy, moto)
    proxy.add(match="^PUT", status=500)
    with pytest.raises(ClientError):
        client.put_object(Bucket=bucket, Key="new", Body=b"x" * 300_000)
    assert client.list_objects_v2(Bucket=bucket, Prefix="new")["KeyCount"] == 0
    client.put_object(Bucket=bucket, Key="new", Body=b"x" * 300_000)
    assert client.head_object(Bucket=bucket, Key="new")["ContentLength"] == 300_000


def test_a_body_is_cut(proxy: FaultProxy, bucket: str) -> None:
    """The client gets exactly as many bytes of the body as told, then the end of the connection."""
    proxy.add(match="^GET", cut=12_345)
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(proxy, f"/{bucket}/k")
    assert len(cut.value.partial) == 12_345


def test_an_upload_is_cut(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """An upload whose connection breaks in the middle leaves no object."""
    proxy.add(match="^PUT", cut_upload=1000)
    with pytest.raises(HTTPClientError):
        through(proxy, moto).put_object(Bucket=bucket, Key="half", Body=b"x" * 500_000)
    assert moto.client("s3").list_objects_v2(Bucket=bucket, Prefix="half")["KeyCount"] == 0


def test_bytes_are_corrupted(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """One byte of a body is another one on the way, in either direction; the server notices a damaged upload."""
    client = through(proxy, moto)
    proxy.add(match="^GET", corrupt=70_000)
    body = get(proxy, f"/{bucket}/k")
    assert [at for at, byte in enumerate(body) if byte != ord("x")] == [70_000]
    proxy.add(match="^PUT", corrupt_upload=5)
    with pytest.raises(ClientError, match="XAmzContentSHA256Mismatch"):
        client.put_object(Bucket=bucket, Key="damaged", Body=b"y" * 1000)
    assert client.list_objects_v2(Bucket=bucket, Prefix="damaged")["KeyCount"] == 0


def test_time_is_taken(proxy: FaultProxy, moto: Aws, bucket: str) -> None:
    """Latency is waited for at every request; a throttled body comes no faster than told."""
    client = through(proxy, moto)
    client.head_object(Bucket=bucket, Key="k")
    proxy.latency = 0.15
    started = time.monotonic()
    client.head_object(Bucket=bucket, Key="k")
    assert time.monotonic() - started >= 0.15
    proxy.latency = 0
    proxy.add(match="^GET", throttle=400_000)
    started = time.monotonic()
    assert len(client.get_object(Bucket=bucket, Key="k")["Body"].read()) == 100_000
    assert time.monotonic() - started >= 0.2


def test_free_ports_are_not_the_kernels() -> None:
    """Ports are different, below 32768, and can be bound."""
    ports = [free_port(), *free_ports(5)]
    assert len(set(ports)) == 6
    assert max(ports) < 32_768
    for port in ports:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    """When the block ends, also by an error, the process is gone and nobody listens on its port."""
    with pytest.raises(ZeroDivisionError), local_aws(tmp_path) as server:
        raise ZeroDivisionError
    assert server.process
    assert server.process.poll() is not None
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), 1):
        pass


def test_a_part_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing part skips with its name; where CI is set it fails."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Flux capacitor is not here"):
        servers.program("no-such-program", "Flux capacitor")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="Flux capacitor is not here"):
        servers.program("no-such-program", "Flux capacitor")


def test_nobodys_variables_are_seen(nobodys_machine: Path) -> None:
    """A test sees no AWS or OCI variable of the developer's, and an empty home that is its own."""
    left = {name for name in os.environ if name.startswith(("AWS_", "OCI_"))}
    assert left == {"AWS_EC2_METADATA_DISABLED"}
    assert Path.home() == nobodys_machine
    assert list(nobodys_machine.iterdir()) == []


def test_seaweedfs_serves(seaweed: Aws, proxied: Proxied) -> None:
    """SeaweedFS takes and gives objects, and checks signatures, which the proxy leaves right."""
    client = Aws(proxied(seaweed.url).url, seaweed.env).client("s3")
    client.create_bucket(Bucket="bucket")
    body = os.urandom(200_000)
    client.put_object(Bucket="bucket", Key="a/b", Body=body)
    assert client.get_object(Bucket="bucket", Key="a/b")["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    stranger = Aws(seaweed.url, {**seaweed.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.client("s3").list_objects_v2(Bucket="bucket")
