"""One local OCI for each worker, and for each test a bucket of its own and the official SDK."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud
from tests.localcloud.rawclient import RawClient

_numbers = itertools.count()


@pytest.fixture(scope="session")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: LocalCloud) -> Iterator[LocalCloud]:
    """A local OCI, shared by the tests of a worker. Faults end with the test."""
    yield _cloud
    _cloud.clear_faults()


@pytest.fixture(scope="session")
def client(_cloud: LocalCloud) -> ObjectStorageClient:
    """The SDK with the registered API key, and without retries."""
    return object_storage(_cloud)


def object_storage(cloud: LocalCloud, **options: Any) -> ObjectStorageClient:
    config = oci.config.from_file(str(cloud.config))
    return ObjectStorageClient(
        config, service_endpoint=cloud.endpoint, retry_strategy=oci.retry.NoneRetryStrategy(), **options
    )


@pytest.fixture
def make_bucket(client: ObjectStorageClient, cloud: LocalCloud) -> Callable[..., str]:
    def make(**details: Any) -> str:
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        details = {"compartment_id": cloud.tenancy, **details}
        client.create_bucket(cloud.namespace, m.CreateBucketDetails(name=name, **details))
        return name

    return make


@pytest.fixture
def bucket(make_bucket: Callable[..., str]) -> str:
    """A new, empty bucket."""
    return make_bucket()


@pytest.fixture(scope="session")
def raw(_cloud: LocalCloud) -> RawClient:
    """A client that signs by hand."""
    return RawClient(_cloud)


@pytest.fixture
def path(cloud: LocalCloud, bucket: str) -> str:
    """The raw path of the bucket."""
    return f"/n/{cloud.namespace}/b/{bucket}"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., LocalCloud]]:
    """``alone("--any-key")``: a local OCI for this test only."""
    started: list[LocalCloud] = []

    def start(*options: str) -> LocalCloud:
        started.append(LocalCloud(tmp_path / f"cloud{len(started)}", *options).start())
        return started[-1]

    yield start
    for cloud in started:
        cloud.stop()
