"""What every call on objects asks first: which bucket, which object, and whether it may be read or replaced."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from keepstep_localcloud.objectstorage.buckets import Bucket, Buckets
from keepstep_localcloud.objectstorage.conditions import check_change
from keepstep_localcloud.objectstorage.objects import Objects
from keepstep_localcloud.objectstorage.problems import not_restored, object_not_found
from keepstep_localcloud.objectstorage.properties import check_name
from keepstep_localcloud.objectstorage.retention import Retention
from keepstep_localcloud.objectstorage.stored import StoredObject


@dataclass(frozen=True)
class Access:
    """Buckets, objects and the rules that protect them."""

    buckets: Buckets
    objects: Objects
    retention: Retention

    def find(self, bucket: Bucket, name: object) -> StoredObject:
        """Raises 404 ``ObjectNotFound``."""
        stored = self.objects.find(bucket.number, check_name(name))
        if stored is None:
            raise object_not_found(bucket.name, str(name))
        return stored

    def readable(self, bucket: Bucket, name: object) -> StoredObject:
        """Raises 409 ``NotRestored`` while the object is archived."""
        stored = self.find(bucket, name)
        if stored.archival_state(time.time()) in ("Archived", "Restoring"):
            raise not_restored(stored.name)
        return stored

    def check_replace(self, bucket: Bucket, name: str, conditions: Mapping[str, str]) -> None:
        """Raises 412 when something else is under the name than expected, 409 when a rule protects it."""
        old = self.objects.find(bucket.number, name)
        check_change(conditions, old.etag if old else None, name)
        self.retention.check(old)
