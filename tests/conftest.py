"""What every test shares: nobody's own cloud settings, and servers that are started once a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from urllib3 import connection, util

sys.path.insert(0, str(Path(__file__).parents[1]))  # `tests.servers`, also when pytest is called by its own name

from keepstep.clouds import sdk_guard
from tests import store_servers
from tests.database_servers.fixtures import (  # noqa: F401 - fixtures are found by their names here
    authority,
    database_folder,
    mariadb_server,
    mysql_server,
    new_mariadb_server,
    new_postgres_server,
    oracle_server,
    postgres_server,
)
from tests.database_servers.programs import report
from tests.servers import Aws, FaultProxy, local_aws, seaweedfs
from tests.twisting import TwistingProxy

_PRIVATE = ("AWS_", "OCI_", "RCLONE_", "S3_", "KEEPSTEP_", "BOTO_", "SYNC_", "REQUESTS_CA", "CURL_CA")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def _is_private(name: str) -> bool:
    return name.startswith(_PRIVATE) or name.lower() in _PROXIES


def pytest_report_header() -> str:
    return report()


@pytest.fixture(scope="module", autouse=True)
def sdks_of_their_own() -> Iterator[None]:
    """What one file's tests let keepstep limit of other clients in this process does not limit the next file's."""
    before = connection.HTTPConnection.response_class, util.connection.create_connection
    yield
    connection.HTTPConnection.response_class, util.connection.create_connection = before
    sdk_guard.guard.cache_clear()
    sdk_guard.guard_requests.cache_clear()


@pytest.fixture(autouse=True)
def nobodys_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no variable of the developer's that a cloud's client would read."""
    for name in filter(_is_private, list(os.environ)):
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture(scope="session")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with local_aws(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture
def moto(_moto: Aws) -> Iterator[Aws]:
    """The local AWS, shared by the tests of a worker: use names of your own. Faults end with the test."""
    yield _moto
    _moto.clear_faults()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A fast S3. It makes one ``/`` of several in a key."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def localbucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """See :func:`tests.store_servers.localbucket`; one a worker, as the two below."""
    with store_servers.localbucket(tmp_path_factory.mktemp("localbucket")) as server:
        yield server


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """See :func:`tests.store_servers.ministack`."""
    with store_servers.ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """See :func:`tests.store_servers.rclone_s3`."""
    with store_servers.rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def proxied() -> Iterator[Callable[[str], FaultProxy]]:
    """``proxied(url)``: a :class:`FaultProxy` before a server, ended with the test."""
    started: list[FaultProxy] = []

    def start(url: str) -> FaultProxy:
        started.append(FaultProxy(url).__enter__())
        return started[-1]

    yield start
    for proxy in started:
        proxy.__exit__()


@pytest.fixture
def twisted(moto: Aws) -> Iterator[Callable[..., TwistingProxy]]:
    """``twisted("folder-order", ...)``: a :class:`TwistingProxy` before the local AWS, ended with the test.

    ``upstream="http://…"`` stands before another server.
    """
    with ExitStack() as started:

        def start(*modes: str, upstream: str = moto.url, **options: Any) -> TwistingProxy:
            return started.enter_context(TwistingProxy(upstream, *modes, **options))

        yield start
