"""OCI Object Storage (API 20160918). Source: ``oci.object_storage.ObjectStorageClient``."""

from __future__ import annotations

from pathlib import Path

from keepstep_localcloud.identity import Facts
from keepstep_localcloud.objectstorage.access import Access
from keepstep_localcloud.objectstorage.actions import ActionService
from keepstep_localcloud.objectstorage.bucket_service import BucketService
from keepstep_localcloud.objectstorage.buckets import Buckets
from keepstep_localcloud.objectstorage.contents import Contents
from keepstep_localcloud.objectstorage.object_service import ObjectService
from keepstep_localcloud.objectstorage.objects import Objects
from keepstep_localcloud.objectstorage.retention import Retention
from keepstep_localcloud.objectstorage.uploads import UploadService
from keepstep_localcloud.storage import Database, Documents
from keepstep_localcloud.wire import Route, ServiceError


class ObjectStorage:
    """The service and what it keeps; contents lie under ``folder``."""

    def __init__(self, database: Database, folder: Path, facts: Facts) -> None:
        self.contents = Contents(database, folder)
        self.objects = Objects(database, self.contents)
        self.buckets = Buckets(Documents(database, "bucket"), facts)
        retention = Retention(Documents(database, "retention"), self.buckets)
        access = Access(self.buckets, self.objects, retention)
        actions = ActionService(Documents(database, "work-request"), access, facts)
        actions.work_requests.resume()
        self._services = (
            ObjectService(access, self.contents),
            UploadService(database, access, self.contents),
            actions,
            actions.work_requests,
            BucketService(self.buckets, self.objects, facts),
            retention,
        )

    def exists(self, namespace: str, bucket: str, name: str) -> bool:
        """Whether there is an object of that name."""
        try:
            return self.objects.find(self.buckets.find(namespace, bucket).number, name) is not None
        except ServiceError:
            return False

    def routes(self) -> list[Route]:
        """Every call of the service."""
        return [route for service in self._services for route in service.routes()]
