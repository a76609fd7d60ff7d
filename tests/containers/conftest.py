"""A Podman for the tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.podman import Podman, podman


@pytest.fixture(scope="session")
def _podman() -> Iterator[Podman]:
    with podman() as engine:
        yield engine


@pytest.fixture
def engine(_podman: Podman) -> Iterator[Podman]:
    """Without containers; those of the test end with it."""
    yield _podman
    _podman.run("rm", "--all", "--force", "--time", "0")
    for path in _podman.told.iterdir():
        path.unlink()
