"""One connection to Oracle that changes passwords, and looks ahead."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import oracledb

from keepstep.databases import oracle_queries as queries
from keepstep.databases.interface import Account, Finding, Login, PasswordPolicy, PasswordSlot, ServerInfo
from keepstep.databases.oracle_errors import change_error, error_of
from keepstep.databases.oracle_names import canonical, identifier, text
from keepstep.databases.oracle_preflight import (
    LOCK_GRANT,
    OracleSurvey,
    Pair,
    failures_allowed,
    findings,
    policy_of,
    rights_of,
    window_days,
)
from keepstep.errors import Conflict, Denied, Error, NotFound, Unsupported
from keepstep.secret import Secret

FAILURES = (oracledb.Error, OSError, TimeoutError)
_ROLLOVER = "ALTER PROFILE <the user's profile> LIMIT PASSWORD_ROLLOVER_TIME 1; it needs Oracle 19.12"


class OracleSession:
    """A connection; DDL commits by itself."""

    def __init__(self, name: str, login: Login, connection: oracledb.AsyncConnection) -> None:
        self._name = name
        self._login = login
        self._connection = connection
        self._is_without_lock = False
        version = connection.version
        numbers = tuple(int(part) for part in version.split("."))
        self.server = ServerInfo(version=version, keeps_two_passwords=numbers >= (19, 12))

    async def lock(self, name: str) -> bool:
        """A lock by number (0 to 1073741823), which lives as long as the session.

        Who may change only itself, and may not use DBMS_LOCK, needs none: see :meth:`set_password`.
        """
        number = int.from_bytes(sha256(name.encode()).digest()[:4], "big") & 0x3FFFFFFF
        try:
            await self._run(queries.LOCK.format(number=number))
        except FAILURES as exc:
            if "ORA-20990" in str(exc):
                return False
            failure = error_of(self._name, exc)
        else:
            return True
        if isinstance(failure, Denied) and "ALTER USER" not in await self._privileges():
            self._is_without_lock = True
            return True
        raise failure

    async def account(self, username: str) -> Account | None:
        known = await self._known(username)
        if known is None:
            return None
        (status, age, _, _), limits, roles = known
        window = timedelta(days=window_days(limits))
        until = datetime.now(UTC) + window - timedelta(seconds=_number(age))
        # The status stays until somebody logs in, also when the time is over.
        is_rolling = "IN ROLLOVER" in status and (not age or until > datetime.now(UTC))
        return Account(
            username=username,
            locked=status if re.search(r"\bLOCKED", status) else "",
            has_second_password=is_rolling,
            second_password_until=until if is_rolling else None,
            can_keep_two=self.server.keeps_two_passwords and window > timedelta(),
            failures_allowed=failures_allowed(limits),
            roles=frozenset(str(role[0]) for role in roles),
        )

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        role, may_lock = (await self._ask(queries.STANDING))[0]
        try:
            known, sees_users = await self._known(username), True
        except Denied:
            known, sees_users = None, False
        (status, _, authentication, profile), limits, _ = known or (("", "", "", ""), {}, [])
        pair, unseen = await self._pair(username, like) if like and known else (None, "")
        return findings(
            OracleSurvey(
                name=self._name,
                version=self.server.version,
                keeps_two=self.server.keeps_two_passwords,
                username=username,
                me=identifier(self._login.username),
                is_self=self._is_own(username),
                keep_old=keep_old,
                role=str(role or ""),
                privileges=await self._privileges(),
                may_lock=str(may_lock or "0") != "0",
                sees_users=sees_users,
                status=status if known else None,
                authentication=authentication or "PASSWORD",
                profile=profile,
                limits=limits,
                pair=pair,
                unseen=unseen,
            )
        )

    async def policy(self, username: str) -> PasswordPolicy:
        known = await self._known(username)
        return policy_of(known[1] if known else {})

    async def slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        """Oracle shows no verifier to administrators."""
        return None

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        """A user's own change names the old password, and fails where that is not the user's any more.

        While two passwords work it would take either for the old one, so there it is not made without the lock.
        """
        if keep_old:
            await self._check_room(username)
        if not self._is_own(username):
            change: Awaitable[None] = self._run(f"ALTER USER {identifier(username)} IDENTIFIED BY {_quoted(new)}")
        elif self._is_without_lock and keep_old:
            me = identifier(username)
            raise Denied(f"{self._name}: {me} may not use DBMS_LOCK", hint=LOCK_GRANT.format(me=me))
        else:
            change = self._connection.changepassword(self._login.password.reveal(), new.reveal())
        await self._change(change)

    async def retire(self, username: str) -> None:
        account = await self.account(username)
        if account is None:
            raise NotFound(f"{self._name}: there is no user {username}")
        if account.has_second_password:
            await self._change(self._run(f"ALTER USER {identifier(username)} EXPIRE PASSWORD ROLLOVER PERIOD"))

    def _is_own(self, username: str) -> bool:
        return canonical(username) == canonical(self._login.username)

    async def _known(
        self, username: str
    ) -> tuple[tuple[str, str, str, str], dict[str, str], list[tuple[Any, ...]]] | None:
        """Status, age in seconds, way of logging in and profile; limits; roles. None for a user that is missing."""
        name = text(canonical(username))
        try:
            rows = await self._ask(queries.ACCOUNT.format(name=name))
            limits = await self._ask(queries.LIMITS.format(name=name))
            roles = await self._ask(queries.ROLES.format(name=name))
        except Denied:
            if not self._is_own(username):
                raise
            rows, limits, roles = [await self._ask(query) for query in _OWN]
        if not rows:
            return None
        status, age, authentication, profile = (str(field or "") for field in rows[0])
        return (status, age, authentication, profile), {str(key): str(value) for key, value in limits}, roles

    async def _pair(self, username: str, like: str) -> tuple[Pair | None, str]:
        ours, theirs = text(canonical(username)), text(canonical(like))
        rights: list[list[tuple[Any, ...]]] = []
        try:
            roles = [await self._ask(queries.ROLES.format(name=name)) for name in (theirs, ours)]
            profile = await self._ask(queries.ACCOUNT.format(name=theirs))
            for query in _RIGHTS.values():
                rights.append(await self._ask(queries.of_itself(query, theirs)))
                rights.append(await self._ask(queries.of_all_it_has(query, ours)))
        except Denied:
            return None, list(_RIGHTS)[len(rights) // 2]
        system, our_system, objects, our_objects, columns, our_columns = rights
        return Pair(
            like=like,
            theirs=rights_of(roles[0], system, objects, columns),
            ours=frozenset(rights_of(roles[1], our_system, our_objects, our_columns)),
            profile=str(profile[0][3] or "") if profile else "",
            their_defaults=frozenset(str(role) for role, is_default, _ in roles[0] if is_default == "YES"),
            our_defaults=frozenset(str(role) for role, is_default, _ in roles[1] if is_default == "YES"),
        ), ""

    async def _privileges(self) -> frozenset[str]:
        return frozenset(str(row[0]) for row in await self._ask(queries.PRIVILEGES))

    async def _check_room(self, username: str) -> None:
        account = await self.account(username)
        if account is None:
            raise NotFound(f"{self._name}: there is no user {username}")
        if not account.can_keep_two:
            raise Unsupported(f"{self._name}: {username} keeps one password", hint=_ROLLOVER)
        if account.has_second_password:
            raise Conflict(f"{self._name}: a rollover of {username}'s password is under way")

    async def _change(self, change: Awaitable[None]) -> None:
        """Raises outside of where the statement can be seen."""
        failure: Error | None = None
        try:
            await change
        except Exception as exc:  # noqa: BLE001 - the driver may raise anything
            failure = change_error(self._name, exc)
        if failure:
            raise failure

    async def _ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = await self._connection.fetchall(query)
        except Exception as exc:  # noqa: BLE001 - the driver may raise anything
            failure = error_of(self._name, exc)
        else:
            return rows
        raise failure

    async def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            await cursor.execute(statement)


_OWN = (queries.OWN_ACCOUNT, queries.OWN_LIMITS, queries.OWN_ROLES)
_RIGHTS = {
    "SYS.DBA_SYS_PRIVS": queries.SYSTEM_RIGHTS,
    "SYS.DBA_TAB_PRIVS": queries.OBJECT_RIGHTS,
    "SYS.DBA_COL_PRIVS": queries.COLUMN_RIGHTS,
}


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
