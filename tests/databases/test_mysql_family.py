"""MySQL and MariaDB, the real servers: plugins, several accounts of a name, what a preflight finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Account, Answer, Finding, Login, LoginProbe, PasswordPolicy
from keepstep.databases.mysql import MysqlDatabase
from keepstep.errors import ConfigError, Unsupported
from keepstep.secret import Secret
from tests.contract.database_backends import fresh
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer, mariadb
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.programs import NEW_MARIADB

FIRST = "First-1-Pass.word"
A, R = Answer.ACCEPT, Answer.REJECT
_new = pytest.param("new_mariadb", marks=pytest.mark.long)
both = pytest.mark.parametrize("server", ["mysql", "mariadb", _new], indirect=True)
mariadbs = pytest.mark.parametrize("server", ["mariadb", _new], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[MysqlServer]:
    """One of them, without the users that the test made."""
    found: MysqlServer = request.getfixturevalue(f"{request.param}_server")
    before = {tuple(row) for row in found.execute("SELECT User, Host FROM mysql.user")}
    yield found
    for user, host in {tuple(row) for row in found.execute("SELECT User, Host FROM mysql.user")} - before:
        found.execute(f"DROP USER IF EXISTS '{user}'@'{host}'" if host else f"DROP ROLE {user}")


def probe(server: MysqlServer, username: str, password: str | Secret = FIRST) -> Answer:
    return probed(server, username, password).answer


def probed(server: MysqlServer, username: str, password: str | Secret = FIRST) -> LoginProbe:
    secret = password if isinstance(password, Secret) else Secret(password)
    return run(MysqlDatabase(server.endpoint).probe(Login(username, secret)))


def change(
    server: MysqlServer, username: str, new: Secret, *, by: Login | None = None, keep_old: bool = False
) -> None:
    async def main() -> None:
        async with MysqlDatabase(server.endpoint).session(by or server.admin) as session:
            await session.set_password(username, new, keep_old=keep_old)

    run(main())


def look(
    server: MysqlServer, username: str, *, by: Login | None = None, keep_old: bool = False, like: str = ""
) -> list[Finding]:
    async def main() -> list[Finding]:
        async with MysqlDatabase(server.endpoint).session(by or server.admin) as session:
            return await session.preflight(username, keep_old=keep_old, like=like)

    return run(main())


def the(findings: list[Finding]) -> Finding:
    blocking = [finding for finding in findings if finding.is_blocking]
    assert len(blocking) == 1, findings
    return blocking[0]


def made(server: MysqlServer, name: str, *statements: str) -> Login:
    """A user with its first password, and whatever else."""
    server.add_user(name, FIRST)
    for statement in statements:
        server.execute(statement)
    return Login(name, Secret(FIRST))


@both
def test_nothing_is_in_the_way(server: MysqlServer) -> None:
    """With exactly the documented grants a preflight finds nothing, and changes nothing."""
    login = made(server, "plain")
    assert look(server, "plain", keep_old=server.endpoint.engine is Engine.MYSQL) == []
    assert [finding for finding in look(server, "plain", by=login) if finding.is_blocking] == []
    assert probe(server, "plain") is A


@mariadbs
def test_each_plugin_gets_what_it_stores(server: MysqlServer) -> None:
    """A user of ed25519 or parsec keeps the plugin, and the server never sees the password, whoever changes it."""
    plugins = ["ed25519", "parsec"] if server.release is NEW_MARIADB else ["ed25519"]
    for plugin in plugins:
        server.execute(f"INSTALL SONAME 'auth_{plugin}'")
        try:
            user = f"by_{plugin}"
            server.execute(f"CREATE USER {user} IDENTIFIED VIA {plugin} USING PASSWORD('{FIRST}')")
            server.execute(f"GRANT ALL ON app.* TO {user}")
            assert (probe(server, user), probe(server, user, "wrong")) == (A, R)
            assert look(server, user) == []
            second, third = fresh("Second"), fresh("Third")
            change(server, user, second)
            assert (probe(server, user), probe(server, user, second)) == (R, A)
            change(server, user, third, by=Login(user, second))
            assert (probe(server, user, second), probe(server, user, third)) == (R, A)
            assert f"VIA {plugin} " in server.execute(f"SHOW CREATE USER {user}")[0][0]
            log = server.general_log.read_text(errors="replace")
            assert second.reveal() not in log and third.reveal() not in log
            server.execute(f"DROP USER {user}")
        finally:
            server.execute(f"UNINSTALL SONAME 'auth_{plugin}'")


@mariadbs
def test_other_ways_to_log_in_stay(server: MysqlServer) -> None:
    """Of an account that may also come by socket, only the password is changed."""
    user = "either_way"
    server.execute(
        f"CREATE USER {user} IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('{FIRST}')"
    )
    server.execute(f"GRANT ALL ON app.* TO {user}")
    new = fresh()
    change(server, user, new)
    assert (probe(server, user), probe(server, user, new)) == (R, A)
    assert "VIA unix_socket OR mysql_native_password USING" in server.execute(f"SHOW CREATE USER {user}")[0][0]


@pytest.fixture
def socket_plugin(mysql_server: MysqlServer) -> Iterator[None]:
    mysql_server.execute("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'")
    yield
    mysql_server.execute("UNINSTALL PLUGIN auth_socket")


@both
def test_accounts_without_a_password_stay_as_they_are(server: MysqlServer, request: pytest.FixtureRequest) -> None:
    """A user who comes by socket from one host keeps its mapping there; the other hosts get the new password."""
    is_mysql = server.endpoint.engine is Engine.MYSQL
    if is_mysql:
        request.getfixturevalue("socket_plugin")
    by = "WITH auth_socket AS 'app'" if is_mysql else "VIA unix_socket USING 'app'"
    made(server, "socketed", f"CREATE USER socketed@'10.1.1.1' IDENTIFIED {by}")
    before = server.execute("SHOW CREATE USER socketed@'10.1.1.1'")
    new = fresh()
    assert look(server, "socketed") == []
    change(server, "socketed", new, keep_old=is_mysql)
    assert probe(server, "socketed", new) is A
    assert server.execute("SHOW CREATE USER socketed@'10.1.1.1'") == before
    server.execute("DROP USER socketed@'%'")
    finding = the(look(server, "socketed"))
    assert "socket" in finding.what and "IDENTIFIED" in finding.fix
    with pytest.raises(Unsupported):
        change(server, "socketed", fresh())
    assert server.execute("SHOW CREATE USER socketed@'10.1.1.1'") == before
    server.execute(f"CREATE USER socketed@'%' IDENTIFIED {by}")
    server.execute("DROP USER socketed@'10.1.1.1'")
    with pytest.raises(ConfigError) as refusal:
        probe(server, "socketed")
    assert "IDENTIFIED BY" in (refusal.value.hint or "")
    server.execute("DROP USER socketed@'%'")


@mariadbs
def test_a_plugin_that_keepstep_does_not_speak(server: MysqlServer) -> None:
    """PAM and the passwords of MySQL 4.0 are refused by name, before anything is changed."""
    server.execute("INSTALL SONAME 'auth_pam'")
    try:
        for how in ("pam", "mysql_old_password USING '5d2e19393cc5ef67'"):
            server.execute(f"CREATE OR REPLACE USER strange IDENTIFIED VIA {how}")
            assert how.split()[0] in the(look(server, "strange")).what
            with pytest.raises(Unsupported):
                change(server, "strange", fresh())
    finally:
        server.execute("DROP USER IF EXISTS strange")
        server.execute("UNINSTALL SONAME 'auth_pam'")


@both
def test_a_user_that_changes_itself_and_has_other_accounts(server: MysqlServer) -> None:
    """It would leave the others with the old password: found before anything is changed."""
    login = made(server, "twofold", f"CREATE USER twofold@'127.0.0.1' IDENTIFIED BY '{FIRST}'")
    server.execute(f"CREATE USER twofold@'localhost' IDENTIFIED BY '{FIRST}'")
    server.execute("GRANT ALL ON app.* TO twofold@'127.0.0.1', twofold@'localhost'")
    finding = the(look(server, "twofold", by=login))
    assert "twofold" in finding.what and "admin" in finding.fix
    new = fresh()
    assert look(server, "twofold") == []
    change(server, "twofold", new)
    for host in ("127.0.0.1", "localhost"):
        server.execute(f"DROP USER twofold@'{host}'")
        assert (probe(server, "twofold"), probe(server, "twofold", new)) == (R, A)


@both
def test_a_user_that_may_see_its_accounts(server: MysqlServer) -> None:
    """With the grant that the hint names, a user that has one account, for one host, changes itself."""
    for host in ("127.0.0.1", "localhost"):
        server.execute(f"CREATE USER alone@'{host}' IDENTIFIED BY '{FIRST}'")
        login = Login("alone", Secret(FIRST))
        try:
            blocked = [finding for finding in look(server, "alone", by=login) if finding.is_blocking]
        except NotLoggedIn:  # how a server sees a client of this machine is its own affair
            server.execute(f"DROP USER alone@'{host}'")
            continue
        if server.endpoint.engine is Engine.MARIADB:
            assert "GRANT SELECT (User, Host) ON mysql.user TO" in blocked[0].fix
            server.execute(blocked[0].fix.partition(";")[0])
        assert [finding for finding in look(server, "alone", by=login) if finding.is_blocking] == []
        server.execute(f"DROP USER alone@'{host}'")


@both
def test_rights_that_the_administrator_lacks(server: MysqlServer) -> None:
    """Each is found before anything is changed, and the statement that is named gives it."""
    made(server, "target")
    admin = Login("half_admin", Secret(FIRST))
    server.execute(f"CREATE USER half_admin IDENTIFIED BY '{FIRST}'")
    fixes = [finding.fix for finding in look(server, "target", by=admin) if finding.is_blocking]
    assert [fix.partition(" TO ")[0] for fix in fixes] == ["GRANT CREATE USER ON *.*", "GRANT SELECT ON mysql.*"]
    for fix in fixes:
        server.execute(fix)
    assert look(server, "target", by=admin) == []
    change(server, "target", fresh(), by=admin)


@both
def test_rights_by_a_role_count(server: MysqlServer) -> None:
    """An administrator that has its rights by a role is not told that it lacks them."""
    made(server, "target")
    server.execute("CREATE ROLE rotators")
    server.execute("GRANT CREATE USER ON *.* TO rotators")
    server.execute("GRANT SELECT ON mysql.* TO rotators")
    server.execute(f"CREATE USER role_admin IDENTIFIED BY '{FIRST}'")
    server.execute("GRANT rotators TO role_admin")
    word = "TO" if server.endpoint.engine is Engine.MYSQL else "FOR"
    server.execute(f"SET DEFAULT ROLE rotators {word} role_admin")
    assert look(server, "target", by=Login("role_admin", Secret(FIRST))) == []
    server.execute("DROP ROLE rotators")


@both
def test_a_server_that_only_reads(server: MysqlServer) -> None:
    """A replica, or a server whose writes are stopped, is found before anything is changed."""
    made(server, "target")
    server.execute("SET GLOBAL read_only = 1")
    try:
        assert "only reads" in the(look(server, "target")).what
        with pytest.raises(ConfigError):
            change(server, "target", fresh())
    finally:
        server.execute("SET GLOBAL read_only = 0")


def test_a_user_with_system_user(mysql_server: MysqlServer) -> None:
    """MySQL lets such a user be changed only by one that has SYSTEM_USER too: found, with the statement."""
    made(mysql_server, "system_like", "GRANT SYSTEM_USER ON *.* TO system_like")
    fix = the(look(mysql_server, "system_like")).fix
    assert fix.startswith("GRANT SYSTEM_USER ON *.* TO ")
    mysql_server.execute("DROP USER system_like")


def test_an_old_password_is_kept_by_a_right(mysql_server: MysqlServer) -> None:
    """A user that changes itself and keeps the old password needs one right for that: found, with the statement."""
    login = made(mysql_server, "keeps_own")
    fix = the(look(mysql_server, "keeps_own", by=login, keep_old=True)).fix
    mysql_server.execute(fix)
    assert not any(finding.is_blocking for finding in look(mysql_server, "keeps_own", by=login, keep_old=True))
    new = fresh()
    change(mysql_server, "keeps_own", new, by=login, keep_old=True)
    assert (probe(mysql_server, "keeps_own"), probe(mysql_server, "keeps_own", new)) == (A, A)
    mysql_server.execute("DROP USER keeps_own")


def test_the_current_password_is_required(mysql_server: MysqlServer) -> None:
    """Where the server wants the old password together with the new one, it gets it, and writes neither down."""
    login = made(mysql_server, "requires", "ALTER USER requires PASSWORD REQUIRE CURRENT")
    new = fresh()
    change(mysql_server, "requires", new, by=login)
    assert (probe(mysql_server, "requires"), probe(mysql_server, "requires", new)) == (R, A)
    assert new.reveal() not in mysql_server.general_log.read_text(errors="replace")
    mysql_server.execute("DROP USER requires")


@both
def test_what_is_wrong_with_an_account(server: MysqlServer) -> None:
    """Missing, locked, without a password, wanting a certificate: each is named, with the statement that helps."""
    assert "no user nobody_here" in the(look(server, "nobody_here")).what
    rows = {
        "ACCOUNT LOCK": ("is locked", "ACCOUNT UNLOCK"),
        "REQUIRE X509": ("certificate", "REQUIRE SSL"),
        "IDENTIFIED BY ''": ("has no password", "IDENTIFIED BY"),
    }
    for setting, (what, fix) in rows.items():
        made(server, "wrong", f"ALTER USER wrong {setting}")
        finding = the(look(server, "wrong", keep_old=server.endpoint.engine is Engine.MYSQL))
        assert what in finding.what and fix in finding.fix and "'wrong'@'%'" in finding.what
        server.execute("DROP USER wrong")


@both
def test_an_expired_password_is_expired(server: MysqlServer) -> None:
    """It is not "let in", and not wrong either; the statement that helps is named, and setting it heals."""
    made(server, "stale", "ALTER USER stale PASSWORD EXPIRE")
    answer = probed(server, "stale")
    assert answer.answer is Answer.EXPIRED
    assert answer.fix == "ALTER USER 'stale'@'%' IDENTIFIED BY '…'"
    assert probe(server, "stale", "wrong") is R
    with pytest.raises(NotLoggedIn) as refusal:
        look(server, "stale", by=Login("stale", Secret(FIRST)))
    assert refusal.value.answer is Answer.EXPIRED and "stale" in refusal.value.message
    change(server, "stale", Secret(FIRST))
    assert probe(server, "stale") is A


@both
def test_too_many_connections_is_a_right_password(server: MysqlServer) -> None:
    """A user's limits are looked at after its password: reaching them is an acceptance, but not of a wrong one."""
    made(server, "busy", "ALTER USER busy WITH MAX_USER_CONNECTIONS 1")

    async def main() -> tuple[Answer, Answer]:
        database = MysqlDatabase(server.endpoint)
        async with database.session(Login("busy", Secret(FIRST))):
            right = await database.probe(Login("busy", Secret(FIRST)))
            return right.answer, (await database.probe(Login("busy", fresh()))).answer

    assert run(main()) == (A, R)


