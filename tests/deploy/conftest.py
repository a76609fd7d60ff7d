"""One store of images a worker; what takes minutes is looked at only with FULL set (``make test-deploy-full``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.base import small_base
from tests.deploy.images import Images, images

collect_ignore_glob = [] if os.environ.get("FULL") else ["full/*"]


@pytest.fixture(scope="session")
def store() -> Iterator[Images]:
    with images() as made:
        yield made


@pytest.fixture(scope="session")
def small(store: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base with this machine's Python."""
    return store.add_base("small", small_base(Path(tmp_path_factory.mktemp("base"))))
