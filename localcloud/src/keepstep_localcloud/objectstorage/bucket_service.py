"""The calls that make, show, change and delete buckets, and those that name the namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from keepstep_localcloud.identity import Facts
from keepstep_localcloud.objectstorage.buckets import SETTINGS, Bucket, Buckets
from keepstep_localcloud.objectstorage.conditions import check_change, check_read
from keepstep_localcloud.objectstorage.listing import limit_of
from keepstep_localcloud.objectstorage.objects import Objects
from keepstep_localcloud.objectstorage.problems import invalid, missing
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

SUMMARY = ("namespace", "name", "compartmentId", "createdBy", "timeCreated", "etag", "freeformTags", "definedTags")
"""The fields in ListBuckets."""


class BucketService:
    """The handlers of namespaces and buckets."""

    def __init__(self, buckets: Buckets, objects: Objects, facts: Facts) -> None:
        self._buckets = buckets
        self._objects = objects
        self._facts = facts

    def routes(self) -> list[Route]:
        one = "/n/{namespace}/b/{bucket}"
        return [
            Route("GetNamespace", "GET", "/n", self.namespace),
            Route("GetNamespace", "GET", "/n/", self.namespace),
            Route("GetNamespaceMetadata", "GET", "/n/{namespace}", self.metadata),
            Route("ListBuckets", "GET", "/n/{namespace}/b", self.list),
            Route("ListBuckets", "GET", "/n/{namespace}/b/", self.list),
            Route("CreateBucket", "POST", "/n/{namespace}/b", self.create),
            Route("CreateBucket", "POST", "/n/{namespace}/b/", self.create),
            Route("GetBucket", "GET", one, self.get),
            Route("HeadBucket", "HEAD", one, self.head),
            Route("UpdateBucket", "POST", one, self.update),
            Route("DeleteBucket", "DELETE", one, self.delete),
        ]

    async def namespace(self, request: Request) -> Response:
        return Response(body=self._facts.namespace)

    async def metadata(self, request: Request, namespace: str) -> Response:
        self._buckets.check_namespace(namespace)
        root = self._facts.tenancy
        compartments = {"defaultS3CompartmentId": root, "defaultSwiftCompartmentId": root}
        return Response(body={"namespace": namespace, **compartments})

    async def list(self, request: Request, namespace: str) -> Response:
        if "compartmentId" not in request.query:
            raise missing("compartmentId")
        found = self._buckets.of(namespace, request.query["compartmentId"])
        found = [bucket for bucket in found if bucket.name >= request.query.get("page", "")]
        limit = limit_of(request.query, 1000)
        body = [{field: bucket.document[field] for field in SUMMARY} for bucket in found[:limit]]
        return Response(body=body, headers={"opc-next-page": found[limit].name} if len(found) > limit else {})

    async def create(self, request: Request, namespace: str) -> Response:
        self._buckets.check_namespace(namespace)
        document = request.document()
        name, compartment = document.get("name"), document.get("compartmentId")
        if not compartment:
            raise missing("compartmentId")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,256}", name):
            raise invalid(f"The bucket name '{name}' is not valid", "InvalidBucketName")
        return _answer(self._buckets.create(namespace, name, compartment, _settings(document)))

    async def get(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._buckets.find(namespace, bucket)
        if check_read(request.headers, found.etag):
            return Response(304, headers={"etag": found.etag})
        fields = {field.strip().lower() for field in request.query.get("fields", "").split(",")}
        count, size = (
            self._objects.totals(found.number) if fields & {"approximatecount", "approximatesize"} else (0, 0)
        )
        extra = {"approximateCount": count, "approximateSize": size}
        return _answer(found, {name: value for name, value in extra.items() if name.lower() in fields})

    async def head(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._buckets.find(namespace, bucket)
        is_known = check_read(request.headers, found.etag)
        return Response(304 if is_known else 200, headers={"etag": found.etag})

    async def update(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._buckets.find(namespace, bucket, writes=True)
        check_change(request.headers, found.etag, bucket)
        settings = _settings(request.document())
        merged = {**found.document["metadata"], **settings.get("metadata", {})}
        metadata = {name: value for name, value in merged.items() if value is not None}
        found.document.update({**settings, "metadata": metadata})
        return _answer(self._buckets.save(found))

    async def delete(self, request: Request, namespace: str, bucket: str) -> Response:
        found = self._buckets.find(namespace, bucket, writes=True)
        check_change(request.headers, found.etag, bucket)
        if self._objects.first(found.number) is not None:
            raise ServiceError(
                409, "BucketNotEmpty", f"Bucket named '{bucket}' is not empty. Delete its objects first"
            )
        self._buckets.delete(found)
        return Response(204)


def _settings(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in SETTINGS if document.get(name) is not None}


def _answer(bucket: Bucket, extra: Mapping[str, Any] | None = None) -> Response:
    return Response(body={**bucket.document, **(extra or {})}, headers={"etag": bucket.etag})
