"""Servers that answer with anything at all: no driver's exception gets out, and no password is believed right."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.databases.endpoint import Endpoint, trust
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Answer, Database, Login
from keepstep.databases.mysql import MysqlDatabase
from keepstep.databases.oracle import OracleDatabase, dsn_of
from keepstep.databases.postgres import PostgresDatabase
from keepstep.errors import Error
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority
from tests.database_servers.listener import listening, server_context

LOGIN = Login("app", Secret("hunter2-Passw0rd"))
_TLS = 0x0800
_GREETING = (
    b"\x0a9.7.0\0\x07\0\0\0" + b"12345678\0" + b"\xff\xff\xff\x02\0\xff\xdf\x15" + bytes(10) + b"123456789012\0"
)


def packet(body: bytes, number: int) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def noise(number: int) -> bytes:
    """The same for the same number: nothing, a few bytes, or many; often with the length that a packet has."""
    source = random.Random(number)
    body = source.randbytes(source.choice([0, 1, 3, 20, 300, 5000]))
    plugin = source.choice([b"mysql_native_password", b"parsec", b"client_ed25519", b"dialog", b"", b"\xff" * 9])
    shapes = (
        body,
        packet(body, source.randrange(5)),
        packet(b"\xfe" + plugin + b"\0" + body[: source.choice([0, 20, 32, 300])], 3),
        packet(b"\xff" + body[:1], 3),
        packet(b"\x00" + body, 3),
        len(body).to_bytes(4, "big") + body,
        b"R" + (8 + len(body)).to_bytes(4, "big") + source.choice([10, 5, 3, 77]).to_bytes(4, "big") + body,
        (8 + len(body)).to_bytes(2, "big") + b"\0\0" + bytes([source.choice([2, 4, 6, 11, 12])]) + b"\0\0\0" + body,
    )
    return shapes[number % len(shapes)]


def mysql(authority: Authority, junk: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    """Greets, begins TLS, and then says what nobody expects."""
    context = server_context(authority.issue())

    def serve(connection: socket.socket) -> None:
        connection.sendall(packet(_GREETING + b"caching_sha2_password\0", 0))
        connection.recv(36)
        with context.wrap_socket(connection, server_side=True) as wire:
            wire.recv(4096)
            wire.sendall(junk())

    return serve


def postgres(authority: Authority, junk: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    context = server_context(authority.issue())

    def serve(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as wire:
            wire.recv(4096)
            wire.sendall(junk())

    return serve


def oracle(authority: Authority, junk: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    context = server_context(authority.issue())

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wire:
            wire.recv(4096)
            wire.sendall(junk())

    return serve


def plain(authority: Authority, junk: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    """Speaks first, and no TLS at all."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(junk())

    return serve


@pytest.mark.parametrize(
    ("engine", "serve"),
    [
        (Engine.MYSQL, mysql),
        (Engine.POSTGRES, postgres),
        (Engine.ORACLE, oracle),
        *((engine, plain) for engine in (Engine.MYSQL, Engine.POSTGRES, Engine.ORACLE)),
    ],
)
def test_no_driver_s_exception_gets_out(
    engine: Engine, serve: Callable[..., Callable[[socket.socket], None]], tmp_path: Path
) -> None:
    """A probe answers, or raises an error of keepstep's; never that the password is right, and never with it."""
    authority = Authority()
    ca = str(authority.write(tmp_path / "ca.pem"))
    current = [0]
    with listening(serve(authority, lambda: noise(current[0]))) as port:
        endpoint = Endpoint(engine, "localhost", port, "app", ca, patience=1.0)
        database: Database
        match engine:
            case Engine.MYSQL:
                database = MysqlDatabase(endpoint)
            case Engine.POSTGRES:
                database = PostgresDatabase(endpoint)
            case _:
                database = OracleDatabase(dsn_of(endpoint), trust(endpoint), patience=1.0)

        async def main() -> None:
            for number in range(24):
                current[0] = number
                try:
                    probe = await database.probe(LOGIN)
                except Error as error:
                    shown = "".join(traceback.format_exception(error))
                else:
                    assert probe.answer in (Answer.UNREACHABLE, Answer.TLS_ERROR), number
                    shown = repr(probe)
                assert LOGIN.password.reveal() not in shown

        run(main())


_PROBE = """
import asyncio, sys
from keepstep.databases.endpoint import Endpoint, trust
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.databases.oracle import OracleDatabase, dsn_of
from keepstep.secret import Secret
endpoint = Endpoint(Engine.ORACLE, "localhost", int(sys.argv[1]), "app", sys.argv[2], patience=1.0)
database = OracleDatabase(dsn_of(endpoint), trust(endpoint), patience=1.0)
probe = asyncio.run(database.probe(Login("app", Secret("hunter2-Passw0rd"))))
print(probe.answer.value, probe.why)
"""
_ACCEPT = b"\0\x2d\0\0\2\0\0\0" + (319).to_bytes(2, "big") + bytes(35)
"""Of a version that counts in four bytes from now on."""


@pytest.mark.parametrize(
    "words",
    [bytes(8), bytes(4096), b"\0\7\0\0\2\0\0\0", _ACCEPT + bytes(8), _ACCEPT + b"\0\0\0\1\6\0\0\0"],
    ids=["nothing", "many", "seven", "after it accepted", "one after it accepted"],
)
def test_an_empty_packet_ends_a_login_to_oracle(tmp_path: Path, words: bytes) -> None:
    """The driver alone takes it out of what has arrived forever; the login fails, as with any other nonsense.

    It is tried in a process of its own, which can be ended where a thread that stands still cannot.
    """
    authority = Authority()
    ca = str(authority.write(tmp_path / "ca.pem"))
    with listening(oracle(authority, lambda: words)) as port:
        command = [sys.executable, "-c", _PROBE, str(port), ca]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(Answer.UNREACHABLE.value)
