"""What would keep MySQL or MariaDB from changing a user's password. Pure: what was read is given.

``ALTER USER`` on another account needs ``CREATE USER``, and on MySQL ``SYSTEM_USER`` where that account has it
(https://dev.mysql.com/doc/refman/8.4/en/alter-user.html); on the own account ``RETAIN CURRENT PASSWORD`` needs
``APPLICATION_PASSWORD_ADMIN`` or ``CREATE USER``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keepstep.databases.engines import Engine
from keepstep.databases.interface import Finding
from keepstep.databases.mysql_accounts import AccountRow
from keepstep.databases.mysql_dialects import Dialect
from keepstep.databases.mysql_grants import Grants

SEES_ROWS = "GRANT SELECT (User, Host) ON mysql.user TO {me}"


@dataclass(frozen=True, kw_only=True)
class Partner:
    """The other user of a pair: what its accounts may do, by host, and what the user's own may."""

    username: str
    theirs: dict[str, Grants]
    ours: dict[str, Grants]
    their_limits: dict[str, Mapping[str, float]]
    """What their accounts may use, by host."""


@dataclass(frozen=True, kw_only=True)
class MysqlSurvey:
    """What a session read before a change."""

    name: str
    """The database's."""
    engine: Engine
    dialect: Dialect
    version: str
    username: str
    me: str
    """The account of the session, quoted as in statements."""
    is_self: bool
    keep_old: bool
    grants: Grants
    """The session's own, those of its active roles included."""
    is_read_only: bool
    is_read_only_for_all: bool
    rows: Sequence[AccountRow] | None
    """None where the session may not look."""
    other_hosts: Sequence[str] | None = None
    """Of a user that changes itself: where else it may come from; None where nobody can tell."""
    has_system_user: bool = False
    partner: Partner | None = field(default=None)


def findings(survey: MysqlSurvey) -> list[Finding]:
    return [*_server(survey), *_rights(survey), *_account(survey), *_others(survey), *_pair(survey)]


def account_of(username: str, host: str) -> str:
    """As statements name it."""
    user, host = (part.replace("\\", "\\\\").replace("'", "''") for part in (username, host))
    return f"'{user}'@'{host}'"


def _server(survey: MysqlSurvey) -> Iterator[Finding]:
    writes = any(survey.grants.holds(right, "*.*") for right in survey.dialect.writes_anyway)
    if survey.is_read_only_for_all or (survey.is_read_only and not writes):
        yield Finding(f"{survey.name} only reads", "name the writer's host, not a replica's")
    if survey.keep_old and not survey.dialect.keeps_two_passwords:
        yield Finding(
            f"{survey.name}: version {survey.version} keeps one password for each user",
            "dual passwords need MySQL 8.0.14 or later",
        )


def _rights(survey: MysqlSurvey) -> Iterator[Finding]:
    me, grants = survey.me, survey.grants
    may_create = grants.holds("CREATE USER", "*.*")
    if survey.is_self:
        if survey.keep_old and not may_create and not grants.holds("APPLICATION_PASSWORD_ADMIN", "*.*"):
            yield Finding(
                f"{survey.name}: {survey.username} may not keep its old password",
                f"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {me}",
            )
        return
    if not may_create:
        what = f"{survey.name}: the administrator {me} may not change other users' passwords"
        yield Finding(what, f"GRANT CREATE USER ON *.* TO {me}")
    if survey.rows is None:
        what = f"{survey.name}: the administrator {me} may not see other users' accounts"
        yield Finding(what, f"GRANT SELECT ON mysql.* TO {me}")
    if survey.has_system_user and not grants.holds("SYSTEM_USER", "*.*"):
        what = f"{survey.name}: {survey.username} has SYSTEM_USER, and the administrator {me} has not"
        yield Finding(what, f"GRANT SYSTEM_USER ON *.* TO {me}")


