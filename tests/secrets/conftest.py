"""An empty folder of our own; a host, and a local OCI shared by the tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.secrets.hosts import CloudSecrets, Host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Empty, and nobody else's."""
    folder = tmp_path / "root"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def _secrets_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def _cloud_secrets(_secrets_cloud: LocalCloud) -> CloudSecrets:
    return CloudSecrets(_secrets_cloud)


@pytest.fixture
def vault(_cloud_secrets: CloudSecrets) -> Iterator[CloudSecrets]:
    """OCI Vault, shared by the tests of a worker. Faults end with the test."""
    yield _cloud_secrets
    _cloud_secrets.cloud.clear_faults()


@pytest.fixture
def host(root: Path, vault: CloudSecrets) -> Host:
    return Host(root, vault.cloud)
