"""Multipart uploads: parts that become one object, or nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.access import Access
from keepstep_localcloud.objectstorage.checksums import Checksums
from keepstep_localcloud.objectstorage.conditions import check_customer_key, customer_key
from keepstep_localcloud.objectstorage.contents import Contents
from keepstep_localcloud.objectstorage.listing import limit_of
from keepstep_localcloud.objectstorage.parts import Parts, chosen, multipart_md5, part_number
from keepstep_localcloud.objectstorage.problems import invalid, upload_not_found
from keepstep_localcloud.objectstorage.properties import check_name, from_document, tier_of, written
from keepstep_localcloud.storage import Database, Documents
from keepstep_localcloud.wire import Request, Response, Route

SHOWN = ("namespace", "bucket", "object", "uploadId", "timeCreated", "storageTier")


class UploadService:
    """The handlers of multipart uploads."""

    def __init__(self, database: Database, access: Access, contents: Contents) -> None:
        self._database = database
        self._uploads = Documents(database, "upload")
        self._parts = Parts(database, contents)
        self._access = access
        self._contents = contents

    def routes(self) -> list[Route]:
        every = "/n/{namespace}/b/{bucket}/u"
        one = f"{every}/{{name:rest}}"
        return [
            Route("CreateMultipartUpload", "POST", every, self.create),
            Route("ListMultipartUploads", "GET", every, self.list_uploads),
            Route("UploadPart", "PUT", one, self.put_part, streams=True),
            Route("ListMultipartUploadParts", "GET", one, self.list_parts),
            Route("CommitMultipartUpload", "POST", one, self.commit),
            Route("AbortMultipartUpload", "DELETE", one, self.abort),
        ]

    async def create(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        document = request.document()
        name = check_name(document.get("object"))
        self._access.check_replace(found, name, request.headers)
        upload: dict[str, Any] = {
            "namespace": namespace,
            "bucket": bucket,
            "object": name,
            "uploadId": str(uuid.uuid4()),
            "timeCreated": times.now(),
            "storageTier": tier_of(document.get("storageTier"), found.tier),
            "properties": from_document(document),
            "customerKey": customer_key(request.headers),
        }
        self._uploads.put(upload["uploadId"], upload)
        return Response(body=_shown(upload))

    async def list_uploads(self, request: Request, namespace: str, bucket: str) -> Response:
        self._access.buckets.find(namespace, bucket)
        uploads = [
            each for each in self._uploads.all() if (each["namespace"], each["bucket"]) == (namespace, bucket)
        ]
        page = sorted((each for each in uploads if _place(each) >= request.query.get("page", "")), key=_place)
        limit = limit_of(request.query, 1000)
        headers = {"opc-next-page": _place(page[limit])} if len(page) > limit else {}
        return Response(body=[_shown(each) for each in page[:limit]], headers=headers)

    async def put_part(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        self._access.buckets.find(namespace, bucket, writes=True)
        upload = self._find(request, namespace, bucket, name)
        check_customer_key(request.headers, upload["customerKey"])
        number = part_number(request.query.get("uploadPartNum"))
        checksums = Checksums.parsed(request.headers)
        assert request.chunks is not None
        received = await self._contents.receive(request.chunks, checksums.algorithms)
        with self._contents.claimed(received):
            known = checksums.check(received.digests)
            with self._database.transaction():
                self._find(request, namespace, bucket, name)
                part = self._parts.put(upload["uploadId"], number, received)
        return Response(headers={**known, "etag": part.etag, "opc-content-md5": part.md5})

    async def list_parts(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        upload = self._find(request, namespace, bucket, name)
        begin = part_number(request.query.get("page", "1"))
        parts = [part for part in self._parts.of(upload["uploadId"]) if part.number >= begin]
        limit = limit_of(request.query, 1000)
        headers = {"opc-next-page": str(parts[limit].number)} if len(parts) > limit else {}
        fields = {"partNumber": "number", "size": "size", "etag": "etag", "md5": "md5"}
        body = [{shown: getattr(part, name) for shown, name in fields.items()} for part in parts[:limit]]
        return Response(body=body, headers=headers)

    async def commit(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        upload = self._find(request, namespace, bucket, name)
        self._access.check_replace(found, name, request.headers)
        parts = chosen(request.document(), self._parts.of(upload["uploadId"]))
        received = await self._contents.join([part.blob for part in parts if part.blob])
        with self._contents.claimed(received), self._access.objects.changing(found.number):
            self._find(request, namespace, bucket, name)
            self._access.check_replace(found, name, request.headers)
            stored = self._access.objects.put(
                found.number,
                name,
                received,
                upload["properties"],
                tier=upload["storageTier"],
                md5=multipart_md5(parts),
                customer_key=upload["customerKey"],
            )
            self._end(upload)
        return Response(headers={**written(stored), "opc-multipart-md5": stored.md5 or ""})

    async def abort(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        self._access.buckets.find(namespace, bucket, writes=True)
        upload = self._find(request, namespace, bucket, name)
        with self._database.transaction():
            self._end(upload)
        return Response(204)

    def _find(self, request: Request, namespace: str, bucket: str, name: str) -> dict[str, Any]:
        upload_id = request.query.get("uploadId")
        if not upload_id:
            raise invalid("uploadId is required", "MissingUploadId")
        upload: dict[str, Any] | None = self._uploads.get(upload_id)
        if not upload or (upload["namespace"], upload["bucket"], upload["object"]) != (namespace, bucket, name):
            raise upload_not_found(upload_id)
        return upload

    def _end(self, upload: Mapping[str, Any]) -> None:
        self._parts.forget(self._parts.of(upload["uploadId"]))
        self._uploads.delete(upload["uploadId"])


def _shown(upload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: upload[name] for name in SHOWN}


def _place(upload: Mapping[str, Any]) -> str:
    """Orders uploads by object, and can stand in a header."""
    return f"{upload['object'].encode().hex()}-{upload['uploadId']}"
