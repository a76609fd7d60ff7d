"""A place with a page, and the clouds of other tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboard.worlds import Place
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
