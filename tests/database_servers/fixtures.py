"""The servers as fixtures, each started once a worker, when first asked for: use names of users of your own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer, mariadb
from tests.database_servers.mysql import MysqlServer, mysql
from tests.database_servers.oracle import OracleServer, oracle
from tests.database_servers.postgres import PostgresServer, postgres
from tests.database_servers.programs import NEW_MARIADB, NEW_POSTGRES


@pytest.fixture(scope="session")
def database_folder() -> Iterator[Path]:
    """A folder that servers can look into who are not root: pytest closes its own ones whenever it starts."""
    with tempfile.TemporaryDirectory(prefix="keepstep-db-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Whom the clients of all servers trust."""
    return Authority()


@pytest.fixture(scope="session")
def postgres_server(database_folder: Path, authority: Authority) -> Iterator[PostgresServer]:
    """A real PostgreSQL."""
    with postgres(_made(database_folder / "postgres"), authority) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server(database_folder: Path, authority: Authority) -> Iterator[MariadbServer]:
    """A real MariaDB."""
    with mariadb(_made(database_folder / "mariadb"), authority) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server(database_folder: Path, authority: Authority) -> Iterator[MysqlServer]:
    """A real MySQL."""
    with mysql(_made(database_folder / "mysql"), authority) as server:
        yield server


@pytest.fixture(scope="session")
def new_postgres_server(database_folder: Path, authority: Authority) -> Iterator[PostgresServer]:
    """A newer PostgreSQL than the machine's own."""
    with postgres(_made(database_folder / "new-postgres"), authority, release=NEW_POSTGRES) as server:
        yield server


@pytest.fixture(scope="session")
def new_mariadb_server(database_folder: Path, authority: Authority) -> Iterator[MariadbServer]:
    """A newer MariaDB than the machine's own."""
    with mariadb(_made(database_folder / "new-mariadb"), authority, release=NEW_MARIADB) as server:
        yield server


@pytest.fixture(scope="session")
def oracle_server(database_folder: Path, authority: Authority) -> Iterator[OracleServer]:
    """What keeps Oracle's rules."""
    with oracle(_made(database_folder / "oracle"), authority) as server:
        yield server


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
