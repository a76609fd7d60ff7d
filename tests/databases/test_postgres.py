"""PostgreSQL, the real servers: what a login proves, and what a preflight finds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.databases.interface import Account, Answer, Finding, Login, LoginProbe
from keepstep.databases.postgres import PostgresDatabase
from keepstep.errors import ConfigError, Denied
from keepstep.secret import Secret
from tests.contract.database_backends import fresh
from tests.database_servers.certificates import Authority
from tests.database_servers.postgres import PostgresServer, postgres

FIRST = "First-1-Pass.word"
A, R = Answer.ACCEPT, Answer.REJECT
_new = pytest.param("new_postgres", marks=pytest.mark.long)
both = pytest.mark.parametrize("server", ["postgres", _new], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One of them, without the roles and the tables that the test made."""
    found: PostgresServer = request.getfixturevalue(f"{request.param}_server")
    before = {str(row[0]) for row in found.execute("SELECT rolname FROM pg_roles")}
    yield found
    for (role,) in found.execute("SELECT rolname FROM pg_roles"):
        if role not in before:
            found.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def probed(server: PostgresServer, username: str, password: str = FIRST, *, name: str = "app") -> LoginProbe:
    database = PostgresDatabase(replace(server.endpoint, name=name))
    return run(database.probe(Login(username, Secret(password))))


def look(server: PostgresServer, username: str, *, by: Login | None = None, like: str = "") -> list[Finding]:
    async def main() -> list[Finding]:
        async with PostgresDatabase(server.endpoint).session(by or server.admin) as session:
            return await session.preflight(username, like=like)

    return run(main())


def change(server: PostgresServer, username: str, new: Secret, *, by: Login | None = None) -> None:
    async def main() -> None:
        async with PostgresDatabase(server.endpoint).session(by or server.admin) as session:
            await session.set_password(username, new)

    run(main())


def the(findings: list[Finding]) -> Finding:
    assert len(findings) == 1 and findings[0].is_blocking, findings
    return findings[0]


@both
def test_nothing_is_in_the_way(server: PostgresServer) -> None:
    """With exactly the documented grants a preflight finds nothing, neither does a user that changes itself."""
    server.add_user("plain", FIRST)
    assert look(server, "plain") == []
    assert look(server, "plain", by=Login("plain", Secret(FIRST))) == []
    change(server, "plain", fresh())


