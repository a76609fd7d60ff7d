"""Buckets, asked for what they allow without anything being changed.

A write is tried with an upload that was never begun: whoever may write is told that there is no such upload,
and whoever may not is refused first. A delete is tried, on OCI alone, of an object that does not exist, on the
condition of an ETag that no object has; on S3 it could leave a delete marker.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Protocol

from keepstep.clouds.sigv4 import encode_query, quote_path
from keepstep.errors import Conflict, Error, NotFound
from keepstep.jobs.assembly import Assembly
from keepstep.stores.address import Address
from keepstep.stores.oci_client import OciClient
from keepstep.stores.oci_headers import oci_headers
from keepstep.stores.oci_listing import parse as parse_oci
from keepstep.stores.oci_pages import LISTED_FIELDS
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_errors import error_of
from keepstep.stores.s3_headers import s3_headers
from keepstep.stores.s3_listing import parse

_NO_UPLOAD = "keepstep-doctor-no-such-upload"
_FIRST_BYTE = (("range", "bytes=0-0"),)
_MOST = 32 * 1024 * 1024
"""Bytes that are taken from a store that ignores ranges."""
_OTHERS_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
"""Of nothing, sent with something: also a store that takes parts of any upload does not take this one."""
_FORBIDDEN = ("NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound")
"""404s that are about the bucket, or that do not say what they are about."""


class Bucket(Protocol):
    """One bucket beneath one prefix. Each question raises the store's own errors, with the statement to add."""

    async def first(self) -> str | None:
        """The first key, whole; None when there is nothing."""
        ...

    async def read(self, key: str) -> None:
        """One byte of it: S3 and OCI decrypt for that."""
        ...

    async def try_write(self) -> None: ...

    async def try_delete(self) -> bool:
        """False where that cannot be tried without a trace."""
        ...

    async def close(self) -> None: ...


def bucket_of(assembly: Assembly, address: Address, transfer: TransferOptions, *, is_target: bool) -> Bucket:
    """As the job itself would speak to it."""
    make = S3Bucket if address.kind == "s3" else OciBucket
    return make(assembly, address, transfer, is_target=is_target)


class _OneTry(S3Client):
    """A client that asks once: what it asks is meant to be refused."""

    async def refusal_of_part(self, key: str) -> Error:
        """Of a part for an upload that was never begun."""
        query = encode_query([("partNumber", "1"), ("uploadId", _NO_UPLOAD)])
        body, headers = b"keepstep doctor", [*self._headers.get("UploadPart", ()), ("content-md5", _OTHERS_MD5)]
        digest = hashlib.sha256(body).hexdigest()
        response = await self._send("UploadPart", "PUT", f"/{quote_path(key)}", query, headers, body, digest, None)
        if response.status < 300:
            return Error("the store took what no store may take", hint="this store is not safe to be used")
        return error_of(response, "UploadPart", self.bucket, key)


class S3Bucket:
    """A :class:`Bucket`."""

    def __init__(self, assembly: Assembly, address: Address, transfer: TransferOptions, *, is_target: bool) -> None:
        identity = assembly.aws if is_target else assembly.aws_source
        headers = s3_headers(transfer, is_target=is_target)
        self._client = _OneTry(address.bucket, identity, headers=headers, timeouts=assembly.timeouts)
        self._prefix = address.prefix

    async def first(self) -> str | None:
        query = [("list-type", "2"), ("max-keys", "1"), ("prefix", self._prefix)]
        response = await self._client.call("ListObjectsV2", "GET", query=query)
        return next(iter(parse(response.document, "").page.keys), None)

    async def read(self, key: str) -> None:
        await _unless_empty(self._client.call("GetObject", "GET", key, headers=_FIRST_BYTE, most=_MOST))

    async def try_write(self) -> None:
        error = await self._client.refusal_of_part(f"{self._prefix}{_unused()}")
        if not any(code in error.message for code in ("NoSuchUpload", "BadDigest")):
            raise error

    async def try_delete(self) -> bool:
        return False

    async def close(self) -> None:
        await self._client.close()


class OciBucket:
    """A :class:`Bucket`."""

    def __init__(self, assembly: Assembly, address: Address, transfer: TransferOptions, *, is_target: bool) -> None:
        headers = oci_headers(transfer, is_target=is_target)
        self._client = OciClient(
            address.bucket, address.namespace, assembly.oci, headers=headers, timeouts=assembly.timeouts
        )
        self._prefix = address.prefix

    async def first(self) -> str | None:
        query = [("fields", LISTED_FIELDS), ("limit", "1"), ("prefix", self._prefix)]
        response = await self._client.call("ListObjects", "GET", "o", query=query)
        listed = parse_oci(response.document, "", has_digests=False)
        return next(iter(listed.page.keys), None)

    async def read(self, key: str) -> None:
        await _unless_empty(self._client.call("GetObject", "GET", "o", key, headers=_FIRST_BYTE, most=_MOST))

    async def try_write(self) -> None:
        body = json.dumps({"partsToCommit": [{"partNum": 1, "etag": "none"}]}).encode()
        await _refused_last(
            self._client.call(
                "CommitMultipartUpload",
                "POST",
                "u",
                f"{self._prefix}{_unused()}",
                query=[("uploadId", _NO_UPLOAD)],
                body=body,
            )
        )

    async def try_delete(self) -> bool:
        name, condition = f"{self._prefix}{_unused()}", [("if-match", _NO_UPLOAD)]
        await _refused_last(self._client.call("DeleteObject", "DELETE", "o", name, headers=condition))
        return True

    async def close(self) -> None:
        await self._client.close()


def _unused() -> str:
    """A key that nobody has."""
    return f".keepstep-doctor-{secrets.token_hex(8)}"


async def _unless_empty(call: object) -> None:
    """An object without a first byte answers 416: it may be read."""
    try:
        await call  # type: ignore[misc]
    except Conflict:
        return


async def _refused_last(call: object) -> None:
    """Returns when the request was let through to the thing itself, which is not there."""
    try:
        await call  # type: ignore[misc]
    except Conflict:
        return
    except NotFound as error:
        if any(code in error.message for code in _FORBIDDEN):
            raise
    else:
        raise Error("the store took what no store may take", hint="this store is not safe to be used")
