"""The clouds, servers and engines of other tests, each started once a worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import _tenancy as _tenancy
from tests.cli.conftest import main_job as main_job
from tests.cli.conftest import oci_config as oci_config
from tests.containers.conftest import _podman as _podman
from tests.containers.conftest import engine as engine
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory."""
    folder = Path(tempfile.mkdtemp(prefix="keepstep-doctor-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)
