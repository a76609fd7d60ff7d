"""What would keep Oracle from changing a user's password. Pure: what was read is given.

Rights: Oracle Database SQL Language Reference, "ALTER USER". Limits: "CREATE PROFILE". Verify functions: Database
Security Guide, "About Password Complexity Verification"; CLOUD_VERIFY_FUNCTION: "Manage Users on Autonomous
Database".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keepstep.databases.interface import Finding, PasswordPolicy
from keepstep.databases.oracle_names import identifier

LOCK_GRANT = "GRANT EXECUTE ON SYS.DBMS_LOCK TO {me}"
_LONGEST = 30
"""Bytes that every release takes."""
_VERIFY_FUNCTIONS = {
    "ORA12C_VERIFY_FUNCTION": PasswordPolicy(shortest=8, digits=1),
    "ORA12C_STRONG_VERIFY_FUNCTION": PasswordPolicy(shortest=9, capitals=2, small_letters=2, digits=2, marks=2),
    "ORA12C_STIG_VERIFY_FUNCTION": PasswordPolicy(shortest=15, capitals=1, small_letters=1, digits=1, marks=1),
    "VERIFY_FUNCTION_11G": PasswordPolicy(shortest=8, digits=1),
    "CLOUD_VERIFY_FUNCTION": PasswordPolicy(shortest=12, capitals=1, small_letters=1, digits=1),
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Statements without their ``TO``, and roles, that one user has and the other may lack."""

    like: str
    theirs: dict[str, str]
    """``GRANT …`` by what is given; the tail of its statement."""
    ours: frozenset[str]
    profile: str = ""
    """Theirs; empty where it cannot be seen."""
    their_defaults: frozenset[str] = frozenset()
    our_defaults: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class OracleSurvey:
    """What a session read before a change."""

    name: str
    version: str
    keeps_two: bool
    username: str
    me: str
    """The session's user, quoted."""
    is_self: bool
    keep_old: bool
    role: str
    """The database's, as Data Guard has it."""
    privileges: frozenset[str]
    may_lock: bool
    sees_users: bool
    status: str | None = None
    """ACCOUNT_STATUS; None where there is no such user."""
    authentication: str = "PASSWORD"
    profile: str = ""
    limits: dict[str, str]
    pair: Pair | None = None
    unseen: str = ""
    """The view that could not be read, so that the pair was not compared."""


def findings(survey: OracleSurvey) -> list[Finding]:
    found = [*_server(survey), *_rights(survey)]
    return found + ([*_account(survey), *_pair(survey)] if survey.sees_users else [])


def policy_of(limits: dict[str, str]) -> PasswordPolicy:
    """What the profile's verify function is known to want; others do not tell."""
    known = _VERIFY_FUNCTIONS.get(limits.get("PASSWORD_VERIFY_FUNCTION", ""), PasswordPolicy())
    return known.with_(PasswordPolicy(longest=_LONGEST))


def window_days(limits: dict[str, str]) -> float:
    """PASSWORD_ROLLOVER_TIME; 0 where there is none."""
    try:
        return max(0.0, float(limits.get("PASSWORD_ROLLOVER_TIME", "").replace(",", ".")))
    except ValueError:
        return 0.0


def failures_allowed(limits: dict[str, str]) -> int | None:
    text = limits.get("FAILED_LOGIN_ATTEMPTS", "")
    return int(text) if text.isdecimal() else None


def _server(survey: OracleSurvey) -> Iterator[Finding]:
    if survey.role not in ("", "PRIMARY"):
        what = f"{survey.name} is a {survey.role.lower()} and only reads"
        yield Finding(what, "name the primary database, not a standby")


def _rights(survey: OracleSurvey) -> Iterator[Finding]:
    if not survey.is_self and "ALTER USER" not in survey.privileges:
        what = f"{survey.name}: the administrator {survey.me} may not change other users' passwords"
        yield Finding(what, f"GRANT ALTER USER TO {survey.me}")
    if not survey.sees_users:
        what = f"{survey.name}: the administrator {survey.me} may not see other users"
        views = ("DBA_USERS", "DBA_PROFILES", "DBA_ROLE_PRIVS")
        yield Finding(what, "; ".join(f"GRANT SELECT ON SYS.{view} TO {survey.me}" for view in views))
    if not survey.may_lock and (survey.keep_old or "ALTER USER" in survey.privileges or not survey.is_self):
        what = f"{survey.name}: {survey.me} may not take the lock that keeps two workers apart"
        yield Finding(what, LOCK_GRANT.format(me=survey.me))


