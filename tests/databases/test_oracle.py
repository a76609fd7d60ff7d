"""Oracle: what its dictionary is asked, and what a preflight finds, on a server of ours that keeps its rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.databases import oracle_queries
from keepstep.databases.endpoint import trust
from keepstep.databases.interface import Answer, Finding, Login, PasswordPolicy
from keepstep.databases.oracle import OracleDatabase, dsn_of
from keepstep.errors import Denied, Error
from keepstep.secret import Secret
from tests.contract.database_backends import fresh
from tests.database_servers.certificates import Authority
from tests.database_servers.oracle import OracleServer, oracle

FIRST = "First-1-Pass.word"
A, R = Answer.ACCEPT, Answer.REJECT
REFERENCE = "https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/{}.html"

PUBLISHED = {
    "DBA_USERS": """USERNAME USER_ID PASSWORD ACCOUNT_STATUS LOCK_DATE EXPIRY_DATE DEFAULT_TABLESPACE
        TEMPORARY_TABLESPACE LOCAL_TEMP_TABLESPACE CREATED PROFILE INITIAL_RSRC_CONSUMER_GROUP EXTERNAL_NAME
        PASSWORD_VERSIONS EDITIONS_ENABLED AUTHENTICATION_TYPE PROXY_ONLY_CONNECT COMMON LAST_LOGIN
        ORACLE_MAINTAINED INHERITED DEFAULT_COLLATION IMPLICIT ALL_SHARD PASSWORD_CHANGE_DATE""",
    "USER_USERS": """USERNAME USER_ID ACCOUNT_STATUS LOCK_DATE EXPIRY_DATE DEFAULT_TABLESPACE TEMPORARY_TABLESPACE
        LOCAL_TEMP_TABLESPACE CREATED INITIAL_RSRC_CONSUMER_GROUP EXTERNAL_NAME PROXY_ONLY_CONNECT COMMON
        ORACLE_MAINTAINED INHERITED DEFAULT_COLLATION IMPLICIT ALL_SHARD""",
    "DBA_PROFILES": "PROFILE RESOURCE_NAME RESOURCE_TYPE LIMIT COMMON INHERITED IMPLICIT",
    "USER_PASSWORD_LIMITS": "RESOURCE_NAME LIMIT",
    "DBA_ROLE_PRIVS": "GRANTEE GRANTED_ROLE ADMIN_OPTION DELEGATE_OPTION DEFAULT_ROLE COMMON INHERITED",
    "USER_ROLE_PRIVS": """USERNAME GRANTED_ROLE ADMIN_OPTION DELEGATE_OPTION DEFAULT_ROLE OS_GRANTED COMMON
        INHERITED""",
    "DBA_SYS_PRIVS": "GRANTEE PRIVILEGE ADMIN_OPTION COMMON INHERITED",
    "DBA_TAB_PRIVS": """GRANTEE OWNER TABLE_NAME GRANTOR PRIVILEGE GRANTABLE HIERARCHY COMMON TYPE INHERITED""",
    "DBA_COL_PRIVS": "GRANTEE OWNER TABLE_NAME COLUMN_NAME GRANTOR PRIVILEGE GRANTABLE COMMON INHERITED",
    "SESSION_PRIVS": "PRIVILEGE",
    "ALL_PROCEDURES": """OWNER OBJECT_NAME PROCEDURE_NAME OBJECT_ID SUBPROGRAM_ID OVERLOAD OBJECT_TYPE AGGREGATE
        PIPELINED IMPLTYPEOWNER IMPLTYPENAME PARALLEL INTERFACE DETERMINISTIC AUTHID RESULT_CACHE ORIGIN_CON_ID
        POLYMORPHIC""",
    "DUAL": "DUMMY",
}
"""Views and their columns as the Database Reference of 19c has them, each on the page of its name at REFERENCE."""

WORDS = set(
    """SELECT FROM WHERE AND OR ON IN JOIN LEFT START WITH CONNECT BY PRIOR NULL COUNT TO_CHAR DECODE SYSDATE
    SYS_CONTEXT SYS""".split()
)
"""What else stands in queries: words of SQL, functions, and the schema."""


def queries() -> dict[str, str]:
    """All of them, filled in as they are sent."""
    named = {
        name: text
        for name, text in vars(oracle_queries).items()
        if name.isupper() and isinstance(text, str) and "SELECT" in text and not name.startswith("_")
    }
    filled = {}
    for name, text in named.items():
        if "{who}" in text:
            filled[f"{name} of itself"] = oracle_queries.of_itself(text, "'X'")
            filled[f"{name} of all"] = oracle_queries.of_all_it_has(text, "'X'")
        else:
            filled[name] = text.format(name="'X'")
    return filled


@pytest.mark.parametrize(("name", "query"), queries().items())
def test_every_word_of_a_query_is_published(name: str, query: str) -> None:
    """A query names only views and columns that Oracle's reference has, each column of the view before its dot."""
    bare = re.sub(r"'[^']*'", "", query).upper()
    views = dict(re.findall(r"(?:FROM|JOIN) (?:SYS\.)?(\w+)(?:[ \n]+(?!WHERE|ON\b|START)(\w+))?", bare))
    assert views and views.keys() <= PUBLISHED.keys(), f"{views}: see {REFERENCE}"
    aliases = {alias: PUBLISHED[view].split() for view, alias in views.items() if alias}
    aliases |= {alias: PUBLISHED[view].split() for view, alias in re.findall(r"SYS\.(\w+) (\w)\b", bare)}
    for alias, column in re.findall(r"\b(\w+)\.(\w+)", bare):
        assert alias == "SYS" or column in aliases[alias], f"{alias}.{column}: see {REFERENCE}"
    others = re.findall(r"(?<![\w.])[A-Z_]+(?![\w.])", bare)
    unknown = set(others) - WORDS - views.keys() - aliases.keys()
    assert not unknown, unknown


