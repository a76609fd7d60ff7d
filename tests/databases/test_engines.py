"""What one engine has and the others have not."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.databases.endpoint import trust
from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn, PasswordRefused, RefusalReason
from keepstep.databases.interface import Account, Answer, Login, LoginProbe
from keepstep.databases.mysql import MysqlDatabase
from keepstep.databases.mysql_dialects import dialect_of
from keepstep.databases.oracle import OracleDatabase, dsn_of
from keepstep.databases.oracle_names import canonical, identifier, text
from keepstep.databases.postgres import PostgresDatabase
from keepstep.databases.postgres_errors import answer_of
from keepstep.errors import ConfigError, Conflict
from keepstep.secret import Secret
from tests.contract.database_backends import fresh
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer, mariadb
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.oracle import OracleServer, oracle
from tests.database_servers.postgres import PostgresServer


def test_a_pair_of_users_has_one_owner(postgres_server: PostgresServer) -> None:
    """Of alternating users one sees the role that both are members of, and that their sessions act as."""
    for statement in (
        "CREATE ROLE pair_owner NOLOGIN",
        "CREATE ROLE pair_a LOGIN PASSWORD 'First-Pass.word' IN ROLE pair_owner",
        "ALTER ROLE pair_a SET ROLE pair_owner",
    ):
        postgres_server.execute(statement)

    async def main() -> Account | None:
        async with PostgresDatabase(postgres_server.endpoint).session(postgres_server.admin) as session:
            return await session.account("pair_a")

    account = run(main())
    assert account
    assert (account.roles, account.default_role) == (frozenset({"pair_owner"}), "pair_owner")


def test_a_password_that_is_over_is_told(postgres_server: PostgresServer) -> None:
    """PostgreSQL rejects a password whose VALID UNTIL has passed like a wrong one; the account says why."""
    postgres_server.execute("CREATE ROLE overdue LOGIN PASSWORD 'First-Pass.word' VALID UNTIL '2001-01-01'")

    async def main() -> tuple[LoginProbe, Account | None]:
        database = PostgresDatabase(postgres_server.endpoint)
        async with database.session(postgres_server.admin) as session:
            return await database.probe(Login("overdue", Secret("First-Pass.word"))), await session.account(
                "overdue"
            )

    probe, account = run(main())
    assert probe.answer is Answer.REJECT
    assert account
    assert "VALID UNTIL" in account.locked


def test_a_role_with_few_rights_may_administer(postgres_server: PostgresServer) -> None:
    """CREATEROLE is all that an administrator needs, as on RDS; a missing right to connect is no wrong password."""
    postgres_server.execute("CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'First-Pass.word'")
    postgres_server.execute("CREATE ROLE rotated LOGIN PASSWORD 'First-Pass.word'")
    postgres_server.execute("CREATE DATABASE closed")
    postgres_server.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    new = fresh()

    async def main() -> list[Answer]:
        database = PostgresDatabase(postgres_server.endpoint)
        closed = PostgresDatabase(replace(postgres_server.endpoint, name="closed"))
        async with database.session(Login("rotator", Secret("First-Pass.word"))) as session:
            await session.set_password("rotated", new)
        return [(await each.probe(Login("rotated", new))).answer for each in (database, closed)]

    assert run(main()) == [Answer.ACCEPT, Answer.ACCEPT]


@pytest.mark.parametrize(
    "variable", ["PGSSLMODE=disable", "PGOPTIONS=-c x.y=z", "PGHOSTADDR=127.0.0.9", "PGSERVICE=x"]
)
def test_libpq_s_variables_weaken_nothing(
    variable: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables for libpq neither turn TLS off nor lead elsewhere."""
    monkeypatch.setenv(*variable.split("=", 1))
    stranger = PostgresDatabase(replace(postgres_server.endpoint, host="127.0.0.1"))
    probe = run(stranger.probe(postgres_server.admin))
    assert probe.answer is not Answer.ACCEPT


