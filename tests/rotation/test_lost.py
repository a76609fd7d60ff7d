"""Databases that lose the current password, and accounts that failed logins lock: on the real servers.

Oracle is a stand-in that keeps the documented rules.
"""

from __future__ import annotations

from typing import Any

import pytest

from keepstep.errors import ExitCode
from keepstep.rotation.changes import Strategy
from tests.database_servers.mariadb import MariadbServer
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.oracle import OracleServer
from tests.database_servers.postgres import PostgresServer
from tests.rotation.fixture import FIRST, Clouds, Scene, Server
from tests.rotation.null_watcher import Silence

ALTERNATING, DUAL, ROLLOVER, SINGLE = Strategy.ALTERNATING, Strategy.DUAL, Strategy.ROLLOVER, Strategy.SINGLE
CASES = [
    ("mysql_server", DUAL),
    ("mysql_server", ALTERNATING),
    ("mysql_server", SINGLE),
    ("oracle_server", ROLLOVER),
    ("oracle_server", SINGLE),
    ("postgres_server", ALTERNATING),
    ("mariadb_server", ALTERNATING),
    ("mariadb_server", SINGLE),
]
UNKNOWN = "nobody-Knows_this1"


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def lose(server: Server, user: str, password: str) -> None:
    """An administrator sets it by hand, or a backup had it."""
    if isinstance(server, OracleServer):
        account = server.users.get(user.upper())
        account.newest, account.old = password, None
    elif isinstance(server, PostgresServer):
        server.execute(f"ALTER ROLE \"{user}\" PASSWORD '{password}'")
    else:
        server.execute(f"ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'")
        if type(server).__name__ == "MysqlServer" and server.endpoint.engine == "mysql":
            server.execute(f"ALTER USER '{user}'@'%' DISCARD OLD PASSWORD")


@pytest.mark.parametrize("password", [FIRST, UNKNOWN], ids=["the previous one", "one that nobody knows"])
@pytest.mark.parametrize(("server", "strategy"), CASES, indirect=["server"])
def test_the_next_plain_tick_heals_it(clouds: Clouds, server: Server, strategy: Strategy, password: str) -> None:
    """Whatever the database has now: the next tick gives the current password back, and nobody is contended."""
    scene = Scene(clouds, [server], strategy=strategy)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    current = scene.aws()
    assert current and scene.is_in_step(2)
    lose(server, current["username"], password)
    heard = Silence()
    assert scene.tick(watcher=heard).exit_code is ExitCode.DONE, heard.text
    assert "contended" not in heard.text
    assert scene.all_let_in(scene.aws())
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.all_let_in(scene.aws())


@pytest.mark.parametrize("strategy", [DUAL, ALTERNATING, SINGLE])
def test_where_mysql_locks_after_one_failure(clouds: Clouds, mysql_server: MysqlServer, strategy: Strategy) -> None:
    """FAILED_LOGIN_ATTEMPTS 1: rotations and a lost password, and no login of keepstep ever fails."""
    scene = Scene(clouds, [mysql_server], strategy=strategy)
    users = [scene.user, scene.partner] if strategy is ALTERNATING else [scene.user]
    for user in users:
        mysql_server.execute(f"ALTER USER '{user}'@'%' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
    for gen in (2, 3):
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(gen)
    current = scene.aws()
    assert current
    lose(mysql_server, current["username"], UNKNOWN)
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(3)


def test_where_mariadb_locks_after_one_error(clouds: Clouds, mariadb_server: MariadbServer) -> None:
    """max_password_errors=1: the same."""
    scene = Scene(clouds, [mariadb_server])
    mariadb_server.execute("SET GLOBAL max_password_errors = 1")
    try:
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(2)
        lose(mariadb_server, scene.partner, UNKNOWN)
        assert scene.tick().exit_code is ExitCode.DONE
        assert scene.is_in_step(2)
    finally:
        mariadb_server.execute("SET GLOBAL max_password_errors = 4294967295")


def test_oracle_ticks_in_vain(clouds: Clouds, oracle_server: OracleServer) -> None:
    """Without an administrator nothing can be healed: ticks on any host together do not lock the account."""
    scene = Scene(clouds, [oracle_server], strategy=SINGLE, has_admin=False)
    lose(oracle_server, scene.user, UNKNOWN)
    account: Any = oracle_server.users.get(scene.user.upper())
    for _ in range(12):
        assert scene.tick().exit_code is ExitCode.FAILED
    assert account.failures <= 3 and not account.is_locked


def test_a_history_that_refuses_the_current_password(clouds: Clouds, mysql_server: MysqlServer) -> None:
    """A second password that nobody knows, and password_history: one version for one rotation."""
    scene = Scene(clouds, [mysql_server], strategy=DUAL)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD HISTORY 5")
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    current = str((scene.aws() or {})["password"])
    lose(mysql_server, scene.user, UNKNOWN)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD HISTORY 0")
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' IDENTIFIED BY '{current}' RETAIN CURRENT PASSWORD")
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD HISTORY 5")
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(3)
