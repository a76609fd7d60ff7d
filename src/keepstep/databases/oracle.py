"""Oracle Database and Autonomous Database, by python-oracledb in its thin mode, over TCPS.

ALTER USER has no other form than the password in its text, which travels inside TLS; Oracle hides it in its own
trails. An account that changes its own password sends it encrypted for that session (OCIPasswordChange).
Gradual rollover: Oracle Database Security Guide, "Configuring Authentication", from 19.12.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import oracledb

from keepstep.clouds.tls import expect, pinned
from keepstep.databases.endpoint import PATIENCE, Endpoint, Reach, quoted, trust
from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Answer, Login, LoginProbe, Session
from keepstep.databases.oracle_errors import answer_of
from keepstep.databases.oracle_frames import looked_at
from keepstep.databases.oracle_names import identifier
from keepstep.databases.oracle_session import FAILURES, OracleSession


class OracleDatabase:
    """One service. ``dsn`` is a connect descriptor or ``host:port/service``; it is always spoken to by TLS."""

    engine = Engine.ORACLE
    name_limit = 128

    def __init__(self, dsn: str, trust: ssl.SSLContext, *, patience: float = PATIENCE) -> None:
        self._params = _params(dsn, trust)
        self._patience = patience
        params = self._params
        self.name = f"oracle {params.service_name or params.sid}@{params.host}:{params.port}"

    async def probe(self, login: Login) -> LoginProbe:
        try:
            connection = await self._connect(login)
        except NotLoggedIn as exc:
            return exc.probe
        await _close(connection)
        return LoginProbe(Answer.ACCEPT)

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    def remedy(self, username: str) -> str:
        return f'ALTER USER {identifier(username)} IDENTIFIED BY "…"'

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[OracleSession]:
        connection = await self._connect(login)
        try:
            yield OracleSession(self.name, login, connection)
        finally:
            await _close(connection)

    async def _connect(self, login: Login) -> oracledb.AsyncConnection:
        connecting: Awaitable[oracledb.AsyncConnection] = oracledb.connect_async(
            params=self._params, user=login.username, password=login.password.reveal()
        )
        try:
            async with asyncio.timeout(self._patience):
                connection = await connecting
            # The driver's own limit: a call that is cancelled waits for the server's leave to be.
            connection.call_timeout = math.ceil(self._patience * 1000)
            return connection
        except Exception as exc:  # noqa: BLE001 - what a server's bad answer makes the driver raise has no limits
            probe = answer_of(self.name, login.username, exc)
        raise NotLoggedIn.of(self.name, login.username, probe)


def dsn_of(endpoint: Endpoint) -> str:
    """For a service that is known by host, port and name."""
    return f"tcps://{endpoint.host}:{endpoint.port}/{endpoint.name}"


def _params(dsn: str, trust: ssl.SSLContext) -> oracledb.ConnectParams:
    """What the descriptor says, but for what would make TLS weaker or a refusal slower."""
    params: oracledb.ConnectParams = oracledb.ConnectParams()
    try:
        params.parse_connect_string(dsn)
    except oracledb.Error as exc:
        answer_of("oracle", "", exc)
        raise
    if params.ssl_server_cert_dn:
        pinned(trust)
    else:
        expect(trust, params.host if isinstance(params.host, list) else [params.host])
    looked_at(trust)
    params.set(
        protocol="tcps",
        ssl_context=trust,
        ssl_server_dn_match=True,
        tcp_connect_timeout=PATIENCE,
        retry_count=0,
        program="keepstep",
    )
    return params


async def _close(connection: oracledb.AsyncConnection) -> None:
    with suppress(*FAILURES):
        await connection.close()


def open_database(reach: Reach) -> OracleDatabase:
    """See :class:`~keepstep.databases.adapters.Adapter`; a name in the wallet is what stands there for it."""
    wallet = reach.wallet
    dsn = reach.dsn or dsn_of(reach.endpoint)
    if reach.dsn and wallet:
        dsn = wallet.names.get(dsn.lower(), dsn)
    return OracleDatabase(dsn, wallet.trust() if wallet else trust(reach.endpoint))


def connection_strings(where: Endpoint | str, login: Login) -> dict[str, str]:
    """See :class:`~keepstep.databases.adapters.Adapter`."""
    dsn = where if isinstance(where, str) else dsn_of(where)
    user, password = quoted(login)
    return {
        "url": f"oracle+oracledb://{user}:{password}@{dsn}",
        "jdbc": f"jdbc:oracle:thin:@{dsn}",
        "easy_connect": dsn,
    }


def start_tls(plain: socket.socket, endpoint: Endpoint) -> None:
    """Nothing: with TCPS the first byte is TLS's."""
