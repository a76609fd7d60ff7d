"""Places to run jobs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts.fixtures import Place
from tests.state.conftest import _postgres as _postgres
from tests.state.conftest import shared_url as shared_url


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
