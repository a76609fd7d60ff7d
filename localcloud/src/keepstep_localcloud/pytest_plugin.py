"""pytest's fixture ``local_cloud``: a local cloud that starts with the first test that asks for it.

It serves until the session ends, under pytest's temporary folder. Faults that a test asked for end with that test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from keepstep_localcloud.server import LocalCloud

_RUNNING: pytest.StashKey[LocalCloud] = pytest.StashKey()


@pytest.fixture(scope="session")
def local_cloud_options() -> list[str]:
    """Options of ``keepstep-localcloud`` for ``local_cloud``. Override it: ``[]`` starts the local AWS too."""
    return ["--no-aws"]


@pytest.fixture(scope="session")
def local_cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, local_cloud_options: list[str]
) -> Iterator[LocalCloud]:
    """A local OCI: ``endpoint``, ``env``, ``config``, ``tenancy``, ``namespace``, ``fault()``, ``policy()``."""
    from keepstep_localcloud.server import LocalCloud

    with LocalCloud(tmp_path_factory.mktemp("local-cloud"), *local_cloud_options, aws=True) as cloud:
        request.config.stash[_RUNNING] = cloud
        yield cloud
        del request.config.stash[_RUNNING]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Takes back the faults that a test left, before its fixtures are torn down."""
    cloud = item.config.stash.get(_RUNNING, None)
    if cloud and cloud.has_faults:
        cloud.clear_faults()
