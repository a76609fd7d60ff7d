"""What clients do on the connection itself: wait for 100, send chunks, leave early."""

from __future__ import annotations

import socket
import time

from keepstep_localcloud.server import LocalCloud
from tests.localcloud.rawclient import TARGET, RawClient


def connect(raw: RawClient) -> socket.socket:
    host, port = raw.address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head_of(raw: RawClient, target: str, *lines: str, spoil: str = "") -> bytes:
    """The head of a PutObject, with more header lines."""
    headers = raw.draft("PUT", target, signed=TARGET).headers
    headers["authorization"] += spoil
    own = [f"{name}: {headers[name]}" for name in ("date", "host", "authorization")]
    return "\r\n".join([f"PUT {target} HTTP/1.1", *own, *lines, "connection: close", "", ""]).encode()


def said(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_body_may_wait_for_100(raw: RawClient, path: str) -> None:
    """A client that expects 100-continue gets it before it sends its body."""
    with connect(raw) as connection:
        connection.sendall(head_of(raw, f"{path}/o/a", "content-length: 3", "expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert said(connection).startswith(b"HTTP/1.1 200")
    assert raw.call("GET", f"{path}/o/a").body == b"abc"


def test_a_refusal_comes_in_place_of_100(raw: RawClient, path: str) -> None:
    """A wrong signature or condition is answered before the body is sent, and the connection is not used again."""
    raw.put(f"{path}/o/a", b"1")
    waiting = ("content-length: 3", "expect: 100-continue")
    for head, status in (
        (head_of(raw, f"{path}/o/a", *waiting, spoil=',algorithm="none"'), b"401"),
        (head_of(raw, f"{path}/o/a", *waiting, "if-none-match: *"), b"412"),
    ):
        with connect(raw) as connection:
            connection.sendall(head)
            answer = said(connection)
            assert answer.startswith(b"HTTP/1.1 " + status) and b"\r\nconnection: close" in answer


def test_a_body_may_come_in_chunks(raw: RawClient, path: str) -> None:
    """A body of unknown length (Transfer-Encoding: chunked) is stored whole."""
    with connect(raw) as connection:
        connection.sendall(head_of(raw, f"{path}/o/a", "transfer-encoding: chunked"))
        connection.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert said(connection).startswith(b"HTTP/1.1 200")
    assert raw.call("GET", f"{path}/o/a").body == b"abcde"


def test_half_a_body_is_no_object(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """A client that goes away in the middle of its body leaves no object and no file."""
    before = set((cloud.directory / "contents").iterdir())
    with connect(raw) as connection:
        connection.sendall(head_of(raw, f"{path}/o/half", "content-length: 1000000") + bytes(500_000))
    end = time.monotonic() + 10
    while set((cloud.directory / "contents").iterdir()) != before:
        assert time.monotonic() < end, "the file of an upload that broke off is still there"
        time.sleep(0.01)
    assert raw.call("GET", f"{path}/o/half").status == 404


def test_paths_that_are_none(raw: RawClient, path: str) -> None:
    """An unknown path gives 404 NotFound, a known one with another method 405, a body that is not JSON 400."""
    assert raw.call("GET", "/20160918/instances").code == "NotFound"
    assert raw.call("POST", "/n", b"{}").code == "MethodNotAllowed"
    assert raw.call("POST", path, b"{").code == raw.call("POST", path, b"[]").code == "CannotParseRequest"
    assert raw.call("GET", "/n/x/b/y/o/%FF").code == "InvalidParameter"


def test_every_path_is_served_with_and_without_version(raw: RawClient, cloud: LocalCloud) -> None:
    """The version of an API may stand before its paths: clients with one endpoint for all leave it out."""
    tenancy = f"/tenancies/{cloud.tenancy}/regionSubscriptions"
    assert raw.call("GET", f"/20160918{tenancy}").json() == raw.call("GET", tenancy).json()