def of(server: OracleServer) -> OracleDatabase:
    return OracleDatabase(dsn_of(server.endpoint), trust(server.endpoint))


def probe(server: OracleServer, username: str, password: str | Secret = FIRST) -> Answer:
    secret = password if isinstance(password, Secret) else Secret(password)
    return run(of(server).probe(Login(username, secret))).answer


def look(
    server: OracleServer, username: str, *, by: Login | None = None, keep_old: bool = False, like: str = ""
) -> list[Finding]:
    async def main() -> list[Finding]:
        async with of(server).session(by or server.admin) as session:
            return await session.preflight(username, keep_old=keep_old, like=like)

    return run(main())


def the(findings: list[Finding]) -> Finding:
    assert len(findings) == 1 and findings[0].is_blocking, findings
    return findings[0]


def test_nothing_is_in_the_way(oracle_server: OracleServer) -> None:
    """With exactly the documented grants, or as an ordinary user that changes itself, a preflight finds nothing."""
    oracle_server.add_user("calm", FIRST)
    assert look(oracle_server, "calm", keep_old=True) == []
    assert look(oracle_server, "calm", by=Login("calm", Secret(FIRST))) == []


def test_an_ordinary_user_changes_itself_without_a_lock(oracle_server: OracleServer) -> None:
    """It may not use DBMS_LOCK; its change names the old password, so of two workers the second one fails."""
    oracle_server.add_user("ordinary", FIRST, rollover_days=0)
    login, first, second = Login("ordinary", Secret(FIRST)), fresh("Own-one"), fresh("Own-two")

    async def main() -> None:
        database = of(oracle_server)
        async with database.session(login) as one, database.session(login) as other:
            assert await one.lock("a") and await other.lock("a")
            await one.set_password("ordinary", first)
            with pytest.raises(Error):
                await other.set_password("ordinary", second)
        assert [(await database.probe(Login("ordinary", word))).answer for word in (first, second)] == [A, R]

    run(main())


def test_two_passwords_want_the_lock(oracle_server: OracleServer) -> None:
    """While two passwords work, either is taken for the old one: there the lock is wanted, by name, beforehand."""
    oracle_server.add_user("rolling", FIRST)
    login = Login("rolling", Secret(FIRST))
    fix = the(look(oracle_server, "rolling", by=login, keep_old=True)).fix
    assert fix == 'GRANT EXECUTE ON SYS.DBMS_LOCK TO "ROLLING"'

    async def main() -> None:
        async with of(oracle_server).session(login) as session:
            assert await session.lock("a")
            with pytest.raises(Denied) as refusal:
                await session.set_password("rolling", fresh(), keep_old=True)
        assert refusal.value.hint == fix

    run(main())


def test_an_administrator_needs_the_lock(tmp_path: Path, authority: Authority) -> None:
    """Without EXECUTE on DBMS_LOCK an administrator is refused, before and at the change, with the grant."""
    with oracle(tmp_path, authority) as server:
        server.add_user("target", FIRST)
        admin = server.users.users[server.admin.username.upper()]
        admin.privileges -= {"EXECUTE ON SYS.DBMS_LOCK"}
        wanted = f'GRANT EXECUTE ON SYS.DBMS_LOCK TO "{server.admin.username.upper()}"'
        assert the(look(server, "target")).fix == wanted

        async def main() -> None:
            async with of(server).session(server.admin) as session:
                with pytest.raises(Denied) as refusal:
                    await session.lock("a")
            assert "DBMS_LOCK" in (refusal.value.hint or "")

        run(main())


