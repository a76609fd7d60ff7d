"""A bucket of the local OCI behind a proxy that twists answers."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import oci
import pytest

from keepstep.cli.running import run
from keepstep.clouds.oci import OciIdentity, OciSettings
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry
from keepstep.stores.oci import OciStore
from keepstep.stores.oci_client import OciClient
from keepstep.stores.options import TransferOptions
from keepstep_localcloud.server import LocalCloud
from tests.faultproxy import Fault, FaultProxy
from tests.stores.twisted import few_attempts

T = TypeVar("T")

REQUESTS = {
    "BatchDeleteObjects": r"^POST .*/actions/batchDeleteObjects",
    "CommitMultipartUpload": r"^POST .*/u/.*uploadId=",
    "CopyObject": r"^POST .*/actions/copyObject",
    "CreateMultipartUpload": r"^POST .*/u ",
    "DeleteObject": r"^DELETE .*/o/",
    "GetObject": r"^GET .*/o/",
    "GetWorkRequest": r"^GET .*/workRequests/",
    "HeadObject": r"^HEAD .*/o/",
    "ListMultipartUploadParts": r"^GET .*/u/",
    "PutObject": r"^PUT .*/o/",
    "UploadPart": r"^PUT .*/u/",
}


class TwistedOci:
    """A fresh bucket; the store speaks to it through ``proxy``, :meth:`get` and :meth:`put` (the SDK) do not."""

    def __init__(self, cloud: LocalCloud, proxy: FaultProxy) -> None:
        config = oci.config.from_file(str(cloud.config))
        self._sdk = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
        self.namespace = cloud.namespace
        self.proxy = proxy
        self.name = f"twisted-{uuid.uuid4().hex[:10]}"
        details = oci.object_storage.models.CreateBucketDetails(name=self.name, compartment_id=cloud.tenancy)
        self._sdk.create_bucket(self.namespace, details)

    def run(
        self,
        work: Callable[[OciStore], Awaitable[T]],
        prefix: str = "",
        options: TransferOptions | None = None,
    ) -> T:
        async def main() -> T:
            address = Address("oci", bucket=self.name, namespace=self.namespace, prefix=prefix)
            client = OciClient(self.name, self.namespace, OciIdentity(OciSettings()))
            store = OciStore(address, client, options or TransferOptions())
            try:
                return await work(store)
            finally:
                await store.close()

        return run(main())

    def twist(self, operation: str, **fault: Any) -> Fault:
        return self.proxy.add(match=REQUESTS[operation], **{"times": None, **fault})

    def put(self, key: str, data: bytes) -> None:
        self._sdk.put_object(self.namespace, self.name, key, data)

    def get(self, key: str) -> bytes:
        return bytes(self._sdk.get_object(self.namespace, self.name, key).data.content)

    def keys(self) -> list[str]:
        return [item.name for item in self._sdk.list_objects(self.namespace, self.name).data.objects]

    def entry(self, key: str) -> Entry:
        head = self._sdk.head_object(self.namespace, self.name, key).headers
        return Entry(key, int(head["content-length"]), 0, head["etag"].strip('"'))


@pytest.fixture(scope="session")
def _twisted_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def twisted_oci(
    _twisted_cloud: LocalCloud, proxied: Callable[[str], FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwistedOci]:
    proxy = proxied(_twisted_cloud.endpoint)
    for name, value in {**_twisted_cloud.env, "OCI_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(name, value)
    with few_attempts():
        yield TwistedOci(_twisted_cloud, proxy)
