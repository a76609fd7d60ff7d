"""Buckets: kept, and found by namespace and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keepstep_localcloud.identity import Facts, new_ocid
from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.problems import bucket_not_found, not_authorized
from keepstep_localcloud.objectstorage.stored import new_etag
from keepstep_localcloud.storage import Documents
from keepstep_localcloud.wire import ServiceError

BLING = "bling"
"""The namespace of Oracle's cost reports: customers may read there, and nothing else."""
SETTINGS = {
    "metadata": {},
    "publicAccessType": "NoPublicAccess",
    "storageTier": "Standard",
    "objectEventsEnabled": False,
    "freeformTags": {},
    "definedTags": {},
    "kmsKeyId": None,
    "versioning": "Disabled",
    "autoTiering": "Disabled",
}
"""What a customer may set, and what it is otherwise."""


@dataclass
class Bucket:
    """One bucket: its number in the table of objects, and what the API says of it."""

    number: int
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def etag(self) -> str:
        return str(self.document["etag"])

    @property
    def tier(self) -> str:
        return str(self.document["storageTier"])


class Buckets:
    """Every bucket, by namespace and name."""

    def __init__(self, documents: Documents, facts: Facts) -> None:
        self._documents = documents
        self._facts = facts
        loaded = [Bucket(**document) for document in documents.all()]
        self._buckets = {(b.document["namespace"], b.name): b for b in loaded}
        self._last = max((b.number for b in loaded), default=0)

    def find(self, namespace: str, name: str, *, writes: bool = False) -> Bucket:
        """Raises 404 ``BucketNotFound``, and 404 ``NotAuthorizedOrNotFound`` for a write into ``bling``."""
        found = self._buckets.get((namespace, name))
        if found is None:
            raise bucket_not_found(namespace, name)
        if writes and namespace == BLING:
            raise not_authorized()
        return found

    def of(self, namespace: str, compartment: str) -> list[Bucket]:
        """The buckets of a compartment, by name. Raises 404 ``NamespaceNotFound``."""
        self.check_namespace(namespace)
        found = ((name, b) for (space, name), b in self._buckets.items() if space == namespace)
        return [b for _, b in sorted(found) if b.document["compartmentId"] == compartment]

    def check_namespace(self, namespace: str) -> None:
        if namespace != self._facts.namespace:
            raise ServiceError(404, "NamespaceNotFound", f"The namespace '{namespace}' does not exist for you")

    def create(self, namespace: str, name: str, compartment: str, settings: Mapping[str, Any]) -> Bucket:
        """Raises 409 ``BucketAlreadyExists``."""
        if (namespace, name) in self._buckets:
            raise ServiceError(409, "BucketAlreadyExists", f"Either the bucket '{name}' already exists or is yours")
        document = {
            "namespace": namespace,
            "name": name,
            "compartmentId": compartment,
            "createdBy": self._facts.user,
            "timeCreated": times.now(),
            "id": new_ocid("bucket", self._facts.region),
            "isReadOnly": namespace == BLING,
            **SETTINGS,
            **settings,
        }
        self._last += 1
        return self.save(Bucket(self._last, document))

    def save(self, bucket: Bucket) -> Bucket:
        """Keeps a bucket as it now is, under a new ETag."""
        bucket.document["etag"] = new_etag()
        document = {"number": bucket.number, "document": bucket.document}
        self._documents.put(str(bucket.number), document)
        self._buckets[bucket.document["namespace"], bucket.name] = bucket
        return bucket

    def delete(self, bucket: Bucket) -> None:
        self._documents.delete(str(bucket.number))
        del self._buckets[bucket.document["namespace"], bucket.name]
