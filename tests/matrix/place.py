"""One store of the matrix with fresh buckets, the command, and a client that is not ours."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keepstep_localcloud.server import LocalCloud
from tests.cli.conftest import Ran
from tests.cli.inprocess import keepstep
from tests.servers import Aws

LONG_AGO = 1_700_000_000


@dataclass
class Place:
    """A store that is tried, by its name in :mod:`tests.matrix.expectations`."""

    name: str
    server: Aws
    cloud: LocalCloud
    """The other side of syncs between clouds."""
    tmp: Path
    used: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s3 = self.server.client("s3")
        self.bucket = self.new()
        config = self.tmp / "aws_config"
        config.write_text("[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n")
        self.env = {**self.cloud.env, **self.server.env, "AWS_CONFIG_FILE": str(config)}

    def new(self) -> str:
        """The name of a fresh bucket."""
        name = f"matrix-{uuid.uuid4().hex[:10]}"
        self.s3.create_bucket(Bucket=name)
        self.used.append(name)
        return name

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/in/"

    def run(self, *words: str, **changed: str | None) -> Ran:
        """The command, in this process."""
        return keepstep(*words, env={**self.env, **changed})

    def sync(self, *words: str, **changed: str | None) -> Ran:
        """With a report."""
        return self.run("sync", *words, "--json", **changed)

    def folder(self, files: dict[str, bytes]) -> str:
        """A fresh local folder with these files, written long ago."""
        root = self.tmp / uuid.uuid4().hex
        root.mkdir()
        for key, data in files.items():
            path = root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (LONG_AGO, LONG_AGO))
        return str(root)

    def put(self, files: dict[str, bytes], prefix: str = "in/") -> None:
        """By a client that is not ours."""
        for key, data in files.items():
            self.s3.put_object(Bucket=self.bucket, Key=prefix + key, Body=data)

    def keys(self, bucket: str = "", prefix: str = "in/") -> list[str]:
        """By a client that is not ours, in the store's order, relative to the prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket or self.bucket, Prefix=prefix)
        return [item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", ())]

    def read(self, key: str, bucket: str = "", **how: Any) -> bytes:
        """By a client that is not ours; the whole key."""
        return bytes(self.s3.get_object(Bucket=bucket or self.bucket, Key=key, **how)["Body"].read())

    def contents(self, bucket: str = "", prefix: str = "in/") -> dict[str, bytes]:
        return {key: self.read(prefix + key, bucket) for key in self.keys(bucket, prefix)}

    def oci_bucket(self) -> str:
        """The address of a fresh bucket of the other cloud."""
        import oci

        name = f"matrix-{uuid.uuid4().hex[:10]}"
        details = oci.object_storage.models.CreateBucketDetails(name=name, compartment_id=self.cloud.tenancy)
        self.oci.create_bucket(self.cloud.namespace, details)
        return f"oci://{name}@{self.cloud.namespace}/in/"

    def oci_put(self, address: str, key: str, data: bytes, **properties: Any) -> None:
        bucket = address.removeprefix("oci://").partition("@")[0]
        self.oci.put_object(
            self.cloud.namespace, bucket, f"in/{key}", data, enable_strict_url_encoding=True, **properties
        )

    @property
    def oci(self) -> Any:
        import oci

        config = oci.config.from_file(str(self.cloud.config))
        return oci.object_storage.ObjectStorageClient(config, service_endpoint=self.cloud.endpoint)

    def key_file(self, key: bytes) -> str:
        path = self.tmp / f"key-{hashlib.sha256(key).hexdigest()[:8]}"
        path.write_bytes(key)
        return f"fileb://{path}"


def in_folder(address: str) -> dict[str, bytes]:
    """Every file beneath a local folder."""
    root = Path(address)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
