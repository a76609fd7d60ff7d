"""The calls on single objects, and ListObjects and BatchDeleteObjects next to them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from keepstep_localcloud.objectstorage import listing, times
from keepstep_localcloud.objectstorage.access import Access
from keepstep_localcloud.objectstorage.buckets import Bucket
from keepstep_localcloud.objectstorage.checksums import Checksums
from keepstep_localcloud.objectstorage.conditions import check_change, check_customer_key, check_read, customer_key
from keepstep_localcloud.objectstorage.contents import Contents
from keepstep_localcloud.objectstorage.problems import invalid, unsatisfiable
from keepstep_localcloud.objectstorage.properties import (
    check_name,
    from_headers,
    response_headers,
    tier_of,
    written,
)
from keepstep_localcloud.objectstorage.stored import StoredObject
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

OVERRIDES = {
    f"httpResponse{''.join(word.title() for word in name.split('-'))}": name
    for name in (
        "content-disposition", "cache-control", "content-type", "content-language", "content-encoding", "expires",
    )
}  # fmt: skip
"""GetObject's query parameters that replace a header of the answer."""
BATCH = 1000


class ObjectService:
    """The handlers of objects."""

    def __init__(self, access: Access, contents: Contents) -> None:
        self._access = access
        self._contents = contents

    def routes(self) -> list[Route]:
        bucket = "/n/{namespace}/b/{bucket}"
        one = f"{bucket}/o/{{name:rest}}"
        return [
            Route("GetObject", "GET", one, self.get),
            Route("HeadObject", "HEAD", one, self.head),
            Route("PutObject", "PUT", one, self.put, streams=True),
            Route("DeleteObject", "DELETE", one, self.delete),
            Route("ListObjects", "GET", f"{bucket}/o", self.list),
            Route("ListObjects", "GET", f"{bucket}/o/", self.list),
            Route("BatchDeleteObjects", "POST", f"{bucket}/actions/batchDeleteObjects", self.batch_delete),
        ]

    async def list(self, request: Request, namespace: str, bucket: str) -> Response:
        number = self._access.buckets.find(namespace, bucket).number
        query = listing.Query.parsed(request.query)
        body = listing.page(self._access.objects, number, query, stale=request.stale)
        return Response(body=body, headers={"content-type": "application/json"})

    async def head(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        stored = self._access.find(self._access.buckets.find(namespace, bucket), name)
        if check_read(request.headers, stored.etag):
            return Response(304, headers={"etag": stored.etag})
        check_customer_key(request.headers, stored.customer_key)
        headers = response_headers(stored, time.time())
        return Response(headers={**headers, "content-length": str(stored.size)})

    async def get(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        stored = self._access.readable(self._access.buckets.find(namespace, bucket), name)
        if check_read(request.headers, stored.etag):
            return Response(304, headers={"etag": stored.etag})
        check_customer_key(request.headers, stored.customer_key)
        headers = response_headers(stored, time.time())
        headers.update({OVERRIDES[key]: value for key, value in request.query.items() if key in OVERRIDES})
        return self._content(stored, headers, request.headers.get("range"))

    def _content(self, stored: StoredObject, headers: dict[str, str], wanted: str | None) -> Response:
        first, last = 0, stored.size - 1
        if wanted is not None:
            first, last = byte_range(wanted, stored.size)
            headers["content-range"] = f"bytes {first}-{last}/{stored.size}"
        headers["content-length"] = str(last - first + 1)
        body: bytes | Iterator[bytes] = self._contents.read(stored.blob, first, last)
        return Response(206 if wanted is not None else 200, body, headers)

    async def put(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        check_name(name)
        tier = tier_of(request.headers.get("storage-tier"), found.tier)
        key = customer_key(request.headers)
        checksums = Checksums.parsed(request.headers)
        self._access.check_replace(found, name, request.headers)
        assert request.chunks is not None
        received = await self._contents.receive(request.chunks, checksums.algorithms)
        with self._contents.claimed(received):
            known = checksums.check(received.digests)
            with self._access.objects.changing(found.number):
                # Somebody else may have written while the body was on its way.
                self._access.check_replace(found, name, request.headers)
                stored = self._access.objects.put(
                    found.number,
                    name,
                    received,
                    {**from_headers(request.headers), **known},
                    tier=tier,
                    customer_key=key,
                )
        return Response(headers={**known, **written(stored), "opc-content-md5": received.md5})

    async def delete(self, request: Request, namespace: str, bucket: str, name: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        with self._access.objects.changing(found.number):
            self._delete(found, name, request.headers.get("if-match"))
        return Response(204, headers={"last-modified": times.http_date(times.now())})

    async def batch_delete(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._access.buckets.find(namespace, bucket, writes=True)
        document = request.document()
        deleted: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        with self._access.objects.changing(found.number):
            for name, etag in _batch(document.get("objects")):
                try:
                    self._delete(found, name, etag)
                    deleted.append({"objectName": name, "timeLastModified": times.now()})
                except ServiceError as exc:
                    failed.append({"objectName": name, "statusCode": exc.status, "errorMessage": exc.message})
        hidden = bool(document.get("isSkipDeletedResult"))
        return Response(body={"deleted": [] if hidden else deleted, "failed": failed})

    def _delete(self, bucket: Bucket, name: str, if_match: str | None) -> None:
        stored = self._access.find(bucket, name)
        check_change({"if-match": if_match} if if_match else {}, stored.etag, name)
        self._access.retention.check(stored)
        self._access.objects.delete(bucket.number, name)


def _batch(wanted: object) -> list[tuple[str, str | None]]:
    """Name and expected ETag of each object in ``BatchDeleteObjectsDetails``. Raises 400 ``InvalidParameter``."""
    try:
        assert isinstance(wanted, list) and 0 < len(wanted) <= BATCH
        return [(str(each["objectName"]), each.get("ifMatch")) for each in wanted]
    except (AssertionError, KeyError, TypeError, AttributeError):
        raise invalid(f"objects is not a list of 1 to {BATCH} names") from None


def byte_range(text: str, size: int) -> tuple[int, int]:
    """First and last byte of a single range (RFC 9110, section 14.1.2). Raises 416 ``InvalidRange``."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if not found or found.groups() == ("", ""):
        raise unsatisfiable(size)
    if not found[1]:
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first > last:
        raise unsatisfiable(size)
    return first, last
