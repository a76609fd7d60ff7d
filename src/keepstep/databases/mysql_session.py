"""One connection to MySQL or MariaDB that changes passwords, and looks ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pymysql

from keepstep.databases.engines import Engine
from keepstep.databases.interface import Account, Finding, Login, PasswordPolicy, PasswordSlot, ServerInfo
from keepstep.databases.mysql_accounts import AccountRow, own_row
from keepstep.databases.mysql_dialects import Mariadb, Row, Statement, dialect_of
from keepstep.databases.mysql_errors import change_error, code_of, error_of
from keepstep.databases.mysql_grants import Grants
from keepstep.databases.mysql_hosts import hosts_known_to
from keepstep.databases.mysql_preflight import MysqlSurvey, Partner, account_of, findings
from keepstep.databases.mysql_verifiers import slot_among
from keepstep.databases.threads import DriverThread
from keepstep.errors import Denied, Error, NotFound, Unsupported
from keepstep.secret import Secret

Connection = Any
"""PyMySQL has no types of its own."""

_UNSEEN = {1290: "strict", 1372: ""}
"""Errors of a server that does not take a hash, and a word of theirs: a validation plugin wants to see the password
(``--strict-password-validation``), or the account's plugin has hashes of another form.
"""
_FAILED, _NO_SUCH_USER, _WANTS_OLD = 1396, 1410, 3892


class MysqlSession:
    """A connection in autocommit mode."""

    def __init__(self, name: str, login: Login, connection: Connection, thread: DriverThread) -> None:
        self._name = name
        self._login = login
        self._username = login.username
        self._connection = connection
        self._thread = thread
        version, self._dialect = dialect_of(connection.server_version)
        self.server = ServerInfo(version=version, keeps_two_passwords=self._dialect.keeps_two_passwords)

    async def lock(self, name: str) -> bool:
        # GET_LOCK takes 64 characters.
        digest = hashlib.sha256(name.encode()).hexdigest()[:40]
        rows = await self._thread.run(self._ask, "SELECT GET_LOCK(%s, 0)", f"keepstep {digest}")
        return bool(int(rows[0][0] or 0))

    async def account(self, username: str) -> Account | None:
        return await self._thread.run(self._account, username)

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        return findings(await self._thread.run(self._survey, username, keep_old, like))

    async def policy(self, username: str) -> PasswordPolicy:
        rows = await self._thread.run(self._ask, self._dialect.policy)
        return self._dialect.demands({str(name): str(value) for name, value in rows})

    async def slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        return await self._thread.run(self._slot_of, username, password)

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        if keep_old and not self.server.keeps_two_passwords:
            raise Unsupported(f"{self._name}: version {self.server.version} keeps one password for each user")
        await self._thread.run(self._set_password, username, new, keep_old)

    async def retire(self, username: str) -> None:
        await self._thread.run(self._retire, username)

    # what follows runs in the session's thread

    def _account(self, username: str) -> Account | None:
        rows = self._rows(username)
        if rows is None:
            return self._own_account()
        if not rows:
            return None
        limits = [row.failures_allowed for row in rows if row.failures_allowed and row.changes]
        roles = self._ask(self._dialect.roles, username)
        return Account(
            username=username,
            locked="ACCOUNT LOCK" if all(row.is_locked for row in rows) else "",
            has_second_password=any(row.has_second for row in rows),
            can_keep_two=self._dialect.keeps_two_passwords,
            failures_allowed=min(limits, default=None),
            roles=frozenset(str(role) for role, _, _ in roles),
            default_role=next((str(role) for role, is_default, _ in roles if int(is_default)), ""),
        )

    def _slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        try:
            rows = self._ask(self._dialect.verifiers, username)
        except Error:
            return None
        slots = {slot_among(password, str(plugin), newest, second) for plugin, newest, second in rows}
        return slots.pop() if len(slots) == 1 else None

    def _own_account(self) -> Account:
        row = self._own_row()
        return Account(username=self._username, failures_allowed=row.failures_allowed if row else None)

    def _rows(self, username: str) -> list[AccountRow] | None:
        """All of that name; None for a user that may see no more than itself."""
        try:
            rows = self._ask(self._dialect.rows, username)
        except Denied:
            if username != self._username:
                raise
            return None
        return [self._dialect.row(row) for row in rows]

    def _own_row(self) -> AccountRow | None:
        """The account that is logged in; None where its password has expired, and nothing may be asked."""
        try:
            host = str(self._ask("SELECT CURRENT_USER()")[0][0]).rpartition("@")[2]
            created = str(self._ask("SHOW CREATE USER CURRENT_USER()")[0][0])
            is_mariadb = isinstance(self._dialect, Mariadb)
            errors = int(self._ask("SELECT @@max_password_errors")[0][0]) if is_mariadb else None
        except Error:
            return None
        return own_row(host, created, errors)

    def _set_password(self, username: str, new: Secret, keep_old: bool) -> None:
        rows = self._rows(username)
        if rows is None:
            self._set_own(new, keep_old)
            return
        changed = self._changeable(username, rows)
        failure = self._change(self._dialect.change(username, changed, new, keep_old=keep_old), new)
        if failure and failure[0] in _UNSEEN and _UNSEEN[failure[0]] in failure[1].message:
            plain = self._dialect.change_plainly(username, changed, new)
            failure = self._change(plain, new) if plain else failure
        if failure:
            raise failure[1]

    def _set_own(self, new: Secret, keep_old: bool) -> None:
        failure = self._change(self._dialect.change_own(self._own_row(), new, keep_old=keep_old), new)
        if failure and failure[0] in _UNSEEN and _UNSEEN[failure[0]] in failure[1].message:
            failure = self._change(self._dialect.change_own(None, new, keep_old=keep_old), new)
        if failure and failure[0] == _WANTS_OLD:  # password_require_current
            text, values = self._dialect.change_own(None, new, keep_old=keep_old)
            text = text.replace("IDENTIFIED BY %s", "IDENTIFIED BY %s REPLACE %s")
            failure = self._change((text, (*values, self._login.password.reveal())), new)
        if failure:
            raise failure[1]

    def _changeable(self, username: str, rows: Sequence[AccountRow]) -> list[AccountRow]:
        """Those that have a password; the others, by socket or by certificate, stay as they are."""
        if not rows:
            raise NotFound(f"{self._name}: there is no user {username}")
        changed = [row for row in rows if row.changes]
        if not changed:
            plugins = ", ".join(sorted({row.plugins for row in rows}))
            raise Unsupported(f"{self._name}: {username} logs in by {plugins}, and has no password to change")
        return changed

    def _change(self, statement: Statement, new: Secret) -> tuple[int, Error] | None:
        """None, or the number of the error and the error to raise, outside of where the password can be seen."""
        try:
            self._execute(*statement)
        except Exception as exc:  # noqa: BLE001 - the driver may raise anything
            cause = self._cause(exc)
            return code_of(cause)[0], change_error(self._name, cause, new.reveal(), self._login.password.reveal())
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
        rows = self._rows(username)
        changed = [] if rows is None else self._changeable(username, rows)
        if statement := self._dialect.retire(username, changed):
            text, values = statement
            self._ask(text, *values)

    def _survey(self, username: str, keep_old: bool, like: str) -> MysqlSurvey:
        self._ask("SET SESSION sql_mode = ''")  # which decides how names are quoted in what is shown
        me, _, here = str(self._ask("SELECT CURRENT_USER()")[0][0]).rpartition("@")
        is_self = username == self._username
        try:
            rows = self._rows(username)
        except Denied:
            rows = None
        is_read_only, for_all = self._ask(self._dialect.read_only)[0]
        return MysqlSurvey(
            name=self._name,
            engine=Engine.MARIADB if isinstance(self._dialect, Mariadb) else Engine.MYSQL,
            dialect=self._dialect,
            version=self.server.version,
            username=username,
            me=account_of(me, here),
            is_self=is_self,
            keep_old=keep_old,
            grants=Grants.of(str(row[0]) for row in self._ask("SHOW GRANTS")),
            is_read_only=bool(int(is_read_only)),
            is_read_only_for_all=bool(int(for_all)),
            rows=rows if rows is not None or not is_self else [row for row in [self._own_row()] if row],
            other_hosts=self._other_hosts(username, here) if is_self else None,
            has_system_user=not is_self and rows is not None and self._has_system_user(username),
            partner=self._partner(username, like, rows) if like and rows and not is_self else None,
        )

    def _other_hosts(self, username: str, here: str) -> list[str] | None:
        """Where else the session's own user may come from, as far as it can be found out; None: not at all."""
        try:
            rows = self._ask("SELECT Host FROM mysql.user WHERE User = %s", username)
            return sorted({str(row[0]) for row in rows} - {here})
        except Denied:
            if isinstance(self._dialect, Mariadb):
                return None
        # MySQL shows the grants of one's own name for any host.
        seen = str(self._ask("SELECT SUBSTRING_INDEX(USER(), '@', -1)")[0][0])
        own = str(self._connection._sock.getsockname()[0])
        found = [host for host in hosts_known_to(seen, own) if host != here and self._is_granted(username, host)]
        return found or None

    def _is_granted(self, username: str, host: str) -> bool:
        try:
            self._execute("SHOW GRANTS FOR %s@%s", (username, host))
        except pymysql.Error:
            return False
        return True

    def _has_system_user(self, username: str) -> bool:
        if isinstance(self._dialect, Mariadb):
            return False
        query = "SELECT 1 FROM mysql.global_grants WHERE USER = %s AND PRIV = 'SYSTEM_USER'"
        return bool(self._ask(query, username))

    def _partner(self, username: str, like: str, rows: Sequence[AccountRow]) -> Partner:
        theirs = self._rows(like) or []
        return Partner(
            username=like,
            theirs={row.host: self._grants(like, row.host) for row in theirs if row.changes},
            ours={row.host: self._grants(username, row.host) for row in rows},
            their_limits={row.host: row.limits for row in theirs},
        )

    def _grants(self, username: str, host: str) -> Grants:
        grants = Grants.of(str(row[0]) for row in self._ask("SHOW GRANTS FOR %s@%s", username, host))
        if not isinstance(self._dialect, Mariadb):
            query = (
                "SELECT DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles WHERE USER = %s AND HOST = %s"
            )
            grants.defaults |= {f"`{role}`@`{where}`" for role, where in self._ask(query, username, host)}
        return grants

    def _ask(self, query: str, *parameters: str) -> list[Row]:
        try:
            return self._execute(query, parameters)
        except Exception as exc:  # noqa: BLE001 - the driver may raise anything
            failure = error_of(self._name, exc)
        raise failure

    def _execute(self, text: str, parameters: Sequence[str]) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, parameters or None)  # with nothing to put in a % is a %
            return list(cursor.fetchall())
