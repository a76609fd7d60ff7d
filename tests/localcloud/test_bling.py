"""The cost reports' bucket: read-only, in a namespace of its own, and always what the folder is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud
from tests.localcloud.conftest import object_storage

REPORT = "FOCUS Reports/2026/09/18/0001000000123456-00001.csv.gz"
MODIFIED = 1_789_000_000.25


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one report."""
    put(tmp_path / "reports", REPORT, b"gzip")
    return tmp_path / "reports"


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (MODIFIED, MODIFIED))


def until(is_true: Callable[[], Any]) -> None:
    """Waits for the next looks at the folder."""
    end = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < end, "the bucket did not follow"
        time.sleep(0.05)


def test_the_bucket_follows_the_folder(alone: Callable[..., LocalCloud], folder: Path) -> None:
    """Files are there at the start and soon after they appear, change or go; links and bad names are not taken."""
    (folder / "link").symlink_to("/etc/hostname")
    (folder / os.fsdecode(b"not utf-8 \xff")).write_bytes(b"x")
    cloud = alone("--bling", str(folder))
    client, place = object_storage(cloud), ("bling", cloud.tenancy)

    def names() -> list[str]:
        return [each.name for each in client.list_objects(*place).data.objects]

    (listed,) = client.list_objects(*place, fields="size,timeModified,md5").data.objects
    assert (listed.name, listed.size, listed.time_modified.timestamp()) == (REPORT, 4, MODIFIED)
    found = client.get_object(*place, REPORT)
    assert (found.data.content, found.headers["content-type"]) == (b"gzip", "application/x-gzip")
    put(folder, "reports/cost-csv/1.csv.gz", bytes(200_000))
    until(lambda: names() == [REPORT, "reports/cost-csv/1.csv.gz"])
    put(folder, REPORT, b"longer")
    until(lambda: client.get_object(*place, REPORT).data.content == b"longer")
    (folder / REPORT).unlink()
    until(lambda: names() == ["reports/cost-csv/1.csv.gz"])


def test_nothing_changes_when_nothing_changes(alone: Callable[..., LocalCloud], folder: Path) -> None:
    """A report keeps its ETag over looks and restarts, with and without the folder."""
    cloud = alone("--bling", str(folder))
    client, place = object_storage(cloud), ("bling", cloud.tenancy)
    etag = client.head_object(*place, REPORT).headers["etag"]
    cloud.stop()
    cloud.start()
    assert client.head_object(*place, REPORT).headers["etag"] == etag
    cloud.stop()
    with LocalCloud(cloud.directory):
        assert client.head_object(*place, REPORT).headers["etag"] == etag


def test_customers_only_read(client: ObjectStorageClient, cloud: LocalCloud) -> None:
    """Every write into bling is refused the way OCI refuses, and another tenancy has no reports."""
    place = ("bling", cloud.tenancy)
    name = "any"
    rule = m.CreateRetentionRuleDetails(display_name="x")
    upload = m.CreateMultipartUploadDetails(object=name)
    writes: list[Callable[[], Any]] = [
        lambda: client.put_object(*place, name, b"x"),
        lambda: client.delete_object(*place, name),
        lambda: client.batch_delete_objects(*place, m.BatchDeleteObjectsDetails(objects=[])),
        lambda: client.rename_object(*place, m.RenameObjectDetails(source_name=name, new_name="b")),
        lambda: client.restore_objects(*place, m.RestoreObjectsDetails(object_name=name)),
        lambda: client.create_multipart_upload(*place, upload),
        lambda: client.create_retention_rule(*place, rule),
        lambda: client.update_bucket(*place, m.UpdateBucketDetails(metadata={})),
        lambda: client.delete_bucket(*place),
    ]
    for write in writes:
        with pytest.raises(oci.exceptions.ServiceError) as refused:
            write()
        assert (refused.value.status, refused.value.code) == (404, "NotAuthorizedOrNotFound")
    assert client.list_objects(*place).data.objects == []
    with pytest.raises(oci.exceptions.ServiceError, match="BucketNotFound"):
        client.list_objects("bling", "ocid1.tenancy.oc1..another")
    with pytest.raises(oci.exceptions.ServiceError, match="NamespaceNotFound"):
        client.create_bucket("bling", m.CreateBucketDetails(name="mine", compartment_id=cloud.tenancy))
