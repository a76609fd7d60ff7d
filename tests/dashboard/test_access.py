"""Who may look."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from keepstep.dashboard.access import is_loopback
from tests.dashboard.worlds import Place
from tests.hosts.fixtures import Place as HostPlace

TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture
def guarded(tmp_path: Path) -> Place:
    """A place whose page asks for a token."""
    return Place(tmp_path, dashboard=f'token = "{TOKEN}"')


def test_another_name_for_this_machine_is_refused(place: Place) -> None:
    """DNS rebinding: a page elsewhere, whose name leads here, is not let in; this machine's own names are."""
    with place.served() as site:
        assert site.get(Host="evil.example.com").status == 403
        assert site.get("/live", Host="evil.example.com:8731").status == 403
        for name in ("localhost", "127.0.0.1:8731", "[::1]:8731"):
            assert site.get(Host=name).status == 200


def test_without_a_token_nobody_looks_from_elsewhere(place: Place) -> None:
    """At an address that others can reach, every page is refused, with what to set."""
    place.ran()
    with place.served("0.0.0.0") as site:
        for path in ("/", "/jobs/reports", "/spend", "/live"):
            answer = site.get(path)
            assert answer.status == 403 and "[dashboard] token" in answer.text and "vm-1" not in answer.text


def test_the_token_opens_the_page(guarded: Place) -> None:
    """Shown in the form it becomes a cookie that scripts and other sites do not get; as a header it works too."""
    with guarded.served("0.0.0.0") as site:
        shut = site.get()
        assert (shut.status, shut.headers["location"]) == (303, "/login")
        assert site.get("/live").status == 303
        entered = site.get("/login", "POST", f"token={TOKEN}")
        cookie = entered.headers["set-cookie"]
        assert (
            entered.status == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        )
        assert site.get(Cookie=cookie.partition(";")[0]).status == 200
        assert site.get(Authorization=f"Bearer {TOKEN}").status == 200
        assert TOKEN not in site.get(Authorization=f"Bearer {TOKEN}").text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "é" * 20, "x" * 9000])
def test_a_wrong_token_opens_nothing(guarded: Place, token: str) -> None:
    """Neither in the form, nor as a header, nor as a cookie."""
    with guarded.served("0.0.0.0") as site:
        answer = site.get("/login", "POST", f"token={token}".encode().decode("latin-1"))
        assert answer.status == 403 and "set-cookie" not in answer.headers
        assert "This token is not valid" in answer.text
        if token.isascii() and len(token) < 100:
            assert site.get(Authorization=f"Bearer {token}").status == 303
            assert site.get(Cookie=f"keepstep={token}").status == 303


def test_a_short_token_is_refused(tmp_path: Path) -> None:
    """What could be guessed is no token: the file is refused, and the value is not repeated."""
    host = HostPlace(tmp_path)
    host.configure('token = "guess-me"\n[job.a]\nkind = "sync"\nsource = "/a"\ntarget = "/b"\n')
    text = host.config.read_text().replace("[daemon]\ndrain", "#").replace('#= "20s"', "")
    host.config.write_text(text.replace('# = "20s"\n', ""))
    ran = host.keepstep("config", "check")
    assert ran.returncode == 5 and "dashboard.token" in ran.stderr and "guess-me" not in ran.stderr


CASES: list[tuple[str, bool]] = [
    ("127.0.0.1", True),
    ("127.8.9.1", True),
    ("::1", True),
    ("[::1]", True),
    ("LOCALHOST", True),
    ("0.0.0.0", False),
    ("::", False),
    ("192.168.1.1", False),
    ("localhost.example.com", False),
    ("", False),
]


@pytest.mark.parametrize(("host", "expected"), CASES)
def test_loopback_is_told_from_everything_else(host: str, expected: bool) -> None:
    """By address, not by what it looks like."""
    assert is_loopback(host) is expected


def raw(port: int, request: str) -> bytes:
    """The first line of the answer to a request that no client library would send."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.sendall(request.encode())
        return line.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "head",
    [
        "Host: evil.example.com:127.0.0.1",
        "Host: [127.0.0.1",
        "Host: 127.0.0.1:port",
        "Host: evil.example.com/127.0.0.1",
        "Host: 127.0.0.1@evil.example.com",
        "Host: ",
        "Host: \x80",
        "Host: 127.0.0.1, evil.example.com",
        "Host: 127.0.0.1\r\nHost: evil.example.com",
    ],
)
def test_a_host_that_cannot_be_read_is_refused(place: Place, head: str) -> None:
    """What is no name of this machine is not taken for one."""
    with place.served() as site:
        answer = raw(site.port, f"GET / HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n")
        assert b" 403 " in answer or b" 400 " in answer
        assert b" 403 " in raw(site.port, "GET / HTTP/1.0\r\n\r\n")
        assert b" 200 " in raw(site.port, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