def test_the_words_of_postgres_are_understood() -> None:
    """Each refusal by its words; several addresses have several lines; what is not understood is not a
    rejection."""
    of = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  '
    rows = {
        of + 'password authentication failed for user "u"': Answer.REJECT,
        of + 'role "u" is not permitted to log in': Answer.LOCKED,
        of + 'permission denied for database "app"': Answer.ACCEPT,
        of + "sorry, too many clients already": Answer.UNREACHABLE,
        of + "the database system is starting up": Answer.UNREACHABLE,
        of + "authentification par mot de passe échouée pour l'utilisateur « u »": Answer.UNREACHABLE,
        "connection failed: SSL error: certificate verify failed": Answer.TLS_ERROR,
        'connection failed: server certificate for "a" does not match host name "b"': Answer.TLS_ERROR,
        "connection failed: server does not support SSL, but SSL was required": Answer.TLS_ERROR,
        "connection timeout expired": Answer.UNREACHABLE,
        "x: Connection refused\nMultiple connection attempts failed. All failures were:\n"
        f'- host: h: {of}password authentication failed for user "u"': Answer.REJECT,
    }
    assert {message: answer_of("db", "u", message).answer for message in rows} == rows
    for message in (of + 'database "x" does not exist', of + 'no pg_hba.conf entry for host "h"'):
        with pytest.raises(ConfigError) as refusal:
            answer_of("db", "u", message)
        assert refusal.value.hint


def test_every_host_of_a_user_is_changed(mariadb_server: MariadbServer, mysql_server: MysqlServer) -> None:
    """A user of MySQL or MariaDB who may come from several hosts has one password for all of them."""
    new = fresh()
    for server in (mariadb_server, mysql_server):
        for host in ("%", "localhost", "10.0.0.%"):
            server.add_user("many", "First-Pass.word-1", host)

    salted = mysql_server.execute("SELECT authentication_string FROM mysql.user WHERE user = 'many'")

    async def main() -> list[Answer]:
        answers = []
        for server in (mariadb_server, mysql_server):
            database = MysqlDatabase(server.endpoint)
            async with database.session(server.admin) as session:
                await session.set_password("many", new)
            answers.append((await database.probe(Login("many", new))).answer)
        return answers

    assert run(main()) == [Answer.ACCEPT, Answer.ACCEPT]
    query = "SELECT DISTINCT authentication_string FROM mysql.user WHERE user = 'many'"
    assert len(mariadb_server.execute(query)) == 1
    assert all(hashed != before for (hashed,), (before,) in zip(mysql_server.execute(query), salted, strict=True))


def test_mariadb_s_own_memory_of_passwords(mariadb_server: MariadbServer) -> None:
    """With MariaDB's plugins for quality and reuse the server sees the password, and says which rule it breaks."""
    mariadb_server.add_user("picky", "First-Pass.word-1")
    for plugin in ("simple_password_check", "password_reuse_check"):
        mariadb_server.execute(f"INSTALL SONAME '{plugin}'")
    new = fresh()

    async def main() -> list[RefusalReason]:
        reasons = []
        async with MysqlDatabase(mariadb_server.endpoint).session(mariadb_server.admin) as session:
            await session.set_password("picky", new)
            for bad in (Secret("short"), new):
                with pytest.raises(PasswordRefused) as refusal:
                    await session.set_password("picky", bad)
                reasons.append(refusal.value.reason)
        return reasons

    try:
        assert run(main()) == [RefusalReason.POLICY, RefusalReason.REUSE]
    finally:
        for plugin in ("simple_password_check", "password_reuse_check"):
            mariadb_server.execute(f"UNINSTALL SONAME '{plugin}'")


def test_no_password_in_plain_text(tmp_path: Path, authority: Authority) -> None:
    """F21: a server that offers no TLS is a TLS error, and receives nothing."""
    with mariadb(tmp_path, authority, tls=False) as server:
        probe = run(MysqlDatabase(server.endpoint).probe(server.admin))
        assert probe.answer is Answer.TLS_ERROR
        assert server.admin.username not in server.general_log.read_text()


def test_old_mysql_keeps_one() -> None:
    """MySQL before 8.0.14 has no second password, and says so before anything is changed."""
    assert not dialect_of("8.0.13-log")[1].keeps_two_passwords
    assert dialect_of("8.0.14")[1].keeps_two_passwords


def test_two_changes_in_a_row_lose_the_old_password(mysql_server: MysqlServer) -> None:
    """Why a change is made once: with RETAIN twice the new password is its own second one, and the old is dead."""
    mysql_server.add_user("twice", "First-Pass.word-1")
    new = fresh()

    async def main() -> list[Answer]:
        database = MysqlDatabase(mysql_server.endpoint)
        async with database.session(mysql_server.admin) as session:
            await session.set_password("twice", new, keep_old=True)
            await session.set_password("twice", new, keep_old=True)
        passwords = (Secret("First-Pass.word-1"), new)
        return [(await database.probe(Login("twice", password))).answer for password in passwords]

    assert run(main()) == [Answer.REJECT, Answer.ACCEPT]