def _account(survey: MysqlSurvey) -> Iterator[Finding]:
    rows, user = survey.rows, survey.username
    if rows is None:
        return
    if not rows:
        yield Finding(
            f"{survey.name}: there is no user {user}", f"CREATE USER {account_of(user, '%')} IDENTIFIED BY '…'"
        )
        return
    changed = [row for row in rows if row.changes]
    if not changed:
        plugins = ", ".join(sorted({row.plugins for row in rows}))
        yield Finding(
            f"{survey.name}: {user} logs in by {plugins}, where there is no password that keepstep can change",
            f"ALTER USER {account_of(user, rows[0].host)} {_method(survey.engine)}",
        )
    usable = [row for row in changed if not (row.is_locked or row.needs_certificate)]
    for row in changed:
        yield from _row(survey, row, is_needed=not usable)
    limits = [row.failures_allowed for row in changed if row.failures_allowed]
    if 1 in limits:
        fix = "SET GLOBAL max_password_errors = 10"
        if survey.engine is Engine.MYSQL:
            fix = f"ALTER USER {account_of(user, changed[0].host)} FAILED_LOGIN_ATTEMPTS 10"
        yield Finding(f"{survey.name}: a single failed login locks {user}", fix, is_blocking=False)


def _row(survey: MysqlSurvey, row: AccountRow, *, is_needed: bool) -> Iterator[Finding]:
    """An account that nobody gets in by is in the way only where there is no other: its password can be set."""
    account = account_of(survey.username, row.host)
    if row.is_locked:
        what, fix = f"{survey.name}: {account} is locked", f"ALTER USER {account} ACCOUNT UNLOCK"
        yield Finding(what, fix, is_blocking=is_needed)
    if row.is_empty:
        yield Finding(
            f"{survey.name}: {account} has no password",
            f"ALTER USER {account} IDENTIFIED BY '…', with the current password; or DROP USER {account}",
        )
    if row.needs_certificate:
        what = f"{survey.name}: {account} wants a client certificate, which keepstep has not"
        yield Finding(what, f"ALTER USER {account} REQUIRE SSL", is_blocking=is_needed)


def _others(survey: MysqlSurvey) -> Iterator[Finding]:
    """A user that changes itself changes the one account that it is logged in as."""
    if not survey.is_self:
        return
    if survey.other_hosts:
        others = ", ".join(account_of(survey.username, host) for host in survey.other_hosts)
        yield Finding(
            f"{survey.name}: {survey.username} can only change {survey.me}; {others} would keep the old password",
            "give the job an administrator (admin), or leave the user one account",
        )
    elif survey.other_hosts is None:
        # MySQL was asked for the hosts that people use; MariaDB tells nothing, so a specific one is suspicious.
        is_likely = survey.engine is Engine.MARIADB and not survey.me.endswith("@'%'")
        yield Finding(
            f"{survey.name}: {survey.me} cannot see whether {survey.username} has accounts for other hosts",
            f"{SEES_ROWS.format(me=survey.me)}; or give the job an administrator (admin)",
            is_blocking=is_likely,
        )


def _pair(survey: MysqlSurvey) -> Iterator[Finding]:
    partner = survey.partner
    if partner is None or not survey.rows:
        return
    for host, theirs in partner.theirs.items():
        account = account_of(survey.username, host)
        if host not in partner.ours:
            what = f"{survey.name}: {partner.username} may come from {host}, and {survey.username} may not"
            yield Finding(
                what, "; ".join([f"CREATE USER {account} IDENTIFIED BY '…'", *Grants().missing(theirs, account)])
            )
            continue
        ours = partner.ours[host]
        if missing := ours.missing(theirs, account):
            yield Finding(f"{survey.name}: {account} lacks rights of {partner.username}", "; ".join(missing))
        if lacking := theirs.defaults - ours.defaults:
            roles, word = ", ".join(sorted(lacking)), "FOR" if survey.engine is Engine.MARIADB else "TO"
            what = f"{survey.name}: {account} does not begin with the role {roles}, as {partner.username} does"
            yield Finding(what, f"SET DEFAULT ROLE {roles} {word} {account}")
        limits = next(row.limits for row in survey.rows if row.host == host)
        if tighter := _tighter(limits, partner.their_limits[host]):
            what = f"{survey.name}: {account} may use less than {partner.username}"
            yield Finding(what, f"ALTER USER {account} WITH {' '.join(tighter)}")


def _tighter(ours: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    """The limits that are lower than the other user's, as they should be; 0 is none."""
    wanted = {word: theirs.get(word, 0.0) for word, limit in ours.items()}
    return [f"{word} {limit:g}" for word, limit in sorted(wanted.items()) if not 0 < limit <= ours[word]]


def _method(engine: Engine) -> str:
    if engine is Engine.MARIADB:
        return "IDENTIFIED VIA mysql_native_password USING PASSWORD('…')"
    return "IDENTIFIED WITH caching_sha2_password BY '…'"
