"""PostgreSQL, by psycopg 3.

A password never reaches the server: a change sends the SCRAM-SHA-256 verifier that libpq makes of it here
(PQencryptPasswordConn), which PostgreSQL stores as it is, so nothing of it is in the server's log, in
pg_stat_activity or in an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from keepstep.databases.endpoint import Endpoint, Reach, quoted
from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import (
    Account,
    Answer,
    Finding,
    Login,
    LoginProbe,
    PasswordPolicy,
    PasswordSlot,
    ServerInfo,
    Session,
)
from keepstep.databases.postgres_errors import answer_of, change_error, error_of
from keepstep.databases.postgres_pair import MISSING
from keepstep.databases.postgres_preflight import SURVEY, PostgresSurvey, findings, pair
from keepstep.errors import ConfigError, Error, NotFound, Unsupported
from keepstep.secret import Secret

_ASKED = "scram-sha-256,md5"
"""How a server may ask for a password. One that does not ask lets everybody in; one that wants it in clear text
checks it elsewhere (LDAP, PAM, RADIUS), or would see it.
"""
_REQUIRE_AUTH = 160000
"""The first version of libpq that knows ``require_auth``."""
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class PostgresDatabase:
    """One database of a server; connections go to the server itself, not through a pooler."""

    engine = Engine.POSTGRES
    name_limit = 63

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = str(endpoint)
        self._endpoint = endpoint

    async def probe(self, login: Login) -> LoginProbe:
        try:
            connection = await self._connect(login)
        except NotLoggedIn as exc:
            return exc.probe
        await connection.close()
        return LoginProbe(Answer.ACCEPT)

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    def remedy(self, username: str) -> str:
        return f"ALTER ROLE \"{username}\" PASSWORD '…'"

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[PostgresSession]:
        connection = await self._connect(login)
        session = PostgresSession(self.name, connection, self._endpoint.patience)
        try:
            yield session
        finally:
            session.close()
            await connection.close()

    async def _connect(self, login: Login) -> Connection:
        """Every setting that a variable of libpq's could change for the worse is given."""
        endpoint = self._endpoint
        if psycopg.pq.version() < _REQUIRE_AUTH:
            raise ConfigError(
                f"libpq {psycopg.pq.version() // 10000} cannot insist on being asked for a password",
                hint="pip install 'keepstep[postgres]', which brings libpq 16 or later",
            )
        try:
            return await psycopg.AsyncConnection.connect(
                host=endpoint.host,
                port=endpoint.port,
                dbname=endpoint.name,
                user=login.username,
                password=login.password.reveal(),
                sslmode="verify-full",
                sslrootcert=endpoint.ca or "system",
                require_auth=_ASKED,
                gssencmode="disable",
                target_session_attrs="any",
                options="",
                connect_timeout=math.ceil(endpoint.patience),
                keepalives_idle=math.ceil(endpoint.patience),
                client_encoding="UTF8",
                application_name="keepstep",
                autocommit=True,
            )
        except psycopg.Error as exc:
            message = str(exc)
        # Not inside the block: psycopg's error holds the connection's settings, and with them the password.
        raise NotLoggedIn.of(self.name, login.username, answer_of(self.name, login.username, message))


