"""Which certificates prove a name, also to libraries that look for it themselves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from keepstep.clouds.tls import expect, pinned, verified
from keepstep.databases.interface import Answer, Login
from keepstep.databases.oracle import OracleDatabase
from keepstep.secret import Secret
from tests.clouds.wire import Authority

Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    made: Loop = request.param
    return made


def met(tls: ssl.SSLContext, client: Callable[[int], Any], loop: Loop) -> tuple[Any, int]:
    """What ``client(port)`` gets, and the bytes that it has sent to the server."""
    received = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += len(await reader.read(1000))
        writer.close()

    async def main() -> Any:
        listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=tls)
        try:
            return await client(listening.sockets[0].getsockname()[1])
        finally:
            listening.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(main(), 30)), received


@pytest.mark.parametrize(
    ("hosts", "alternative", "is_trusted"),
    [
        ([], "any.example", True),
        ([], None, False),
        (["localhost"], "localhost", True),
        (["LOCALHOST."], "localhost", True),
        (["a.example", "localhost"], "localhost", True),
        (["localhost"], "elsewhere.example", False),
        (["db.example"], "*.example", True),
        (["a.db.example"], "*.example", False),
        (["example"], "*.example", False),
        (["localhost"], None, False),
    ],
)
def test_only_alternative_names_count(
    tmp_path: Path, loop: Loop, hosts: list[str], alternative: str | None, is_trusted: bool
) -> None:
    """Though the common name is right, and Python's own check is off, as libraries turn it off."""
    authority = Authority(tmp_path)
    tls = authority.server_context("localhost", has_alternative=alternative is not None, alternative=alternative)
    context = verified(cafile=str(authority.bundle))
    expect(context, hosts)
    context.check_hostname = False

    async def client(port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        except ssl.SSLCertVerificationError as exc:
            assert "certificate" in exc.verify_message
            return False
        writer.write(b"hello")
        writer.close()
        return True

    answer, received = met(tls, client, loop)
    assert (answer, received) == (is_trusted, 5 if is_trusted else 0)


def test_a_pinned_certificate_needs_no_name(tmp_path: Path, loop: Loop) -> None:
    """Who compares the whole subject, as Oracle's SSL_SERVER_CERT_DN asks for, has looked at more than a name."""
    authority = Authority(tmp_path)
    context = verified(cafile=str(authority.bundle))
    pinned(context)
    context.check_hostname = False

    async def client(port: int) -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.close()
        return True

    assert met(authority.server_context("localhost", has_alternative=False), client, loop)[0]


@pytest.mark.parametrize(
    ("alternative", "dn", "is_trusted"),
    [
        ("localhost", "", True),
        ("elsewhere.example", "", False),
        (None, "", False),
        (None, "(SECURITY=(SSL_SERVER_CERT_DN=CN=localhost))", True),
        (None, "(SECURITY=(SSL_SERVER_CERT_DN=CN=elsewhere))", False),
    ],
)
def test_oracles_driver_sends_nothing_to_a_server_without_the_name(
    tmp_path: Path, loop: Loop, alternative: str | None, dn: str, is_trusted: bool
) -> None:
    """The real driver, which by itself is content with a common name."""
    authority = Authority(tmp_path)
    tls = authority.server_context("localhost", has_alternative=alternative is not None, alternative=alternative)
    context = verified(cafile=str(authority.bundle))

    async def client(port: int) -> Answer:
        address = f"(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={port}))"
        dsn = f"(DESCRIPTION={address}(CONNECT_DATA=(SERVICE_NAME=s)){dn})"
        return (await OracleDatabase(dsn, context).probe(Login("u", Secret("p")))).answer

    answer, received = met(tls, client, loop)
    assert (received > 0) is is_trusted
    if not is_trusted:
        assert answer is Answer.TLS_ERROR