class Hours:
    """A clock for the server."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed * 3600


def test_a_rollover_ends_by_itself(tmp_path: Path, authority: Authority) -> None:
    """Oracle's window begins with the first change and ends on its own; the account says when, and is free then."""
    hours = Hours()
    with oracle(tmp_path, authority, now=hours) as server:
        server.add_user("rolls", "First-Pass.word-1", rollover_days=1 / 24)
        first, second, third = Secret("First-Pass.word-1"), fresh("Second"), fresh("Third")

        async def main() -> None:
            database = OracleDatabase(dsn_of(server.endpoint), trust(server.endpoint))

            async def accepted(*passwords: Secret) -> list[bool]:
                probes = [await database.probe(Login("rolls", password)) for password in passwords]
                return [probe.answer is Answer.ACCEPT for probe in probes]

            async with database.session(server.admin) as session:
                await session.set_password("rolls", second, keep_old=True)
                account = await session.account("rolls")
                assert account
                assert account.second_password_until
                left = account.second_password_until.timestamp() - time.time()
                assert 3300 < left <= 3601
                assert await accepted(first, second) == [True, True]
                with pytest.raises(Conflict):
                    await session.set_password("rolls", third, keep_old=True)
                hours.passed = 1.1
                assert await accepted(first, second) == [False, True]
                await session.set_password("rolls", third, keep_old=True)
                assert await accepted(second, third) == [True, True]

        run(main())


@pytest.mark.parametrize(
    "form",
    [
        "{host}:{port}/{name}",
        "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST={host})(PORT={port}))"
        "(CONNECT_DATA=(SERVICE_NAME={name}))(SECURITY=(SSL_SERVER_DN_MATCH=no)))",
    ],
)
def test_a_descriptor_cannot_weaken_tls(form: str, oracle_server: OracleServer) -> None:
    """Whatever a descriptor says of protocol and name matching, TLS is spoken and the name verified."""
    endpoint = oracle_server.endpoint
    answers = []
    for host in ("localhost", "127.0.0.1"):
        dsn = form.format(host=host, port=endpoint.port, name=endpoint.name)
        answers.append(run(OracleDatabase(dsn, trust(endpoint)).probe(oracle_server.admin)).answer)
    assert answers == [Answer.ACCEPT, Answer.TLS_ERROR]


def test_a_name_without_a_wallet_is_a_mistake(oracle_server: OracleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias that no tnsnames.ora knows is the user's to fix, with a hint."""
    monkeypatch.delenv("TNS_ADMIN", raising=False)
    with pytest.raises(ConfigError) as refusal:
        OracleDatabase("app_high", trust(oracle_server.endpoint))
    assert "tnsnames.ora" in (refusal.value.hint or "")


def test_oracle_s_names() -> None:
    """Names are in capitals unless they are quoted; what no user can be called is refused, not quoted."""
    assert [canonical(name) for name in ("app", "App_1$#", '"App"', "with space", "o'brien")] == [
        "APP",
        "APP_1$#",
        "App",
        "with space",
        "o'brien",
    ]
    assert identifier("app") == '"APP"'
    assert text("o'brien") == "'o''brien'"
    for name in ("", '""', 'a"b', "x" * 129, "a\0b"):
        with pytest.raises(ConfigError):
            canonical(name)


def test_a_ca_file_without_certificates_is_told(tmp_path: Path, mysql_server: MysqlServer) -> None:
    """A CA file that holds something else is a ConfigError that names it."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigError) as refusal:
        trust(replace(mysql_server.endpoint, ca=str(path)))
    assert str(path) in refusal.value.message
    assert isinstance(trust(mysql_server.endpoint), ssl.SSLContext)


def test_an_administrator_whose_password_is_wrong(oracle_server: OracleServer) -> None:
    """A session that cannot begin names the user and the database, and says what to compare."""

    async def main() -> NotLoggedIn:
        database = OracleDatabase(dsn_of(oracle_server.endpoint), trust(oracle_server.endpoint))
        with pytest.raises(NotLoggedIn) as refusal:
            async with database.session(Login("nobody", fresh())):
                pass
        return refusal.value

    error = run(main())
    assert error.answer is Answer.REJECT
    assert error.message.startswith("oracle app_high.adb.example.com@localhost:")
    assert "nobody" in error.message
    assert oracle_server.endpoint.engine is Engine.ORACLE
