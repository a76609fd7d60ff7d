"""Buckets and namespaces as the official SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.identity import new_ocid
from keepstep_localcloud.server import LocalCloud


def refusal(act: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        act(*arguments, **options)
    return raised.value.status, raised.value.code


def test_the_namespace_is_told(client: ObjectStorageClient, cloud: LocalCloud) -> None:
    """GetNamespace gives the tenancy's namespace, and its metadata name the root compartment."""
    assert client.get_namespace().data == cloud.namespace
    assert client.get_namespace_metadata(cloud.namespace).data.default_s3_compartment_id == cloud.tenancy
    assert refusal(client.get_namespace_metadata, "axother") == (404, "NamespaceNotFound")


def test_a_bucket_lives(client: ObjectStorageClient, cloud: LocalCloud) -> None:
    """Create, get, head, update with merged metadata, count, and delete when empty."""
    space = cloud.namespace
    details = m.CreateBucketDetails(
        name="Life.of-a_bucket", compartment_id=cloud.tenancy, metadata={"a": "1", "b": "2"}
    )
    made = client.create_bucket(space, details)
    name = made.data.name
    assert (made.data.namespace, made.data.storage_tier, made.data.public_access_type) == (
        space,
        "Standard",
        "NoPublicAccess",
    )
    assert refusal(client.create_bucket, space, details) == (409, "BucketAlreadyExists")
    assert client.head_bucket(space, name).headers["etag"] == made.headers["etag"]
    assert refusal(client.get_bucket, space, name, if_match="another") == (412, "IfMatchFailed")
    assert refusal(client.get_bucket, space, name, if_none_match=made.headers["etag"])[0] == 304
    assert refusal(client.head_bucket, space, name, if_none_match=made.headers["etag"])[0] == 304
    updated = client.update_bucket(space, name, m.UpdateBucketDetails(metadata={"a": None, "c": "3"}))
    assert updated.data.metadata == {"b": "2", "c": "3"}
    client.put_object(space, name, "one", b"12345")
    counted = client.get_bucket(space, name, fields=["approximateCount", "approximateSize"]).data
    assert (counted.approximate_count, counted.approximate_size) == (1, 5)
    assert refusal(client.delete_bucket, space, name) == (409, "BucketNotEmpty")
    client.delete_object(space, name, "one")
    assert refusal(client.delete_bucket, space, name, if_match=made.headers["etag"]) == (412, "IfMatchFailed")
    client.delete_bucket(space, name, if_match=updated.headers["etag"])
    assert refusal(client.get_bucket, space, name) == (404, "BucketNotFound")
    assert refusal(client.list_objects, space, name) == (404, "BucketNotFound")


def test_buckets_are_listed_by_compartment(client: ObjectStorageClient, cloud: LocalCloud) -> None:
    """ListBuckets gives the buckets of one compartment by name, in pages."""
    compartment = new_ocid("compartment")
    for name in ("list-b", "list-a", "list-c"):
        client.create_bucket(cloud.namespace, m.CreateBucketDetails(name=name, compartment_id=compartment))
    first = client.list_buckets(cloud.namespace, compartment, limit=2)
    rest = client.list_buckets(cloud.namespace, compartment, limit=2, page=first.headers["opc-next-page"])
    assert [each.name for each in first.data + rest.data] == ["list-a", "list-b", "list-c"]
    assert "opc-next-page" not in rest.headers
    assert client.list_buckets(cloud.namespace, new_ocid("compartment")).data == []
    assert refusal(client.list_buckets, "axother", compartment) == (404, "NamespaceNotFound")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 257, "é"])
def test_what_cannot_be_a_buckets_name(client: ObjectStorageClient, cloud: LocalCloud, name: str) -> None:
    """Letters, digits, dots, dashes and underscores, 256 at most."""
    details = m.CreateBucketDetails(name=name, compartment_id=cloud.tenancy)
    assert refusal(client.create_bucket, cloud.namespace, details) == (400, "InvalidBucketName")


def test_a_bucket_needs_a_compartment(client: ObjectStorageClient, cloud: LocalCloud) -> None:
    """A request without one of the required parameters says which."""
    with pytest.raises(oci.exceptions.ServiceError, match="compartmentId is required"):
        client.create_bucket(cloud.namespace, m.CreateBucketDetails(name="homeless"))