def test_rights_that_the_administrator_lacks(tmp_path: Path, authority: Authority) -> None:
    """Each is found before anything is changed, with the statement that gives it."""
    with oracle(tmp_path, authority) as server:
        server.add_user("target", FIRST)
        admin = server.users.users[server.admin.username.upper()]
        everything = admin.privileges
        me = f'"{server.admin.username.upper()}"'
        admin.privileges = everything - {"ALTER USER"}
        assert the(look(server, "target")).fix == f"GRANT ALTER USER TO {me}"
        admin.privileges = everything - {"SELECT ON SYS.DBA_PROFILES"}
        assert f"GRANT SELECT ON SYS.DBA_PROFILES TO {me}" in the(look(server, "target")).fix
        admin.privileges = everything - {"SELECT ON SYS.DBA_TAB_PRIVS"}
        server.add_user("other", FIRST)
        (finding,) = look(server, "target", like="other")
        assert not finding.is_blocking
        assert finding.fix == f"GRANT SELECT ON SYS.DBA_TAB_PRIVS TO {me}"
        server.role = "PHYSICAL STANDBY"
        admin.privileges = everything
        assert "only reads" in the(look(server, "target")).what


def test_what_is_wrong_with_a_user(oracle_server: OracleServer) -> None:
    """Missing, locked, with a profile that allows no rollover, or a single failed login: each is named."""
    assert 'CREATE USER "NOBODY_HERE"' in the(look(oracle_server, "nobody_here")).fix
    oracle_server.add_user("wrong", FIRST, rollover_days=0)
    user = oracle_server.users.users["WRONG"]
    fix = the(look(oracle_server, "wrong", keep_old=True)).fix
    assert fix == 'ALTER PROFILE "APP_PROFILE" LIMIT PASSWORD_ROLLOVER_TIME 1'
    user.is_locked = True
    assert the(look(oracle_server, "wrong")).fix == 'ALTER USER "WRONG" ACCOUNT UNLOCK'
    user.is_locked, user.failures_allowed = False, 1
    (finding,) = look(oracle_server, "wrong")
    assert not finding.is_blocking and "FAILED_LOGIN_ATTEMPTS" in finding.fix


def test_an_expired_password_is_expired(oracle_server: OracleServer) -> None:
    """ORA-28001 is told to somebody with the right password, who gets no further: expired, with the statement."""
    oracle_server.add_user("stale", FIRST)
    oracle_server.users.users["STALE"].is_expired = True
    answer = run(of(oracle_server).probe(Login("stale", Secret(FIRST))))
    assert (answer.answer, answer.fix) == (Answer.EXPIRED, 'ALTER USER "STALE" IDENTIFIED BY "…"')
    assert probe(oracle_server, "stale", "Wrong-1-Pass.word") is R


def test_a_user_without_create_session_has_the_right_password(oracle_server: OracleServer) -> None:
    """ORA-01045 comes after the password was found right; the grant is named."""
    oracle_server.add_user("shut_out", FIRST, privileges=frozenset())
    answer = run(of(oracle_server).probe(Login("shut_out", Secret(FIRST))))
    assert (answer.answer, answer.fix) == (A, 'GRANT CREATE SESSION TO "SHUT_OUT"')


def test_a_partner_with_fewer_rights(oracle_server: OracleServer) -> None:
    """Roles, default roles and rights of every kind that one has and the other lacks are named."""
    oracle_server.add_user(
        "twin_a",
        FIRST,
        roles=("APP_ROLE", "REPORTS"),
        privileges=frozenset({"CREATE SESSION", "CREATE VIEW"}),
        objects=(
            ("SELECT", "APP", "Orders", "TABLE", "YES"),
            ("EXECUTE", "APP", "PKG", "PACKAGE", "NO"),
            ("READ", "SYS", "FILES", "DIRECTORY", "NO"),
        ),
        columns=(("UPDATE", "APP", "Orders", "STATE", "NO"),),
    )
    oracle_server.add_user(
        "twin_b",
        FIRST,
        roles=("APP_ROLE",),
        default_roles=(),
        objects=(("EXECUTE", "APP", "PKG", "PACKAGE", "NO"),),
    )
    rights, roles = look(oracle_server, "twin_b", like="twin_a")
    assert rights.fix.split("; ") == [
        'GRANT "REPORTS" TO "TWIN_B"',
        'GRANT CREATE VIEW TO "TWIN_B"',
        'GRANT READ ON DIRECTORY "FILES" TO "TWIN_B"',
        'GRANT SELECT ON "APP"."Orders" TO "TWIN_B" WITH GRANT OPTION',
        'GRANT UPDATE ("STATE") ON "APP"."Orders" TO "TWIN_B"',
    ]
    assert roles.fix == 'ALTER USER "TWIN_B" DEFAULT ROLE "APP_ROLE", "REPORTS"'
    assert rights.is_blocking and roles.is_blocking
    assert look(oracle_server, "twin_a", like="twin_b") == []


def test_the_policy_is_known_by_its_function(oracle_server: OracleServer) -> None:
    """A profile's verify function is known by its name; every release takes 30 bytes."""
    oracle_server.add_user("policed", FIRST)

    async def main() -> PasswordPolicy:
        async with of(oracle_server).session(oracle_server.admin) as session:
            return await session.policy("policed")

    assert run(main()) == PasswordPolicy(shortest=12, longest=30, capitals=1, small_letters=1, digits=1)