class PostgresSession:
    """A connection in autocommit mode."""

    def __init__(self, name: str, connection: Connection, patience: float) -> None:
        self._name = name
        self._connection = connection
        self._patience = patience
        self._wire = socket.socket(fileno=os.dup(connection.fileno()))
        version = connection.info.parameter_status("server_version") or ""
        self.server = ServerInfo(version=version.split()[0], keeps_two_passwords=False)

    def close(self) -> None:
        self._wire.close()

    async def lock(self, name: str) -> bool:
        number = int.from_bytes(hashlib.sha256(f"keepstep {name}".encode()).digest()[:8], "big", signed=True)
        rows = await self._ask("SELECT pg_try_advisory_lock(%s)", number)
        return bool(rows[0][0])

    async def account(self, username: str) -> Account | None:
        rows = await self._ask(_ACCOUNT, username)
        if not rows:
            return None
        may_log_in, is_over, roles, settings = rows[0]
        locked = "" if may_log_in else "NOLOGIN"
        return Account(
            username=username,
            locked=locked or ("VALID UNTIL is over" if is_over else ""),
            has_second_password=False,
            can_keep_two=False,
            roles=frozenset(roles),
            default_role=next((text[5:] for text in settings or () if text.startswith("role=")), ""),
        )

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        row = (await self._ask(SURVEY, username))[0]
        found = findings(PostgresSurvey(self._name, username, *row))
        if keep_old:
            found.append(Finding(f"{self._name}: PostgreSQL keeps one password for each user"))
        if like:
            statements = [str(row[0]) for row in await self._ask(MISSING, like, username)]
            found += pair(self._name, username, like, statements)
        return found

    async def policy(self, username: str) -> PasswordPolicy:
        """None: a server that gets a verifier cannot see whether its rules are kept."""
        return PasswordPolicy()

    async def slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        """The verifier is for superusers alone, and PostgreSQL locks nobody out."""
        return None

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        if keep_old:
            raise Unsupported(f"{self._name}: PostgreSQL keeps one password for each user")
        verifier = self._connection.pgconn.encrypt_password(
            new.reveal_bytes(), username.encode(), b"scram-sha-256"
        ).decode()
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(username), sql.Literal(verifier))
        failure: Error | None = None
        with self._deadline():
            try:
                await self._connection.execute(statement)
            except psycopg.Error as exc:
                failure = change_error(self._name, exc.sqlstate, _words(exc))
        if failure:
            raise failure

    async def retire(self, username: str) -> None:
        if not await self.account(username):
            raise NotFound(f"{self._name}: there is no user {username}")

    async def _ask(self, query: str, *parameters: str | int) -> list[tuple[Any, ...]]:
        with self._deadline():
            try:
                cursor = await self._connection.execute(query.encode(), parameters)
                return await cursor.fetchall()
            except psycopg.Error as exc:
                failure = error_of(self._name, exc.sqlstate, _words(exc))
        raise failure

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Cuts the connection of a server that does not answer: psycopg alone would wait forever."""
        cut = asyncio.get_running_loop().call_later(self._patience, _cut, self._wire)
        try:
            yield
        finally:
            cut.cancel()


_ACCOUNT = """
SELECT r.rolcanlogin, coalesce(r.rolvaliduntil <= now(), false),
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = r.oid),
       (SELECT s.setconfig FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
         WHERE s.setrole = r.oid AND (s.setdatabase = 0 OR d.datname = current_database())
         ORDER BY s.setdatabase DESC LIMIT 1)
  FROM pg_roles r WHERE r.rolname = %s
"""


def _cut(wire: socket.socket) -> None:
    with suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


def _words(exc: psycopg.Error) -> str:
    return exc.diag.message_primary or str(exc).strip().split("\n")[0]


def open_database(reach: Reach) -> PostgresDatabase:
    """See :class:`~keepstep.databases.adapters.Adapter`."""
    return PostgresDatabase(reach.endpoint)


def connection_strings(where: Endpoint | str, login: Login) -> dict[str, str]:
    """See :class:`~keepstep.databases.adapters.Adapter`."""
    assert isinstance(where, Endpoint), "PostgreSQL has no dsn"
    user, password = quoted(login)
    place = where.path
    return {
        "url": f"postgresql://{user}:{password}@{place}?sslmode=verify-full",
        "sqlalchemy": f"postgresql+psycopg://{user}:{password}@{place}?sslmode=verify-full",
        "jdbc": f"jdbc:postgresql://{place}?user={user}&password={password}&sslmode=verify-full",
        "libpq": _libpq(where, login),
    }


def _libpq(endpoint: Endpoint, login: Login) -> str:
    """Key words and values ("Connection Strings" in PostgreSQL's documentation)."""
    fields = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "dbname": endpoint.name,
        "user": login.username,
        "password": login.password.reveal(),
        "sslmode": "verify-full",
    }
    escaped = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in fields.items()}
    return " ".join(f"{key}='{value}'" for key, value in escaped.items())


def start_tls(plain: socket.socket, endpoint: Endpoint) -> None:
    """SSLRequest ("Message Flow" in PostgreSQL's documentation)."""
    plain.sendall(struct.pack("!ii", 8, 80877103))
    if plain.recv(1) != b"S":
        raise Error(f"{endpoint} speaks no TLS", hint="ssl = on in postgresql.conf")
