"""An empty folder of our own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Empty, and nobody else's."""
    folder = tmp_path / "root"
    folder.mkdir(mode=0o700)
    return folder
