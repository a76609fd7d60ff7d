"""The clouds and databases of the rotation's tests, each started once a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.database_servers.fixtures import authority as authority
from tests.database_servers.fixtures import database_folder as database_folder
from tests.database_servers.fixtures import mariadb_server as mariadb_server
from tests.database_servers.fixtures import mysql_server as mysql_server
from tests.database_servers.fixtures import new_mariadb_server as new_mariadb_server
from tests.database_servers.fixtures import new_postgres_server as new_postgres_server
from tests.database_servers.fixtures import oracle_server as oracle_server
from tests.database_servers.fixtures import postgres_server as postgres_server
from tests.database_servers.mariadb import MariadbServer
from tests.database_servers.postgres import PostgresServer
from tests.rotation.fixture import Clouds, Scene
from tests.servers import Aws


@pytest.fixture(scope="session")
def rotation_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def session_clouds(_moto: Aws, rotation_cloud: LocalCloud) -> Clouds:
    return Clouds(_moto, rotation_cloud)


@pytest.fixture
def clouds(session_clouds: Clouds, moto: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    """Both local clouds, found by the environment. Faults end with the test."""
    for name, value in session_clouds.env.items():
        monkeypatch.setenv(name, value)
    yield session_clouds
    session_clouds.cloud.clear_faults()


@pytest.fixture
def real(clouds: Clouds, postgres_server: PostgresServer, mariadb_server: MariadbServer) -> Callable[..., Scene]:
    """``real(strategy=…)``: a credential of a real PostgreSQL and a real MariaDB."""

    def make(**options: Any) -> Scene:
        return Scene(clouds, [mariadb_server, postgres_server], **options)

    return make
