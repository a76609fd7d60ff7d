"""Every wording and every SQLSTATE in the table of PostgreSQL's messages, provoked on a real server."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keepstep.databases import postgres_errors as table
from keepstep.databases.errors import PasswordRefused, Unreachable
from keepstep.databases.interface import Answer
from keepstep.databases.postgres import _ASKED
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient
from tests.database_servers.certificates import Authority
from tests.database_servers.listener import listening
from tests.database_servers.postgres import PostgresServer, postgres
from tests.databases.test_postgres import FIRST, hba

WORDINGS = set(
    itertools.chain(
        *(pattern.split("|") for pattern, _ in table._ANSWERS), *(p.split("|") for p in table._MISCONFIGURED)
    )
)
Connection = psycopg.Connection[tuple[Any, ...]]


class Met:
    """Wordings that a server has used, gathered by the tests below."""

    wordings: set[str] = set()  # noqa: RUF012 - shared on purpose


def refusal(server: PostgresServer, username: str = "m_plain", password: str = FIRST, **options: Any) -> str:
    """libpq's words for a login that failed, as the adapter logs in."""
    settings = {
        "host": "localhost",
        "port": server.endpoint.port,
        "dbname": "app",
        "sslmode": "verify-full",
        "sslrootcert": server.endpoint.ca,
        "require_auth": _ASKED,
    }
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(user=username, password=password, **{**settings, **options}).close()
    return str(caught.value)


def login(message: str, wanted: Answer | type[Error]) -> None:
    Met.wordings |= {wording for wording in WORDINGS if re.search(wording, message)}
    try:
        assert table.answer_of("db", "u", message).answer is wanted, message
    except ConfigError as error:
        assert type(error) is wanted and error.hint, message


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    postgres_server.execute(f"CREATE ROLE m_plain LOGIN PASSWORD '{FIRST}'")
    postgres_server.execute(f"CREATE ROLE m_busy LOGIN CONNECTION LIMIT 0 PASSWORD '{FIRST}'")
    postgres_server.execute(f"CREATE ROLE m_shut NOLOGIN PASSWORD '{FIRST}'")
    for name, more in {"m_closed": "", "m_full": "CONNECTION LIMIT 0", "m_off": "ALLOW_CONNECTIONS false"}.items():
        postgres_server.execute(f"CREATE DATABASE {name} {more}")
    postgres_server.execute("REVOKE CONNECT ON DATABASE m_closed FROM PUBLIC")
    yield postgres_server
    for name in ("m_closed", "m_full", "m_off"):
        postgres_server.execute(f"DROP DATABASE {name}")
    for name in ("m_plain", "m_busy", "m_shut"):
        postgres_server.execute(f"DROP OWNED BY {name}")
        postgres_server.execute(f"DROP ROLE {name}")


def test_logins(server: PostgresServer, tmp_path: Path) -> None:
    """What PostgreSQL and its client library say to a login, each for the reason that our table has."""
    stranger = Authority("somebody else").write(tmp_path / "stranger.pem")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    login(refusal(server, password="wrong"), Answer.REJECT)
    login(refusal(server, "m_nobody"), Answer.REJECT)
    login(refusal(server, "m_shut"), Answer.LOCKED)
    login(refusal(server, "m_busy"), Answer.ACCEPT)
    login(refusal(server, dbname="m_full"), Answer.ACCEPT)
    login(refusal(server, dbname="m_closed"), Answer.ACCEPT)
    login(refusal(server, dbname="m_off"), ConfigError)
    login(refusal(server, dbname="m_none"), ConfigError)
    login(refusal(server, sslrootcert=str(stranger)), Answer.TLS_ERROR)
    login(refusal(server, host="127.0.0.1"), Answer.TLS_ERROR)
    login(refusal(server, sslrootcert=str(garbage)), ConfigError)
    login(refusal(server, sslrootcert="/no/such/file"), ConfigError)
    for method in ("trust", "reject", "ident", "cert"):
        with hba(server, f"hostssl all m_plain 127.0.0.1/32 {method}"):
            login(refusal(server), ConfigError)


