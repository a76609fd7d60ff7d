"""A bucket of the local OCI with objects in it, and how the tools read it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from bench import peers
from keepstep_localcloud.server import LocalCloud


@dataclass
class OciBucket:
    """Its address, and the variables that lead to it."""

    cloud: LocalCloud
    name: str

    @property
    def env(self) -> dict[str, str]:
        return dict(self.cloud.env)

    def keepstep(self, target: str, url: str) -> list[str]:
        return peers.keepstep(f"oci://{self.name}@{self.cloud.namespace}/", target)

    def rclone(self, target: str, url: str) -> list[str]:
        command = peers.with_endpoint(peers.rclone(f":oos:{self.name}", target), url)
        facts = self.cloud.facts
        options = {
            "provider": "user_principal_auth",
            "config-file": str(self.cloud.config),
            "endpoint": self.cloud.endpoint,
            "namespace": self.cloud.namespace,
            "compartment": facts["compartment"],
            "region": facts["region"],
        }
        return [*command, *[word for name, value in options.items() for word in (f"--oos-{name}", value)]]


@contextlib.contextmanager
def oci_bucket(count: int, size: int) -> Iterator[OciBucket]:
    """``count`` objects of ``size`` random bytes."""
    import oci

    with LocalCloud() as cloud:
        config = oci.config.from_file(str(cloud.config))
        client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
        details = oci.object_storage.models.CreateBucketDetails(name="bench", compartment_id=cloud.tenancy)
        client.create_bucket(cloud.namespace, details)
        data = os.urandom(size)
        for number in range(count):
            client.put_object(cloud.namespace, "bench", f"{number:05}.bin", data)
        yield OciBucket(cloud, "bench")
