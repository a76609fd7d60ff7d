"""MySQL and MariaDB, by PyMySQL."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pymysql

from keepstep.databases.endpoint import Endpoint, Reach, quoted, trust
from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Answer, Login, LoginProbe, Session
from keepstep.databases.mariadb_plugins import ParsecClient
from keepstep.databases.mysql_errors import answer_of
from keepstep.databases.mysql_preflight import account_of
from keepstep.databases.mysql_session import Connection, MysqlSession
from keepstep.databases.threads import DriverThread
from keepstep.errors import ConfigError

_PROTOCOL_41, _SSL, _SECURE = 0x200, 0x800, 0x8000
"""Capabilities that a client claims."""
_WHO = "SELECT CURRENT_USER(), @@proxy_user"
"""Also refused to an account whose password has expired, where the login itself is not."""


class MysqlDatabase:
    """One database of a MySQL or MariaDB server; the server tells which of the two it is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.engine = endpoint.engine
        self.name = str(endpoint)
        self.name_limit = 80 if endpoint.engine is Engine.MARIADB else 32
        self._endpoint = endpoint

    async def probe(self, login: Login) -> LoginProbe:
        try:
            await asyncio.to_thread(lambda: _close(self._log_in(login, self._endpoint.name)))
        except NotLoggedIn as exc:
            return exc.probe
        return LoginProbe(Answer.ACCEPT)

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    def remedy(self, username: str) -> str:
        return f"ALTER USER {account_of(username, '%')} IDENTIFIED BY '…'"

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[MysqlSession]:
        thread = DriverThread()
        try:
            # An administrator need not have a right to the database.
            connection = await thread.run(self._log_in, login, None)
            try:
                yield MysqlSession(self.name, login, connection, thread)
            finally:
                await thread.run(_close, connection)
        finally:
            thread.end()

    def _log_in(self, login: Login, database: str | None) -> Connection:
        """Raises :class:`NotLoggedIn`, and :class:`ConfigError` where a login proves nothing."""
        connection = self._connect(login, database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_WHO)
                account, proxy = cursor.fetchone()
        except Exception as exc:  # noqa: BLE001 - see _connect
            _close(connection)
            probe = answer_of(self.name, login.username, exc)
        else:
            # An anonymous account lets anybody in, and a server without grant tables everybody.
            if proxy is not None or account.rpartition("@")[0] == login.username:
                return connection
            _close(connection)
            raise ConfigError(
                f"{self.name} let {login.username} in as {account!r}, whatever the password",
                hint="drop the anonymous accounts, and start the server without skip-grant-tables",
            )
        raise NotLoggedIn.of(self.name, login.username, probe)

    def _connect(self, login: Login, database: str | None) -> Connection:
        endpoint = self._endpoint
        context = trust(endpoint)
        try:
            return pymysql.connect(
                host=endpoint.host,
                port=endpoint.port,
                database=database,
                user=login.username,
                password=login.password.reveal_bytes(),  # text would be sent as Latin-1
                ssl=context,
                charset="utf8mb4",
                connect_timeout=math.ceil(endpoint.patience),
                read_timeout=endpoint.patience,
                write_timeout=endpoint.patience,
                autocommit=True,
                auth_plugin_map={b"parsec": ParsecClient},
            )
        except Exception as exc:  # noqa: BLE001 - what a server's bad answer makes the driver raise has no limits
            probe = answer_of(self.name, login.username, exc)
        raise NotLoggedIn.of(self.name, login.username, probe)


def _close(connection: Connection) -> None:
    if connection.open:
        connection.close()


def open_database(reach: Reach) -> MysqlDatabase:
    """See :class:`~keepstep.databases.adapters.Adapter`."""
    return MysqlDatabase(reach.endpoint)


def connection_strings(where: Endpoint | str, login: Login) -> dict[str, str]:
    """See :class:`~keepstep.databases.adapters.Adapter`."""
    assert isinstance(where, Endpoint), "neither MySQL nor MariaDB has a dsn"
    user, password = quoted(login)
    engine, place = where.engine, where.path
    mode = "VERIFY_IDENTITY" if engine is Engine.MYSQL else "verify-full"
    return {
        "url": f"mysql://{user}:{password}@{place}?ssl-mode=VERIFY_IDENTITY",
        "sqlalchemy": f"{engine}+pymysql://{user}:{password}@{place}?ssl_verify_identity=true",
        "jdbc": f"jdbc:{engine}://{place}?user={user}&password={password}&sslMode={mode}",
    }


def start_tls(plain: socket.socket, endpoint: Endpoint) -> None:
    """SSLRequest ("Connection Phase" of MySQL's protocol)."""
    with plain.makefile("rb") as stream:
        stream.read(int.from_bytes(stream.read(4)[:3], "little"))
    asked = struct.pack("<IIB23x", _PROTOCOL_41 | _SSL | _SECURE, 1 << 24, 45)
    plain.sendall(len(asked).to_bytes(3, "little") + b"\x01" + asked)