@both
def test_rights_that_the_administrator_lacks(server: PostgresServer) -> None:
    """CREATEROLE, and from 16 on ADMIN OPTION: each is found first, and the statement that is named gives it."""
    server.execute(f"CREATE ROLE target LOGIN PASSWORD '{FIRST}'")
    server.execute(f"CREATE ROLE half_admin LOGIN PASSWORD '{FIRST}'")
    admin = Login("half_admin", Secret(FIRST))
    fixes = [finding.fix for finding in look(server, "target", by=admin)]
    wanted = ["ALTER ROLE half_admin CREATEROLE"]
    if server.major >= 16:
        wanted.append("GRANT target TO half_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    assert fixes == wanted
    with pytest.raises(Denied):
        change(server, "target", fresh(), by=admin)
    for fix in fixes:
        server.execute(fix)
    assert look(server, "target", by=admin) == []
    change(server, "target", fresh(), by=admin)


@both
def test_what_is_wrong_with_a_role(server: PostgresServer) -> None:
    """Missing, not allowed to log in, expired, a superuser: each is named, with the statement that helps."""
    missing = the(look(server, 'no "body"'))
    assert missing.fix == 'CREATE ROLE "no ""body""" LOGIN PASSWORD \'…\''
    rows = {
        "NOLOGIN NOSUPERUSER": ("NOLOGIN", "ALTER ROLE wrong LOGIN"),
        "LOGIN VALID UNTIL '2001-01-01'": ("expired", "ALTER ROLE wrong VALID UNTIL 'infinity'"),
        "VALID UNTIL 'infinity' SUPERUSER": ("superuser", "ALTER ROLE wrong NOSUPERUSER"),
    }
    server.add_user("wrong", FIRST)
    for setting, (what, fix) in rows.items():
        server.execute(f"ALTER ROLE wrong {setting}")
        finding = the(look(server, "wrong"))
        assert what in finding.what and finding.fix.startswith(fix)
    server.execute("ALTER ROLE wrong LOGIN VALID UNTIL 'infinity' NOSUPERUSER REPLICATION")
    assert [finding.fix for finding in look(server, "wrong")] == (
        [] if server.major >= 16 else ["ALTER ROLE wrong NOREPLICATION"]
    )


@both
def test_a_server_that_only_reads(server: PostgresServer) -> None:
    """A session that cannot write is found before anything is changed, with the setting."""
    server.add_user("target", FIRST)
    server.execute(f"ALTER ROLE {server.admin.username} SET default_transaction_read_only = on")
    try:
        fix = the(look(server, "target")).fix
        assert fix.startswith(f"ALTER ROLE {server.admin.username} SET default_transaction_read_only = off")
    finally:
        server.execute(f"ALTER ROLE {server.admin.username} RESET default_transaction_read_only")


@both
def test_rds_keeps_passwords_to_a_role(server: PostgresServer) -> None:
    """With rds.restrict_password_commands the role that is missing is named."""
    server.add_user("target", FIRST)
    server.execute("CREATE ROLE rds_password")
    admin = server.admin.username
    server.execute(f"ALTER ROLE {admin} SET rds.restrict_password_commands = 1")
    try:
        fix = the(look(server, "target")).fix
        assert fix == f"GRANT rds_password TO {admin}"
        server.execute(fix)
        assert look(server, "target") == []
    finally:
        server.execute(f"ALTER ROLE {admin} RESET rds.restrict_password_commands")


SCENE = """
CREATE ROLE owner NOLOGIN; CREATE ROLE reader NOLOGIN; CREATE ROLE other NOLOGIN;
CREATE SCHEMA hidden; CREATE TABLE hidden."Odd Table" (a int, b int); CREATE TABLE hidden.mine (a int);
CREATE TABLE hidden.everybody (a int); CREATE SEQUENCE hidden.numbers; CREATE TABLE hidden.by_role (a int);
CREATE FUNCTION hidden.secret(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE hidden.kind AS ENUM ('x'); REVOKE ALL ON TYPE hidden.kind FROM PUBLIC;
CREATE POLICY pick ON hidden.mine TO twin_a USING (true);
REVOKE ALL ON FUNCTION hidden.secret(int) FROM PUBLIC; GRANT SELECT ON hidden.everybody TO PUBLIC;
GRANT reader, owner TO twin_a; GRANT owner TO twin_b; GRANT SELECT ON hidden.by_role TO owner, twin_a;
GRANT USAGE ON SCHEMA hidden TO twin_a WITH GRANT OPTION; GRANT SELECT, UPDATE ON hidden."Odd Table" TO twin_a;
GRANT INSERT (b) ON hidden."Odd Table" TO twin_a; GRANT SELECT ON hidden."Odd Table" TO twin_b;
GRANT SELECT ON hidden.everybody TO twin_a; GRANT USAGE ON SEQUENCE hidden.numbers TO twin_a;
GRANT EXECUTE ON FUNCTION hidden.secret(int) TO twin_a; GRANT USAGE ON TYPE hidden.kind TO twin_a;
GRANT TEMPORARY, CREATE ON DATABASE app TO twin_a; ALTER TABLE hidden.mine OWNER TO twin_a;
ALTER DEFAULT PRIVILEGES FOR ROLE other IN SCHEMA hidden GRANT SELECT ON TABLES TO twin_a;
ALTER ROLE twin_a SET role = 'owner'; ALTER ROLE twin_a IN DATABASE app SET search_path = hidden, "$user", public;
ALTER ROLE twin_a SET statement_timeout = '7s'; ALTER ROLE twin_a CREATEDB; ALTER ROLE twin_b CONNECTION LIMIT 3
"""
MISSING = [
    "ALTER DEFAULT PRIVILEGES FOR ROLE other IN SCHEMA hidden GRANT SELECT ON TABLES TO twin_b",
    "ALTER POLICY pick ON hidden.mine TO twin_a, twin_b",
    "ALTER ROLE twin_b CONNECTION LIMIT -1",
    "ALTER ROLE twin_b CREATEDB",
    'ALTER ROLE twin_b IN DATABASE app SET search_path = hidden, "$user", public',
    "ALTER ROLE twin_b SET role = 'owner'",
    "ALTER ROLE twin_b SET statement_timeout = '7s'",
    "GRANT CREATE ON DATABASE app TO twin_b",
    "GRANT EXECUTE ON ROUTINE hidden.secret(integer) TO twin_b",
    'GRANT INSERT (b) ON TABLE hidden."Odd Table" TO twin_b',
    'GRANT UPDATE ON TABLE hidden."Odd Table" TO twin_b',
    "GRANT USAGE ON SCHEMA hidden TO twin_b WITH GRANT OPTION",
    "GRANT USAGE ON SEQUENCE hidden.numbers TO twin_b",
    "GRANT USAGE ON TYPE hidden.kind TO twin_b",
    "GRANT twin_a TO twin_b",
    "GRANT reader TO twin_b",
]


@both
def test_a_partner_with_fewer_rights(server: PostgresServer) -> None:
    """Every right, role, setting and ownership that the other one has is named by the statement that gives it."""
    for name in ("twin_a", "twin_b"):
        server.add_user(name, FIRST)
    for statement in SCENE.split(";"):
        server.execute(statement)
    (finding,) = look(server, "twin_b", like="twin_a")
    found = finding.fix.split("; ")
    assert sorted(found) == sorted(MISSING)
    assert f"lacks {len(MISSING)} rights" in finding.what
    # The table that twin_a owns brings everything of twin_a's; without it each statement has to do its part.
    server.execute("ALTER TABLE hidden.mine OWNER TO owner")
    for statement in found:
        if statement != "GRANT twin_a TO twin_b":
            server.execute(statement)
    assert look(server, "twin_b", like="twin_a") == []
    assert look(server, "twin_a", like="twin_b") == []
    server.execute("DROP SCHEMA hidden CASCADE")


@both
def test_many_missing_rights_are_counted(server: PostgresServer) -> None:
    """A partner that lacks hundreds of rights is reported in a message of a few lines."""
    for name in ("twin_a", "twin_b"):
        server.add_user(name, FIRST)
    server.execute("CREATE SCHEMA crowd")
    for number in range(30):
        server.execute(f"CREATE TABLE crowd.t{number} (a int); GRANT SELECT ON crowd.t{number} TO twin_a")
    (finding,) = look(server, "twin_b", like="twin_a")
    assert "lacks 30 rights" in finding.what
    assert finding.fix.endswith("; and 10 more")
    server.execute("DROP SCHEMA crowd CASCADE")


@contextmanager
def hba(server: PostgresServer, line: str) -> Iterator[None]:
    """Another way to log in for one user, ahead of all others, as long as the block lasts."""
    file = Path(server.execute("SHOW hba_file")[0][0])
    before = file.read_text()
    file.write_text(f"{line}\n{before}")
    assert not server.execute("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL")
    reload(server)
    try:
        yield
    finally:
        file.write_text(before)
        reload(server)


def reload(server: PostgresServer) -> None:
    """Connections go by the new file once the server has written that it reads it."""
    word = "received SIGHUP"
    count = server.log.read_text(errors="replace").count(word)
    server.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 30
    while server.log.read_text(errors="replace").count(word) == count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


METHODS = ("trust", "password", "cert", "ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=x", "md5")


@both
@pytest.mark.parametrize("method", METHODS)
def test_a_login_that_nobody_asked_a_password_for_proves_nothing(server: PostgresServer, method: str) -> None:
    """Trust, certificates, LDAP, a password in clear text: refused by name, whatever the password is."""
    server.add_user("asked", FIRST)
    with hba(server, f"hostssl all asked 127.0.0.1/32 {method}"):
        if method == "md5":  # asks for SCRAM where the stored password is one
            assert [probed(server, "asked", word).answer for word in (FIRST, "wrong")] == [A, R]
            return
        for word in (FIRST, "wrong"):
            with pytest.raises(ConfigError) as refusal:
                probed(server, "asked", word)
            assert "scram-sha-256" in (refusal.value.hint or "")


@both
def test_limits_are_looked_at_after_the_password(server: PostgresServer) -> None:
    """Too many connections of a role or to a database is an acceptance, and never for a wrong password."""
    server.execute(f"CREATE ROLE busy LOGIN CONNECTION LIMIT 0 PASSWORD '{FIRST}'")
    server.add_user("idle", FIRST)
    server.execute("CREATE DATABASE full_up CONNECTION LIMIT 0")
    try:
        assert [probed(server, "busy", word).answer for word in (FIRST, "wrong")] == [A, R]
        assert [probed(server, "idle", word, name="full_up").answer for word in (FIRST, "wrong")] == [A, R]
    finally:
        server.execute("DROP DATABASE full_up")


def test_the_last_connections_are_reserved(tmp_path_factory: pytest.TempPathFactory, database_folder: Path) -> None:
    """The slots kept for superusers are an acceptance too; a server that is full says nothing of the password."""
    folder = database_folder / "small"
    folder.mkdir()
    with postgres(folder, Authority(), more="max_connections = 4\nsuperuser_reserved_connections = 3\n") as server:
        server.add_user("idle", FIRST)

        async def main() -> list[Answer]:
            database = PostgresDatabase(server.endpoint)
            answers = []
            async with database.session(Login("idle", Secret(FIRST))):
                for password in (FIRST, "wrong"):
                    answers.append((await database.probe(Login("idle", Secret(password)))).answer)
                full = [database.session(server.superuser) for _ in range(3)]
                async with full[0], full[1], full[2]:
                    answers.append((await database.probe(Login("idle", Secret(FIRST)))).answer)
            return answers

        assert run(main()) == [A, R, Answer.UNREACHABLE]


@both
def test_a_role_that_may_not_log_in_is_locked(server: PostgresServer) -> None:
    """Its answer has the statement that helps; an administrator sees the same in the account."""
    server.add_user("shut", FIRST)
    server.execute("ALTER ROLE shut NOLOGIN")
    answer = probed(server, "shut")
    assert (answer.answer, answer.fix) == (Answer.LOCKED, 'ALTER ROLE "shut" LOGIN')

    async def main() -> Account | None:
        async with PostgresDatabase(server.endpoint).session(server.admin) as session:
            return await session.account("shut")

    account = run(main())
    assert account and account.locked == "NOLOGIN"