def test_logins_at_servers_of_their_own(database_folder: Path, authority: Authority) -> None:
    """No line in pg_hba.conf, the last connections, a server that is full, one that answers no to TLS."""
    folder = database_folder / "messages"
    folder.mkdir()
    with postgres(folder, authority, more="max_connections = 4\nsuperuser_reserved_connections = 3\n") as server:
        server.execute(f"CREATE ROLE m_plain LOGIN PASSWORD '{FIRST}'")
        held = [at_last(lambda: connected(server, "m_plain", FIRST))]
        login(refusal(server), Answer.ACCEPT)
        root = server.superuser.username, server.superuser.password.reveal()
        held += [at_last(lambda: connected(server, *root)) for _ in range(3)]
        login(refusal(server), Answer.UNREACHABLE)
        for connection in held[1:]:
            connection.close()
        (file,) = server.execute("SHOW hba_file")[0]
        Path(file).write_text("hostssl all superuser 127.0.0.1/32 scram-sha-256\n")
        held[0].close()
        server.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 30
        while "received SIGHUP" not in server.log.read_text(errors="replace"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        login(refusal(server), ConfigError)
    login(refused_tls(folder, authority), Answer.TLS_ERROR)


def refused_tls(folder: Path, authority: Authority) -> str:
    """Of a server that speaks no TLS: it answers, and libpq does not go on."""

    def serve(connection: Any) -> None:
        connection.recv(8)
        connection.sendall(b"N")
        connection.recv(1)

    with listening(serve) as port, pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(
            host="localhost", port=port, sslmode="verify-full", sslrootcert=str(authority.write(folder / "x.pem"))
        )
    return str(caught.value)


def at_last(connect: Callable[[], Connection]) -> Connection:
    """A connection, once the server has let go of those that were closed before."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return connect()
        except psycopg.OperationalError as exc:
            if "slots are reserved" not in str(exc) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def connected(server: PostgresServer, username: str, password: str) -> Connection:
    return psycopg.connect(
        host="localhost",
        port=server.endpoint.port,
        dbname="app" if username == "m_plain" else "postgres",
        user=username,
        password=password,
        sslmode="verify-full",
        sslrootcert=server.endpoint.ca,
        autocommit=True,
    )


def test_every_wording_was_met() -> None:
    """The tests above have met all of them."""
    if not Met.wordings:
        pytest.skip("runs with the rest of the file")
    assert WORDINGS - Met.wordings == set()


def failed(work: Callable[[], object]) -> Error:
    with pytest.raises(psycopg.Error) as caught:
        work()
    exc = caught.value
    return table.error_of("db", exc.sqlstate, exc.diag.message_primary or str(exc))


def test_statements(server: PostgresServer) -> None:
    """Every SQLSTATE of our table, as the server gives it."""
    root = server.superuser.username, server.superuser.password.reveal()
    is_done = False
    with suppress(psycopg.Error), connected(server, *root) as one, connected(server, *root) as other:

        def of(statement: str, connection: Connection = one) -> type[Error]:
            return type(failed(lambda: connection.execute(statement.encode())))

        assert of("ALTER ROLE m_nobody PASSWORD 'x'") is NotFound  # 42704
        with connected(server, "m_plain", FIRST) as plain:
            assert of("ALTER ROLE m_busy PASSWORD 'x'", plain) is Denied  # 42501
        assert of("ALTER ROLE m_plain PASSWORD 'm_plain'") is PasswordRefused  # 22023
        one.execute("SET default_transaction_read_only = on")
        assert of("ALTER ROLE m_plain PASSWORD 'x'") is ConfigError  # 25006
        one.execute("SET default_transaction_read_only = off")
        one.execute("SET statement_timeout = 10")
        assert of("SELECT pg_sleep(5)") is Transient  # 57014
        one.execute("SET statement_timeout = 0")
        one.execute("SET temp_file_limit = 1; SET work_mem = 64")
        assert of("SELECT md5(g::text) FROM generate_series(1, 99999) g ORDER BY 1") is Transient  # 53400
        other.execute("BEGIN; ALTER ROLE m_plain CONNECTION LIMIT 9")
        one.execute("SET lock_timeout = 10")
        other.execute("LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE")
        assert of("ALTER ROLE m_plain SET work_mem = 64") is Transient  # 55P03
        one.execute("SET lock_timeout = 0")
        threading.Timer(0.5, lambda: other.execute("COMMIT")).start()
        assert of("ALTER ROLE m_plain CONNECTION LIMIT 8") is Transient  # XX000: tuple concurrently updated
        one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_roles")
        one.execute("CREATE TEMP TABLE IF NOT EXISTS never (a int)")
        one.execute("ROLLBACK; CREATE TABLE IF NOT EXISTS m_rows (a int); INSERT INTO m_rows VALUES (1)")
        one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM m_rows")
        other.execute("UPDATE m_rows SET a = 2")
        assert of("UPDATE m_rows SET a = 3") is Transient  # 40001
        one.execute("ROLLBACK; DROP TABLE m_rows")
        assert of("SELECT nonsense") is Error
        number = one.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s)", [number])
        assert of("SELECT 1") is Unreachable  # 57P01
        assert of("SELECT 1") is Unreachable  # the client's own, without a SQLSTATE
        is_done = True
    assert is_done
