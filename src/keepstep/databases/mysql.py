"""MySQL and MariaDB, by PyMySQL."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pymysql

from keepstep.databases.endpoint import Endpoint, trust
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
from keepstep.databases.mysql_dialects import Row, Statement, dialect_of
from keepstep.databases.mysql_errors import answer_of, change_error, code_of, error_of
from keepstep.databases.threads import DriverThread
from keepstep.errors import Denied, Error, NotFound, Unsupported
from keepstep.secret import Secret

Connection = Any
"""PyMySQL has no types of its own."""

_UNSEEN = {1290: "strict", 1372: ""}
"""Errors of a server that does not take a hash, and a word of theirs: a validation plugin wants to see the password
(``--strict-password-validation``), or the account's plugin has hashes of another form.
"""
_FAILED, _NO_SUCH_USER = 1396, 1410


class MysqlDatabase:
    """One database of a server of either kind; which of them it is the server says itself."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.engine = endpoint.engine
        self.name = str(endpoint)
        self.name_limit = 80 if endpoint.engine is Engine.MARIADB else 32
        self._endpoint = endpoint

    async def probe(self, login: Login) -> Probe:
        try:
            await asyncio.to_thread(lambda: self._connect(login, self._endpoint.name).close())
        except NotLoggedIn as exc:
            return exc.probe
        return Probe(Answer.ACCEPT)

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    def remedy(self, username: str) -> str:
        return f"ALTER USER '{username}'@'%' IDENTIFIED BY '…'"

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[MysqlSession]:
        thread = DriverThread()
        try:
            # An administrator need not have a right to the database.
            connection = await thread.run(self._connect, login, None)
            try:
                yield MysqlSession(self.name, login.username, connection, thread)
            finally:
                await thread.run(_close, connection)
        finally:
            thread.end()

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
            )
        except (pymysql.Error, OSError) as exc:
            probe = answer_of(self.name, exc)
        raise NotLoggedIn.of(self.name, login.username, probe)


class MysqlSession:
    """A connection in autocommit mode."""

    def __init__(self, name: str, username: str, connection: Connection, thread: DriverThread) -> None:
        self._name = name
        self._username = username
        self._connection = connection
        self._thread = thread
        version, self._dialect = dialect_of(connection.server_version)
        self.server = Server(version=version, keeps_two_passwords=self._dialect.keeps_two_passwords)

    async def lock(self, name: str) -> bool:
        # GET_LOCK takes 64 characters.
        digest = hashlib.sha256(name.encode()).hexdigest()[:40]
        rows = await self._thread.run(self._ask, "SELECT GET_LOCK(%s, 0)", f"keepstep {digest}")
        return bool(int(rows[0][0] or 0))

    async def account(self, username: str) -> Account | None:
        return await self._thread.run(self._account, username)

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        return []

    async def policy(self, username: str) -> PasswordPolicy:
        return PasswordPolicy()

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        if keep_old and not self.server.keeps_two_passwords:
            raise Unsupported(f"{self._name}: version {self.server.version} keeps one password for each user")
        await self._thread.run(self._set_password, username, new, keep_old)

    async def retire(self, username: str) -> None:
        await self._thread.run(self._retire, username)

    # what follows runs in the session's thread

    def _account(self, username: str) -> Account | None:
        try:
            rows = self._ask(self._dialect.users, username)
            roles = self._ask(self._dialect.roles, username)
        except Denied:
            if username != self._username:
                raise
            return Account(username=username)
        return self._dialect.account(username, rows, roles) if rows else None

    def _set_password(self, username: str, new: Secret, keep_old: bool) -> None:
        hosts = self._hosts(username)
        failure = self._change(self._dialect.change(username, hosts, new, keep_old=keep_old), new)
        if failure and failure[0] in _UNSEEN and _UNSEEN[failure[0]] in failure[1].message:
            plain = self._dialect.change_plainly(username, hosts, new)
            failure = self._change(plain, new) if plain else failure
        if failure:
            raise failure[1]

    def _change(self, statements: Sequence[Statement], new: Secret) -> tuple[int, Error] | None:
        """None, or the number of the error and the error to raise, outside of where the password can be seen."""
        for text, parameters in statements:
            try:
                self._execute(text, parameters)
            except (pymysql.Error, OSError) as exc:
                cause = self._cause(exc)
                return code_of(cause)[0], change_error(self._name, cause, new.reveal())
        return None

    def _cause(self, exc: Exception) -> Exception:
        """MariaDB answers every ALTER USER that failed with 1396, and keeps the reason among its warnings."""
        if code_of(exc)[0] != _FAILED:
            return exc
        try:
            found = [row for row in self._execute("SHOW WARNINGS", ()) if row[0] == "Error"]
        except (pymysql.Error, OSError):
            return exc
        reasons = [pymysql.OperationalError(*row[1:]) for row in found if row[1] not in (_FAILED, _NO_SUCH_USER)]
        return reasons[0] if reasons else exc

    def _retire(self, username: str) -> None:
        for text, parameters in self._dialect.retire(username, self._hosts(username)):
            try:
                self._execute(text, parameters)
            except (pymysql.Error, OSError) as exc:
                raise error_of(self._name, exc) from exc

    def _hosts(self, username: str) -> list[str]:
        """From where the user may come; nothing for an account that may see only itself."""
        try:
            rows = self._ask(self._dialect.users, username)
        except Denied:
            if username != self._username:
                raise
            return []
        if not rows:
            raise NotFound(f"{self._name}: there is no user {username}")
        return [str(row[0]) for row in rows]

    def _ask(self, query: str, parameter: str) -> list[Row]:
        try:
            return self._execute(query, (parameter,))
        except (pymysql.Error, OSError) as exc:
            raise error_of(self._name, exc) from exc

    def _execute(self, text: str, parameters: Sequence[str]) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return list(cursor.fetchall())


def _close(connection: Connection) -> None:
    if connection.open:
        connection.close()
