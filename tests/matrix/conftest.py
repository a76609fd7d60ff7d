"""The servers of the matrix as places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests import store_servers
from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.expectations import SERVERS, TESTED_APART
from tests.matrix.place import Place
from tests.servers import Aws

FIXTURES = {"localcloud": "moto", "moto": "plain_moto", "seaweedfs": "seaweed"}
"""Of servers whose fixture has another name."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every capability on every server; a server's tests stay together, so that it is started once."""
    if "place" not in metafunc.fixturenames:
        return
    servers = (*SERVERS, *TESTED_APART) if os.environ.get("FULL") else SERVERS
    rows = [
        pytest.param(server, name, id=f"{server}-{name}", marks=_marks(server))
        for server in servers
        for name in CAPABILITIES
    ]
    metafunc.parametrize(("place", "capability"), rows, indirect=["place"])


def _marks(server: str) -> list[pytest.MarkDecorator]:
    """moto is also what the local AWS is made of."""
    return [pytest.mark.long] if server == "moto" else []


@pytest.fixture(scope="session")
def oci_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("oci")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def plain_moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with store_servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def s3rver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with store_servers.s3rver(tmp_path_factory.mktemp("s3rver")) as server:
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with store_servers.ceph(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture
def place(request: pytest.FixtureRequest, oci_side: LocalCloud, tmp_path: Path) -> Place:
    server = request.getfixturevalue(FIXTURES.get(request.param, request.param))
    return Place(request.param, server, oci_side, tmp_path)
