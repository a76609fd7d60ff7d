"""Every number in the table of MySQL's and MariaDB's messages, provoked on a real server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pymysql
import pytest

from keepstep.databases import mysql_errors as table
from keepstep.databases.errors import PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import Answer
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient, Unsupported
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer, mariadb
from tests.database_servers.mysql import MysqlServer, mysql

FIRST = "First-1-Pass.word"
SLOW = (
    "SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c"
)
LOGIN_NUMBERS = (
    table._ANSWERS.keys() | table._MISCONFIGURED.keys() | {code for code in table._FIXES if isinstance(code, int)}
)
STATEMENT_NUMBERS = (
    table._DENIED
    | table._PASSING
    | table._MISSING
    | table._CANNOT_RETAIN
    | table._READ_ONLY
    | table._OLD_PASSWORD
    | table._LOST
    | {table._SYNTAX, table._POLICY, table._HISTORY}
)


def connect(server: MysqlServer, username: str, password: str = FIRST, **options: Any) -> Any:
    """By the driver itself, so that its own error is seen."""
    return pymysql.connect(
        host=options.pop("host", "localhost"),
        port=server.endpoint.port,
        user=username,
        password=password,
        ssl=ssl.create_default_context(cafile=server.endpoint.ca),
        autocommit=True,
        **options,
    )


def refusal(server: MysqlServer, username: str, password: str = FIRST, **options: Any) -> Exception:
    """Of a login, or of the first statement after it."""
    with pytest.raises(Exception) as caught:
        connection = connect(server, username, password, **options)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT CURRENT_USER()")
    return caught.value


def failure(connection: Any, statement: str) -> Exception:
    with pytest.raises(Exception) as caught, connection.cursor() as cursor:
        cursor.execute(statement)
    return caught.value


@pytest.fixture
def my(mysql_server: MysqlServer) -> Iterator[MysqlServer]:
    yield from tidied(mysql_server)


@pytest.fixture
def maria(mariadb_server: MariadbServer) -> Iterator[MysqlServer]:
    yield from tidied(mariadb_server)


def tidied(server: MysqlServer) -> Iterator[MysqlServer]:
    query = "SELECT User, Host FROM mysql.user"
    before = set(server.execute(query))
    yield server
    for user, host in set(server.execute(query)) - before:
        server.execute(f"DROP USER '{user}'@'{host}'")


class Provoked:
    """Errors by number, gathered by the tests below; the last test of the file looks at what is missing."""

    logins: ClassVar[dict[int, Answer | type[Error]]] = {}
    statements: ClassVar[dict[int, type[Error]]] = {}

    @classmethod
    def login(cls, exc: Exception, wanted: Answer | type[Error]) -> None:
        code = table.code_of(exc)[0]
        try:
            assert table.answer_of("db", "u", exc).answer is wanted, exc
        except ConfigError as error:
            assert type(error) is wanted and error.hint, exc
        cls.logins[code] = wanted

    @classmethod
    def statement(cls, exc: Exception, wanted: type[Error]) -> Error:
        error = table.error_of("db", exc, FIRST)
        assert type(error) is wanted, exc
        assert FIRST not in error.message
        cls.statements[table.code_of(exc)[0]] = wanted
        return error


def test_logins_at_mysql(my: MysqlServer) -> None:
    """What MySQL says to a login, each for the reason that our table has."""
    limits = "FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1"
    for name, more in {
        "u_plain": "",
        "u_locked": "ACCOUNT LOCK",
        "u_expired": "PASSWORD EXPIRE",
        "u_blocked": limits,
        "u_hourly": "WITH MAX_CONNECTIONS_PER_HOUR 1",
    }.items():
        my.execute(f"CREATE USER {name} IDENTIFIED BY '{FIRST}' {more}")
    Provoked.login(refusal(my, "u_plain", "wrong"), Answer.REJECT)
    Provoked.login(refusal(my, "u_locked"), Answer.LOCKED)
    Provoked.login(refusal(my, "u_expired"), Answer.EXPIRED)
    refusal(my, "u_blocked", "wrong")
    Provoked.login(refusal(my, "u_blocked"), Answer.LOCKED)
    Provoked.login(refusal(my, "u_plain", database="app"), Answer.ACCEPT)
    Provoked.login(refusal(my, my.superuser.username, my.superuser.password.reveal(), database="x"), ConfigError)
    connect(my, "u_hourly").close()
    Provoked.login(refusal(my, "u_hourly"), Answer.ACCEPT)
    my.execute("SET GLOBAL max_user_connections = 1")
    try:
        with connect(my, "u_plain"):
            Provoked.login(refusal(my, "u_plain"), Answer.ACCEPT)
            Provoked.login(refusal(my, "u_plain", "wrong"), Answer.REJECT)
    finally:
        my.execute("SET GLOBAL max_user_connections = 0")
    assert {1045, 3118, 1862, 3955, 1044, 1049, 1226, 1203} <= Provoked.logins.keys()


def test_logins_at_mariadb(maria: MysqlServer) -> None:
    """What MariaDB says to a login where it says something else."""
    for name, more in {"u_locked": "ACCOUNT LOCK", "u_expired": "PASSWORD EXPIRE", "u_blocked": ""}.items():
        maria.execute(f"CREATE USER {name} IDENTIFIED BY '{FIRST}' {more}")
    maria.execute("CREATE USER u_socket IDENTIFIED VIA unix_socket")
    maria.execute("CREATE USER u_ancient IDENTIFIED VIA mysql_old_password USING '5d2e19393cc5ef67'")
    Provoked.login(refusal(maria, "u_locked"), Answer.LOCKED)
    Provoked.login(refusal(maria, "u_expired"), Answer.EXPIRED)
    Provoked.login(refusal(maria, "u_socket"), ConfigError)
    Provoked.login(refusal(maria, "u_ancient"), ConfigError)
    maria.execute("SET GLOBAL max_password_errors = 1")
    try:
        refusal(maria, "u_blocked", "wrong")
        Provoked.login(refusal(maria, "u_blocked"), Answer.LOCKED)
    finally:
        maria.execute("SET GLOBAL max_password_errors = 4294967295")
        maria.execute("FLUSH PRIVILEGES")
    assert {4151, 1820, 1698, 1275, 4150} <= Provoked.logins.keys()


def test_logins_that_never_get_to_a_password(tmp_path: Path, authority: Authority) -> None:
    """A plugin that the driver has not, a host that is blocked, one that has no account, a server without TLS."""
    (tmp_path / "a").mkdir()
    with mariadb(
        tmp_path / "a", authority, more={"plugin-load-add": "auth_ed25519", "max-connect-errors": "1"}
    ) as server:
        server.execute(f"CREATE USER u_ed IDENTIFIED VIA ed25519 USING PASSWORD('{FIRST}')")
        Provoked.login(refusal(server, "u_ed", auth_plugin_map={b"client_ed25519": object}), ConfigError)
        for _ in range(3):  # greeted, and gone
            where, here = ("127.0.0.1", server.endpoint.port), ("127.0.0.3", 0)
            with socket.create_connection(where, source_address=here) as wire:
                wire.recv(1)
        Provoked.login(refusal(server, "u_ed", bind_address="127.0.0.3"), Answer.UNREACHABLE)
        server.execute("FLUSH HOSTS")
        server.execute("DELETE FROM mysql.global_priv WHERE Host = '%'")
        server.execute("FLUSH PRIVILEGES")
        Provoked.login(refusal(server, "u_ed", bind_address="127.0.0.3"), ConfigError)
    (tmp_path / "b").mkdir()
    with mariadb(tmp_path / "b", authority, tls=False) as server:
        Provoked.login(refusal(server, "u_ed"), Answer.TLS_ERROR)
    assert {2059, 1129, 1130, 2026} <= Provoked.logins.keys()


def test_statements_at_mysql(my: MysqlServer) -> None:
    """What MySQL says to a statement, each for the reason that our table has."""
    root = my.superuser.username, my.superuser.password.reveal()
    my.execute(f"CREATE USER u_plain IDENTIFIED BY '{FIRST}' WITH MAX_QUERIES_PER_HOUR 40 PASSWORD HISTORY 2")
    my.execute("GRANT SELECT (Host) ON mysql.user TO u_plain")
    my.execute("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO u_plain")
    with connect(my, "u_plain") as plain:
        for statement in (
            "SELECT * FROM mysql.db",
            "SELECT User FROM mysql.user",
            "SHOW CREATE USER root@localhost",
        ):
            Provoked.statement(failure(plain, statement), Denied)
        Provoked.statement(failure(plain, f"ALTER USER {root[0]} IDENTIFIED BY 'x'"), Denied)
        Provoked.statement(failure(plain, f"ALTER USER u_plain IDENTIFIEDBY '{FIRST}'"), Error)
        Provoked.statement(
            failure(plain, f"ALTER USER USER() IDENTIFIED BY 'Other-1-Pass.word' REPLACE 'x{FIRST}'"), Denied
        )
        refused = Provoked.statement(failure(plain, f"ALTER USER USER() IDENTIFIED BY '{FIRST}'"), PasswordRefused)
        assert isinstance(refused, PasswordRefused) and refused.reason is RefusalReason.REUSE
        my.execute("ALTER USER u_plain PASSWORD REQUIRE CURRENT")
        with connect(my, "u_plain") as again:
            Provoked.statement(failure(again, "ALTER USER USER() IDENTIFIED BY 'Other-1-Pass.word'"), Denied)
            with pytest.raises(pymysql.Error) as caught, again.cursor() as cursor:
                for _ in range(60):
                    cursor.execute("SELECT 1")
            Provoked.statement(caught.value, Transient)
    with connect(my, *root) as admin:
        Provoked.statement(failure(admin, "ALTER USER nobody_at_all IDENTIFIED BY 'x'"), NotFound)
        my.execute("CREATE USER u_empty IDENTIFIED BY ''")
        for statement in (
            "ALTER USER u_empty IDENTIFIED BY 'Other-1-Pass.word' RETAIN CURRENT PASSWORD",
            "ALTER USER u_plain IDENTIFIED WITH sha256_password BY 'Other-1-Pass.word' RETAIN CURRENT PASSWORD",
            "ALTER USER u_plain IDENTIFIED BY '' RETAIN CURRENT PASSWORD",
        ):
            Provoked.statement(failure(admin, statement), Unsupported)
        admin.cursor().execute("SET SESSION max_execution_time = 1")
        Provoked.statement(failure(admin, SLOW), Transient)
    my.execute("INSTALL COMPONENT 'file://component_validate_password'")
    try:
        with connect(my, *root) as admin:
            refused = Provoked.statement(failure(admin, "CREATE USER u_weak IDENTIFIED BY 'x'"), PasswordRefused)
        assert isinstance(refused, PasswordRefused) and refused.reason is RefusalReason.POLICY
    finally:
        my.execute("UNINSTALL COMPONENT 'file://component_validate_password'")
    my.execute("SET GLOBAL read_only = 1")
    try:
        with connect(my, my.admin.username, my.admin.password.reveal()) as admin:
            Provoked.statement(failure(admin, f"ALTER USER u_plain IDENTIFIED BY '{FIRST}'"), ConfigError)
    finally:
        my.execute("SET GLOBAL read_only = 0")
    wanted = {1142, 1143, 1044, 1227, 1064, 3891, 3638, 3892, 1226, 1396, 3878, 3894, 3895, 3024, 1819, 1290}
    assert wanted <= Provoked.statements.keys()


def test_statements_that_wait(my: MysqlServer, maria: MysqlServer) -> None:
    """Locks that are not given, deadlocks, statements that are stopped, connections that are killed or closed."""
    root = my.superuser.username, my.superuser.password.reveal()
    my.execute("CREATE TABLE IF NOT EXISTS app.slow (a INT PRIMARY KEY) ENGINE = InnoDB")
    my.execute("REPLACE INTO app.slow VALUES (1), (2)")
    with connect(my, *root) as one, connect(my, *root) as other:
        other.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
        for connection, number in ((one, 1), (other, 2)):
            connection.cursor().execute("BEGIN")
            connection.cursor().execute(f"UPDATE app.slow SET a = a WHERE a = {number}")
        Provoked.statement(failure(other, "UPDATE app.slow SET a = a WHERE a = 1"), Transient)
        other.cursor().execute("SET SESSION innodb_lock_wait_timeout = 50")
        caught: list[Exception] = []

        def wait(connection: Any, number: int) -> None:
            try:
                connection.cursor().execute(f"UPDATE app.slow SET a = a WHERE a = {number}")
            except pymysql.Error as exc:
                caught.append(exc)

        thread = threading.Thread(target=wait, args=(one, 2))
        thread.start()
        wait(other, 1)
        thread.join(60)
        Provoked.statement(caught[0], Transient)
    for server in (my, maria):
        stopped(server, "QUERY", Transient)
        stopped(server, "CONNECTION", Unreachable)
    with connect(maria, *root) as connection:
        connection.cursor().execute("SET SESSION max_statement_time = 0.01")
        Provoked.statement(failure(connection, "SELECT SLEEP(5)"), Transient)
    with contextlib.suppress(pymysql.Error), connect(maria, *root) as connection:
        connection.cursor().execute("SET SESSION wait_timeout = 1")
        gone(maria, connection.thread_id())
        for _ in range(2):
            Provoked.statement(failure(connection, "SELECT 1"), Unreachable)
    with contextlib.suppress(pymysql.Error), connect(maria, *root) as connection:
        connection._sock.shutdown(socket.SHUT_RDWR)  # the network is gone, and the client notices as it writes
        Provoked.statement(failure(connection, "SELECT 1"), Unreachable)
    my.execute("DROP TABLE app.slow")
    assert {1205, 1213, 1317, 1969, 2013, 2006, 0} <= Provoked.statements.keys()


def stopped(server: MysqlServer, what: str, wanted: type[Error]) -> None:
    """A statement under way is killed, or its connection is."""
    login = server.superuser.username, server.superuser.password.reveal()
    with contextlib.suppress(pymysql.Error), connect(server, *login) as connection:
        number = connection.thread_id()

        def kill() -> None:
            there = f"ID = {number} AND INFO LIKE '%COLUMNS c%' AND ID <> CONNECTION_ID()"
            query = f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE {there}"
            while not server.execute(query)[0][0]:
                time.sleep(0.01)
            server.execute(f"KILL {what} {number}")

        thread = threading.Thread(target=kill)
        thread.start()
        Provoked.statement(failure(connection, SLOW), wanted)
        thread.join(60)


def gone(server: MysqlServer, number: int) -> None:
    while server.execute(f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {number}")[0][0]:
        time.sleep(0.01)


@pytest.mark.long
def test_a_server_whose_storage_only_reads(tmp_path: Path, authority: Authority) -> None:
    """A MySQL on storage that only reads, as an Aurora reader is."""
    with mysql(tmp_path, authority) as server:
        server.add_user("u_plain", FIRST)
    nothing = tmp_path / "nothing.sql"
    nothing.touch()
    settings = {"innodb-read-only": "ON", "init-file": nothing}
    with (
        mysql(tmp_path, authority, more=settings) as server,
        connect(server, server.superuser.username, server.superuser.password.reveal()) as connection,
    ):
        Provoked.statement(failure(connection, f"ALTER USER u_plain IDENTIFIED BY '{FIRST}'"), ConfigError)
    assert 3501 in Provoked.statements


def test_nothing_in_the_table_was_left_out() -> None:
    """The tests above have met every number, but for the one that takes a server of its own (a long test)."""
    if not Provoked.logins:
        pytest.skip("runs with the rest of the file")
    assert LOGIN_NUMBERS - Provoked.logins.keys() == set()
    assert STATEMENT_NUMBERS - Provoked.statements.keys() - {3501} == set()
