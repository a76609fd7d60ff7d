"""States to keep runs in: a file, and a PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.state.postgres import postgres


@pytest.fixture(scope="session")
def _postgres() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def shared_url(_postgres: str) -> str:
    """A PostgreSQL without a state in it."""
    with psycopg.connect(_postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS keepstep CASCADE")
    return _postgres


@pytest.fixture(params=["sqlite", "postgres"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty state of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/state.db"
    url: str = request.getfixturevalue("shared_url")
    return url
