"""What is done to objects without moving their bytes: copy, rename, restore from the archive, change of tier."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from keepstep_localcloud.identity import Facts
from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.access import Access
from keepstep_localcloud.objectstorage.buckets import Bucket
from keepstep_localcloud.objectstorage.conditions import SSE, check_change, check_customer_key, customer_key
from keepstep_localcloud.objectstorage.problems import invalid
from keepstep_localcloud.objectstorage.properties import META, check_name, metadata, tier_of, written
from keepstep_localcloud.objectstorage.stored import StoredObject
from keepstep_localcloud.objectstorage.work_requests import WorkRequests
from keepstep_localcloud.storage import Documents
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

RESTORE_DELAY = 1.0
"""Seconds that a restore takes; OCI takes an hour."""
HOURS = 24
"""How long a restored object stays readable when the client does not say."""


class ActionService:
    """The handlers under ``/actions``."""

    def __init__(self, documents: Documents, access: Access, facts: Facts) -> None:
        self._access = access
        self._facts = facts
        self.work_requests = WorkRequests(documents, facts, self._do_copy)

    def routes(self) -> list[Route]:
        actions = "/n/{namespace}/b/{bucket}/actions"
        return [
            Route("CopyObject", "POST", f"{actions}/copyObject", self.copy),
            Route("RenameObject", "POST", f"{actions}/renameObject", self.rename),
            Route("RestoreObjects", "POST", f"{actions}/restoreObjects", self.restore),
            Route("UpdateObjectStorageTier", "POST", f"{actions}/updateObjectStorageTier", self.change_tier),
        ]

    async def copy(self, request: Request, namespace: str, bucket: str) -> Response:
        details = request.document()
        source = self._access.find(self._access.buckets.find(namespace, bucket), details.get("sourceObjectName"))
        if_match = details.get("sourceObjectIfMatchETag")
        check_change({"if-match": if_match} if if_match else {}, source.etag, source.name)
        check_customer_key(request.headers, source.customer_key, "opc-source-sse-customer")
        check_name(details.get("destinationObjectName"))
        if details.get("destinationRegion") != self._facts.region:
            raise invalid(f"There is no region but {self._facts.region} here", "InvalidRegion")
        metadata(details.get("destinationObjectMetadata"))
        self._access.buckets.find(
            str(details.get("destinationNamespace")), str(details.get("destinationBucket")), writes=True
        )
        own = {"namespace": namespace, "bucket": bucket, "customerKey": customer_key(request.headers, SSE)}
        number = self.work_requests.accept("COPY_OBJECT", {**details, **own})
        return Response(202, headers={"opc-work-request-id": number})

    def _do_copy(self, details: dict[str, Any]) -> list[dict[str, Any]]:
        source_bucket = self._access.buckets.find(details["namespace"], details["bucket"])
        source = self._access.readable(source_bucket, details["sourceObjectName"])
        space, bucket, name = (details[f"destination{part}"] for part in ("Namespace", "Bucket", "ObjectName"))
        target = self._access.buckets.find(space, bucket, writes=True)
        with self._access.objects.changing(target.number):
            self._access.check_replace(target, name, _conditions(details, "destinationObject"))
            self._access.objects.copy(source, name=name, bucket=target.number, **_copied(details, source, target))
        return [
            _resource("READ", details["namespace"], source_bucket.name, source.name),
            _resource("WRITTEN", space, bucket, name),
        ]

    async def rename(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        details = request.document()
        name = check_name(details.get("newName"))
        if name == details.get("sourceName"):
            raise invalid("The new name is the old one", "SourceNameSameAsNewName")
        with self._access.objects.changing(found.number):
            source = self._access.find(found, details.get("sourceName"))
            if_match = details.get("srcObjIfMatchETag")
            check_change({"if-match": if_match} if if_match else {}, source.etag, source.name)
            self._access.retention.check(source)
            self._access.check_replace(found, name, _conditions(details, "newObj"))
            renamed = self._access.objects.copy(source, name=name, created=source.created)
            self._access.objects.delete(found.number, source.name)
        return Response(headers=written(renamed))

    async def restore(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        details = request.document()
        stored = self._access.find(found, details.get("objectName"))
        state = stored.archival_state(time.time())
        hours = details.get("hours") or HOURS
        if state is None:
            raise invalid(f"The object '{stored.name}' is not archived", "NotArchivedObject")
        if state == "Restoring":
            raise ServiceError(409, "RestoreInProgress", f"The object '{stored.name}' is being restored")
        if not isinstance(hours, int) or not 1 <= hours <= 240:
            raise invalid("hours is not a number from 1 to 240", "InvalidRestoreHours")
        begin = time.time() + RESTORE_DELAY
        self._update(stored, restored=begin, expires=begin + hours * 3600)
        return Response(200)

    async def change_tier(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        details = request.document()
        stored = self._access.readable(found, details.get("objectName"))
        tier = tier_of(str(details.get("storageTier")), "Standard")
        self._update(stored, tier=tier, modified=times.now(), restored=None, expires=None)
        return Response(200)

    def _update(self, stored: StoredObject, **changes: Any) -> None:
        with self._access.objects.changing(stored.bucket):
            self._access.objects.update(stored._replace(**changes))


def _conditions(details: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """``...IfMatchETag`` and ``...IfNoneMatchETag`` as the headers that they stand for."""
    given = {
        "if-match": details.get(f"{prefix}IfMatchETag"),
        "if-none-match": details.get(f"{prefix}IfNoneMatchETag"),
    }
    return {name: value for name, value in given.items() if value}


def _copied(details: Mapping[str, Any], source: StoredObject, target: Bucket) -> dict[str, Any]:
    """What the copy has of its own: metadata when some are given, its tier, its key."""
    properties = source.headers
    if (given := details.get("destinationObjectMetadata")) is not None:
        kept = {name: value for name, value in properties.items() if not name.startswith(META)}
        properties = {**kept, **metadata(given)}
    return {
        "properties": json.dumps(properties),
        "tier": tier_of(details.get("destinationObjectStorageTier"), target.tier),
        "restored": None,
        "expires": None,
        "customer_key": details["customerKey"],
    }


def _resource(action: str, namespace: str, bucket: str, name: str) -> dict[str, Any]:
    return {
        "actionType": action,
        "entityType": "object",
        "identifier": name,
        "entityUri": f"/n/{namespace}/b/{bucket}/o/{name}",
        "metadata": {"NAMESPACE": namespace, "BUCKET": bucket, "OBJECT": name},
    }
