"""The images, each built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.base import debian_base
from tests.deploy.images import Images


@pytest.fixture(scope="session")
def debian(store: Images, small: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base with Debian's Python."""
    return store.add_base("debian", debian_base(Path(tmp_path_factory.mktemp("debian"))))


@pytest.fixture(scope="session")
def aws_image(store: Images, debian: str) -> str:
    """For those who have no Oracle Cloud."""
    return store.build("keepstep-aws", base=debian, extras="aws")


@pytest.fixture(scope="session")
def image(store: Images, debian: str) -> str:
    """What is built when nothing is asked for."""
    return store.build("keepstep", base=debian)