def test_one_failure_locks(mysql_server: MysqlServer, mariadb_server: MariadbServer) -> None:
    """Where a single failed login locks an account that is reported, and what to do about it; it blocks nothing."""
    limited = "PASSWORD HISTORY 4 FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1"
    mysql_server.add_user("touchy", FIRST, limits=limited)
    mariadb_server.add_user("touchy", FIRST)
    mariadb_server.execute("SET GLOBAL max_password_errors = 1")
    try:
        for server in (mysql_server, mariadb_server):
            (finding,) = look(server, "touchy")
            assert not finding.is_blocking
            assert "single failed login" in finding.what
            for login in (server.admin, Login("touchy", Secret(FIRST))):
                account = account_of(server, "touchy", login)
                assert account.failures_allowed == 1
    finally:
        mariadb_server.execute("SET GLOBAL max_password_errors = 4294967295")
        for server in (mysql_server, mariadb_server):
            server.execute("DROP USER touchy")


def account_of(server: MysqlServer, username: str, by: Login) -> Account:
    async def main() -> Account | None:
        async with MysqlDatabase(server.endpoint).session(by) as session:
            return await session.account(username)

    account = run(main())
    assert account
    return account


@both
def test_a_partner_with_fewer_rights(server: MysqlServer) -> None:
    """What the other user of a pair has and this one lacks is named, with the statements, which give it."""
    word = "TO" if server.endpoint.engine is Engine.MYSQL else "FOR"
    for statement in (
        f"CREATE USER pair_a IDENTIFIED BY '{FIRST}'",
        f"CREATE USER pair_b IDENTIFIED BY '{FIRST}'",
        f"CREATE USER pair_a@'10.1.%' IDENTIFIED BY '{FIRST}'",
        "ALTER USER pair_a WITH MAX_USER_CONNECTIONS 50",
        "ALTER USER pair_b WITH MAX_USER_CONNECTIONS 10 MAX_CONNECTIONS_PER_HOUR 3",
        "CREATE ROLE reporting",
        "GRANT SELECT, INSERT ON app.* TO pair_a WITH GRANT OPTION",
        "CREATE TABLE IF NOT EXISTS app.`odd on name` (a INT, b INT)",
        "GRANT UPDATE (a, b) ON app.`odd on name` TO pair_a",
        "GRANT PROCESS ON *.* TO pair_a",
        "GRANT reporting TO pair_a",
        f"SET DEFAULT ROLE reporting {word} pair_a",
        "GRANT SELECT ON app.* TO pair_b",
        "GRANT USAGE ON *.* TO pair_b",
    ):
        server.execute(statement)
    found = look(server, "pair_b", like="pair_a")
    assert all(finding.is_blocking and finding.fix for finding in found)
    text = " | ".join(finding.fix for finding in found)
    for part in ("INSERT", "PROCESS", "UPDATE (", "reporting", "DEFAULT ROLE", "'pair_b'@'10.1.%'", "GRANT OPTION"):
        assert part in text, text
    for part in ("MAX_USER_CONNECTIONS 50", "MAX_CONNECTIONS_PER_HOUR 0"):
        assert part in text, text
    # An administrator runs what is named, once the roles are there, and nothing is left.
    for _ in range(2):
        for finding in look(server, "pair_b", like="pair_a"):
            for statement in finding.fix.replace("…", FIRST).split("; "):
                server.execute(statement)
    assert look(server, "pair_b", like="pair_a") == []
    server.execute("DROP TABLE app.`odd on name`")
    server.execute("DROP ROLE reporting")


