"""Oracle Database and Autonomous Database, by python-oracledb in its thin mode, over TCPS.

ALTER USER has no other form than the password in its text, which travels inside TLS; Oracle hides it in its own
trails. An account that changes its own password sends it encrypted for that session (OCIPasswordChange).
Gradual rollover: Oracle Database Security Guide, "Configuring Authentication", from 19.12.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import oracledb

from keepstep.databases.endpoint import PATIENCE, Endpoint
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import (
    Account,
    Answer,
    Engine,
    Finding,
    Login,
    PasswordPolicy,
    Probe,
    Server,
    Session,
)
from keepstep.databases.oracle_errors import answer_of, change_error, error_of
from keepstep.databases.oracle_names import canonical, identifier, text
from keepstep.errors import Conflict, Denied, Error, NotFound, Unsupported
from keepstep.secret import Secret

_FAILURES = (oracledb.Error, OSError, TimeoutError)


class OracleDatabase:
    """One service. ``dsn`` is a connect descriptor or ``host:port/service``; it is always spoken to by TLS."""

    engine = Engine.ORACLE
    name_limit = 128

    def __init__(self, dsn: str, trust: ssl.SSLContext, *, patience: float = PATIENCE) -> None:
        self._params = _params(dsn, trust)
        self._patience = patience
        params = self._params
        self.name = f"oracle {params.service_name or params.sid}@{params.host}:{params.port}"

    async def probe(self, login: Login) -> Probe:
        try:
            connection = await self._connect(login)
        except NotLoggedIn as exc:
            return exc.probe
        await _close(connection)
        return Probe(Answer.ACCEPT)

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
        except _FAILURES as exc:
            probe = answer_of(self.name, exc)
        raise NotLoggedIn.of(self.name, login.username, probe)


class OracleSession:
    """A connection; DDL commits by itself."""

    def __init__(self, name: str, login: Login, connection: oracledb.AsyncConnection) -> None:
        self._name = name
        self._login = login
        self._connection = connection
        version = connection.version
        numbers = tuple(int(part) for part in version.split("."))
        self.server = Server(version=version, keeps_two_passwords=numbers >= (19, 12))

    async def lock(self, name: str) -> bool:
        """A lock by number (0 to 1073741823), which lives as long as the session."""
        number = int.from_bytes(sha256(name.encode()).digest()[:4], "big") & 0x3FFFFFFF
        try:
            await self._run(_LOCK.format(number=number))
        except _FAILURES as exc:
            if "ORA-20990" in str(exc):
                return False
            raise error_of(self._name, exc) from exc
        return True

    async def account(self, username: str) -> Account | None:
        name = canonical(username)
        try:
            rows = await self._ask(_ACCOUNT.format(name=text(name)))
            roles = await self._ask(_ROLES.format(name=text(name)))
        except Denied:
            if name != canonical(self._login.username):
                raise
            rows, roles = await self._ask(_OWN_ACCOUNT), await self._ask(_OWN_ROLES)
        return self._account(username, rows[0], roles) if rows else None

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        return []

    async def policy(self, username: str) -> PasswordPolicy:
        return PasswordPolicy()

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        if keep_old:
            await self._check_room(username)
        if canonical(username) == canonical(self._login.username):
            change: Awaitable[None] = self._connection.changepassword(self._login.password.reveal(), new.reveal())
        else:
            change = self._run(f"ALTER USER {identifier(username)} IDENTIFIED BY {_quoted(new)}")
        await self._change(change)

    async def retire(self, username: str) -> None:
        account = await self.account(username)
        if account is None:
            raise NotFound(f"{self._name}: there is no user {username}")
        if account.has_second_password:
            await self._change(self._run(f"ALTER USER {identifier(username)} EXPIRE PASSWORD ROLLOVER PERIOD"))

    async def _check_room(self, username: str) -> None:
        account = await self.account(username)
        if account is None:
            raise NotFound(f"{self._name}: there is no user {username}")
        if not account.can_keep_two:
            raise Unsupported(f"{self._name}: {username} keeps one password", hint=_PROFILE)
        if account.has_second_password:
            raise Conflict(f"{self._name}: a rollover of {username}'s password is under way")

    def _account(self, username: str, row: tuple[Any, ...], roles: list[tuple[Any, ...]]) -> Account:
        """``row``: status, seconds since the last change, days of rollover, failed logins allowed; all as text."""
        status, age, days, failures = (str(field or "") for field in row)
        window = timedelta(days=_number(days))
        until = datetime.now(UTC) + window - timedelta(seconds=_number(age))
        # The status stays until somebody logs in, also when the time is over.
        is_rolling = "IN ROLLOVER" in status and (not age or until > datetime.now(UTC))
        locked = status if re.search(r"\bLOCKED", status) else ""
        return Account(
            username=username,
            locked=locked,
            has_second_password=is_rolling,
            second_password_until=datetime.now(UTC) + window - timedelta(seconds=_number(age))
            if is_rolling
            else None,
            can_keep_two=self.server.keeps_two_passwords and window > timedelta(),
            failures_allowed=int(failures) if failures.isdecimal() else None,
            roles=frozenset(str(role[0]) for role in roles),
        )

    async def _change(self, change: Awaitable[None]) -> None:
        """Raises outside of where the statement can be seen."""
        failure: Error | None = None
        try:
            await change
        except _FAILURES as exc:
            failure = change_error(self._name, exc)
        if failure:
            raise failure

    async def _ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = await self._connection.fetchall(query)
        except _FAILURES as exc:
            raise error_of(self._name, exc) from exc
        return rows

    async def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            await cursor.execute(statement)


def dsn_of(endpoint: Endpoint) -> str:
    """For a service that is known by host, port and name."""
    return f"tcps://{endpoint.host}:{endpoint.port}/{endpoint.name}"


def _params(dsn: str, trust: ssl.SSLContext) -> oracledb.ConnectParams:
    """What the descriptor says, but for what would make TLS weaker or a refusal slower."""
    params: oracledb.ConnectParams = oracledb.ConnectParams()
    try:
        params.parse_connect_string(dsn)
    except oracledb.Error as exc:
        answer_of("oracle", exc)
        raise
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
    with suppress(*_FAILURES):
        await connection.close()


def _quoted(password: Secret) -> str:
    value = password.reveal()
    if '"' in value or "\0" in value:
        raise Unsupported('a password for Oracle has no " in it')
    return f'"{value}"'


def _number(value: str) -> float:
    try:
        return float(value.replace(",", "."))
    except ValueError:
        return 0.0


_PROFILE = "ALTER PROFILE <the user's profile> LIMIT PASSWORD_ROLLOVER_TIME 1; it needs Oracle 19.12"

_LOCK = """
BEGIN
  IF SYS.DBMS_LOCK.REQUEST({number}, SYS.DBMS_LOCK.X_MODE, 0, FALSE) NOT IN (0, 4) THEN
    RAISE_APPLICATION_ERROR(-20990, 'held by another session');
  END IF;