def _account(survey: OracleSurvey) -> Iterator[Finding]:
    name, user, him = survey.name, survey.username, identifier(survey.username)
    if survey.status is None:
        yield Finding(f"{name}: there is no user {user}", f'CREATE USER {him} IDENTIFIED BY "…"')
        return
    if survey.authentication != "PASSWORD":
        what = f"{name}: {user} logs in by {survey.authentication}, and has no password to change"
        yield Finding(what, f'ALTER USER {him} IDENTIFIED BY "…"')
    if re.search(r"\bLOCKED", survey.status):
        yield Finding(f"{name}: {user} is locked: {survey.status}", f"ALTER USER {him} ACCOUNT UNLOCK")
    profile = identifier(survey.profile) if survey.profile else "<the user's profile>"
    if survey.keep_old and not survey.keeps_two:
        yield Finding(
            f"{name}: version {survey.version} keeps one password", "rollover needs Oracle 19.12 or later"
        )
    elif survey.keep_old and not window_days(survey.limits):
        what = f"{name}: the profile of {user} has no time in which two passwords work"
        yield Finding(what, f"ALTER PROFILE {profile} LIMIT PASSWORD_ROLLOVER_TIME 1")
    if failures_allowed(survey.limits) == 1:
        fix = f"ALTER PROFILE {profile} LIMIT FAILED_LOGIN_ATTEMPTS 10"
        yield Finding(f"{name}: a single failed login locks {user}", fix, is_blocking=False)


def _pair(survey: OracleSurvey) -> Iterator[Finding]:
    if survey.unseen:
        what = f"{survey.name}: what {survey.username} and its partner may do cannot be compared"
        yield Finding(what, f"GRANT SELECT ON {survey.unseen} TO {survey.me}", is_blocking=False)
    pair = survey.pair
    if pair is None or survey.status is None:
        return
    him = identifier(survey.username)
    lacking = sorted(pair.theirs.keys() - pair.ours)
    if lacking:
        statements = [f"{right} TO {him}{pair.theirs[right]}" for right in lacking]
        yield Finding(f"{survey.name}: {survey.username} lacks rights of {pair.like}", "; ".join(statements))
    if pair.profile and pair.profile != survey.profile:
        what = f"{survey.name}: {survey.username} has another profile than {pair.like}"
        yield Finding(what, f"ALTER USER {him} PROFILE {_quoted(pair.profile)}", is_blocking=False)
    if missing := pair.their_defaults - pair.our_defaults:
        roles = ", ".join(map(_quoted, sorted(pair.our_defaults | missing)))
        what = f"{survey.name}: sessions of {survey.username} begin without roles that {pair.like} begins with"
        yield Finding(what, f"ALTER USER {him} DEFAULT ROLE {roles}")


Row = Sequence[object]


def rights_of(
    roles: Sequence[Row], system: Sequence[Row], objects: Sequence[Row], columns: Sequence[Row]
) -> dict[str, str]:
    """Statements by what they give, up to their ``TO``, and what follows it."""
    rights = {f"GRANT {_quoted(role)}": _tail(option, "ADMIN") for role, _, option in roles}
    rights |= {f"GRANT {privilege}": _tail(option, "ADMIN") for privilege, option in system}
    for privilege, owner, table, kind, option in objects:
        # Directories, editions and the like have no schema in a statement.
        place = f"{kind} {_quoted(table)}" if kind == "DIRECTORY" else f"{_quoted(owner)}.{_quoted(table)}"
        rights[f"GRANT {privilege} ON {place}"] = _tail(option, "GRANT")
    for privilege, owner, table, column, option in columns:
        place = f"({_quoted(column)}) ON {_quoted(owner)}.{_quoted(table)}"
        rights[f"GRANT {privilege} {place}"] = _tail(option, "GRANT")
    return rights


def _tail(option: object, word: str) -> str:
    return f" WITH {word} OPTION" if option == "YES" else ""


def _quoted(name: object) -> str:
    return '"' + str(name) + '"'