@both
def test_the_policy_is_read(server: MysqlServer) -> None:
    """What the validation plugin wants of a password is known before one is made."""
    is_mysql = server.endpoint.engine is Engine.MYSQL
    login = made(server, "policed")

    def policy() -> PasswordPolicy:
        async def main() -> PasswordPolicy:
            async with MysqlDatabase(server.endpoint).session(login) as session:
                return await session.policy("policed")

        return run(main())

    assert policy() == PasswordPolicy()
    if is_mysql:
        server.execute("INSTALL COMPONENT 'file://component_validate_password'")
        names = ("length", "mixed_case_count", "number_count", "special_char_count")
        prefix, removal = "validate_password.", "UNINSTALL COMPONENT 'file://component_validate_password'"
    else:
        server.execute("INSTALL SONAME 'simple_password_check'")
        names = ("minimal_length", "letters_same_case", "digits", "other_characters")
        prefix, removal = "simple_password_check_", "UNINSTALL SONAME 'simple_password_check'"
    try:
        for name, value in zip(names, (20, 3, 4, 5), strict=True):
            server.execute(f"SET GLOBAL {prefix}{name} = {value}")
        assert policy() == PasswordPolicy(shortest=20, capitals=3, small_letters=3, digits=4, marks=5)
        if is_mysql:
            server.execute("SET GLOBAL validate_password.policy = LOW")
            assert policy() == PasswordPolicy(shortest=20)
    finally:
        server.execute(removal)


def test_an_anonymous_account_proves_nothing(mariadb_server: MariadbServer) -> None:
    """Somebody who is let in as nobody has shown no password: refused by name, not accepted."""
    mariadb_server.execute(f"CREATE USER ''@'%' IDENTIFIED BY '{FIRST}'")
    mariadb_server.execute("GRANT ALL ON app.* TO ''@'%'")
    try:
        with pytest.raises(ConfigError) as refusal:
            probe(mariadb_server, "anybody_at_all")
        assert "anonymous" in (refusal.value.hint or "")
    finally:
        mariadb_server.execute("DROP USER ''@'%'")


def test_a_server_without_grant_tables_proves_nothing(tmp_path: Path, authority: Authority) -> None:
    """A server that lets everybody in accepts no password: refused by name."""
    with mariadb(tmp_path, authority, more={"skip-grant-tables": "ON"}) as server, pytest.raises(ConfigError):
        probe(server, "app", "anything")