END;
"""
"""0: granted; 4: this session has it. Numbers of the release's own PL/SQL Packages Reference, DBMS_LOCK."""
_ACCOUNT = """
SELECT u.account_status, TO_CHAR((SYSDATE - u.password_change_date) * 86400),
       DECODE(r.limit, 'DEFAULT', dr.limit, r.limit), DECODE(f.limit, 'DEFAULT', df.limit, f.limit)
  FROM sys.dba_users u
  LEFT JOIN sys.dba_profiles r ON r.profile = u.profile AND r.resource_name = 'PASSWORD_ROLLOVER_TIME'
  LEFT JOIN sys.dba_profiles f ON f.profile = u.profile AND f.resource_name = 'FAILED_LOGIN_ATTEMPTS'
  LEFT JOIN sys.dba_profiles dr ON dr.profile = 'DEFAULT' AND dr.resource_name = 'PASSWORD_ROLLOVER_TIME'
  LEFT JOIN sys.dba_profiles df ON df.profile = 'DEFAULT' AND df.resource_name = 'FAILED_LOGIN_ATTEMPTS'
 WHERE u.username = {name}
"""
_OWN_ACCOUNT = """
SELECT u.account_status, NULL,
       (SELECT l.limit FROM user_password_limits l WHERE l.resource_name = 'PASSWORD_ROLLOVER_TIME'),
       (SELECT l.limit FROM user_password_limits l WHERE l.resource_name = 'FAILED_LOGIN_ATTEMPTS')
  FROM user_users u
"""
_ROLES = "SELECT granted_role FROM sys.dba_role_privs WHERE grantee = {name}"
_OWN_ROLES = "SELECT granted_role FROM user_role_privs"
