"""What would keep PostgreSQL from changing a role's password. The deciding is pure: what was read is given.

Until 15 ``CREATEROLE`` changes every role but superusers and those with ``REPLICATION``; from 16 on it also takes
``ADMIN OPTION`` on the role (https://www.postgresql.org/docs/current/role-attributes.html). RDS has a setting of
its own, ``rds.restrict_password_commands``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keepstep.databases.interface import Finding

MANY = 20
"""Statements that are shown; there may be one for each table."""

SURVEY = """
SELECT current_setting('server_version_num')::int >= 160000, pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'on', quote_ident(me.rolname), me.rolsuper, me.rolcreaterole,
       coalesce(current_setting('rds.restrict_password_commands', true) IN ('on', '1'), false)
         AND NOT coalesce((SELECT pg_has_role(me.oid, p.oid, 'MEMBER') FROM pg_roles p
                            WHERE p.rolname = 'rds_password'), false),
       him.rolname IS NOT NULL, quote_ident(coalesce(him.rolname, '')), coalesce(him.rolcanlogin, false),
       coalesce(him.rolvaliduntil <= now(), false), coalesce(him.rolsuper, false),
       coalesce(him.rolreplication, false),
       coalesce(pg_has_role(me.oid, him.oid, 'MEMBER WITH ADMIN OPTION'), false), coalesce(me.oid = him.oid, false)
  FROM pg_roles me LEFT JOIN pg_roles him ON him.rolname = %s
 WHERE me.rolname = current_user
"""


@dataclass(frozen=True)
class PostgresSurvey:
    """What :data:`SURVEY` returns, in its order, after the database's and the role's name."""

    name: str
    username: str
    wants_admin_option: bool
    is_standby: bool
    is_read_only: bool
    me: str
    """Quoted, as is ``him``."""
    is_superuser: bool
    may_create_roles: bool
    lacks_rds_password: bool
    exists: bool
    him: str
    may_log_in: bool
    is_over: bool
    he_is_superuser: bool
    he_replicates: bool
    is_his_admin: bool
    is_self: bool


def findings(survey: PostgresSurvey) -> list[Finding]:
    return [*_server(survey), *_account(survey), *(_rights(survey) if survey.exists else ())]


def _server(survey: PostgresSurvey) -> Iterator[Finding]:
    if survey.is_standby:
        yield Finding(f"{survey.name} is a standby and only reads", "name the primary's host, not a standby's")
    elif survey.is_read_only:
        fix = f"ALTER ROLE {survey.me} SET default_transaction_read_only = off, and the same for the database"
        yield Finding(f"{survey.name} only reads in sessions of {survey.me}", fix)


def _account(survey: PostgresSurvey) -> Iterator[Finding]:
    if not survey.exists:
        quoted = survey.username.replace('"', '""')
        fix = f"CREATE ROLE \"{quoted}\" LOGIN PASSWORD '…'"
        yield Finding(f"{survey.name}: there is no user {survey.username}", fix)
        return
    if not survey.may_log_in:
        yield Finding(f"{survey.name}: {survey.username} is locked: NOLOGIN", f"ALTER ROLE {survey.him} LOGIN")
    if survey.is_over:
        what = f"{survey.name}: the password of {survey.username} has expired: VALID UNTIL is over"
        yield Finding(what, f"ALTER ROLE {survey.him} VALID UNTIL 'infinity'")


def _rights(survey: PostgresSurvey) -> Iterator[Finding]:
    if survey.lacks_rds_password and not survey.is_superuser:
        yield Finding(f"{survey.name}: {survey.me} may change no password", f"GRANT rds_password TO {survey.me}")
    if survey.is_superuser or survey.is_self:
        return
    if survey.he_is_superuser:
        what = f"{survey.name}: {survey.username} is a superuser, and the administrator {survey.me} is not"
        yield Finding(what, f"ALTER ROLE {survey.him} NOSUPERUSER; or let a superuser be the administrator")
        return
    if not survey.may_create_roles:
        what = f"{survey.name}: the administrator {survey.me} may not change other users' passwords"
        yield Finding(what, f"ALTER ROLE {survey.me} CREATEROLE")
    if survey.wants_admin_option and not survey.is_his_admin:
        yield Finding(
            f"{survey.name}: the administrator {survey.me} is not an administrator of {survey.username}",
            f"GRANT {survey.him} TO {survey.me} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        )
    if survey.he_replicates and not survey.wants_admin_option:
        what = f"{survey.name}: before PostgreSQL 16 only a superuser changes the password of a replication role"
        yield Finding(what, f"ALTER ROLE {survey.him} NOREPLICATION")


def pair(name: str, username: str, like: str, statements: Sequence[str]) -> list[Finding]:
    """One finding for all that :data:`keepstep.databases.postgres_pair.MISSING` returned."""
    if not statements:
        return []
    shown = "; ".join(statements[:MANY])
    more = f"; and {len(statements) - MANY} more" if len(statements) > MANY else ""
    return [Finding(f"{name}: {username} lacks {len(statements)} rights or settings of {like}", shown + more)]
