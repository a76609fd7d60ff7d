"""The stores that the contract is held against: memory, a folder, S3 as two servers speak it, and OCI."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.stores.address import Address
from keepstep.stores.interface import Store
from keepstep.stores.local import LocalStore
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client
from keepstep.testing.stores import MemoryStore
from keepstep_localcloud.server import LocalCloud

T = TypeVar("T")

NOTHING_ASKED = TransferOptions()


@dataclass
class StoreBackend:
    """Where one kind of store is tried: it makes stores of one fresh bucket or folder, by prefix."""

    name: str
    make: Callable[..., Store]
    """Of a prefix and, if any, the :class:`TransferOptions`."""
    missing: Callable[[], Store] | None = None
    """A store in a bucket that does not exist."""
    refuses: Callable[[str], bool] = lambda key: False
    """Whether a key cannot be held: file systems have rules for names, and OCI knows no line breaks in them."""
    part_size: int = 5 * 1024 * 1024

    def run(self, work: Callable[..., Awaitable[T]], *prefixes: str, options: TransferOptions = NOTHING_ASKED) -> T:
        """Runs ``work(store, ...)`` with a store for each prefix (one for the whole place when there are none)."""

        async def main() -> T:
            stores = [self.make(prefix, options) for prefix in prefixes or ("",)]
            try:
                return await work(*stores)
            finally:
                for store in stores:
                    await store.close()

        return run(main())


MISSING = "no-such-bucket-here"
KINDS = ("memory", "local", "s3-moto", "s3-seaweedfs", "s3-localbucket", "s3-ministack", "s3-rclone", "oci")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on every kind of store, or on those that ``@pytest.mark.backends(...)`` names."""
    if "backend" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("backends")
    metafunc.parametrize("backend", marker.args if marker else KINDS, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreBackend:
    kind: str = request.param
    match kind:
        case "memory":
            memory = MemoryStore()
            return StoreBackend(kind, lambda prefix, options=NOTHING_ASKED: memory, part_size=1000)
        case "local":
            return StoreBackend(
                kind,
                lambda prefix, options=NOTHING_ASKED: LocalStore(
                    Address("local", path=str(tmp_path / "root" / prefix)),
                    writable=True,
                    tells_states=options.tells_contents,
                ),
                refuses=lambda key: any(
                    part in ("", ".", "..") or len(part.encode()) > 255 for part in key.split("/")
                ),
                part_size=1000,
            )
        case "oci":
            return _oci(request.getfixturevalue("oci_cloud"), monkeypatch)
        case _:
            name = kind.removeprefix("s3-")
            server = request.getfixturevalue({"seaweedfs": "seaweed"}.get(name, name))
            return _s3(kind, server, monkeypatch)


@pytest.fixture(scope="session")
def oci_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


def _s3(kind: str, server: Any, monkeypatch: pytest.MonkeyPatch) -> StoreBackend:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"contract-{uuid.uuid4().hex[:12]}"
    server.client("s3").create_bucket(Bucket=bucket)
    identity = AwsIdentity(AwsSettings())
    return StoreBackend(
        kind,
        lambda prefix, options=NOTHING_ASKED: S3Store(
            Address("s3", bucket=bucket, prefix=prefix), S3Client(bucket, identity), options
        ),
        lambda: S3Store(Address("s3", bucket=MISSING), S3Client(MISSING, identity)),
    )


def _oci(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> StoreBackend:
    from keepstep.clouds.oci import OciIdentity, OciSettings
    from keepstep.stores.oci import OciStore
    from keepstep.stores.oci_client import OciClient

    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"contract-{uuid.uuid4().hex[:12]}"
    namespace = cloud.namespace
    _create_bucket(cloud, bucket)
    identity = OciIdentity(OciSettings())
    address = Address("oci", bucket=bucket, namespace=namespace)
    return StoreBackend(
        "oci",
        lambda prefix, options=NOTHING_ASKED: OciStore(
            replace(address, prefix=prefix), OciClient(bucket, namespace, identity), options
        ),
        lambda: OciStore(replace(address, bucket=MISSING), OciClient(MISSING, namespace, identity)),
        refuses=lambda key: "\n" in key or "\r" in key,
        part_size=10 * 1024 * 1024,
    )


def _create_bucket(cloud: LocalCloud, bucket: str) -> None:
    import oci

    config = oci.config.from_file(str(cloud.config))
    client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
    details = oci.object_storage.models.CreateBucketDetails(name=bucket, compartment_id=cloud.tenancy)
    client.create_bucket(cloud.namespace, details)
