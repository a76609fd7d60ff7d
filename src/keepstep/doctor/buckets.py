"""Checks what buckets allow, without changing anything.

A write is tried with an upload that does not exist: an identity that may write gets an error that there is no such
upload, and one that may not is refused first. A delete is tried, on OCI only, of an object that does not exist, on
the condition of an ETag that no object has; on S3 it could leave a delete marker.
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
"""Maximum bytes read from a store that ignores ranges."""
_OTHERS_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
"""The MD5 of nothing, sent with other content: even a store that accepts parts of any upload refuses this one."""
_FORBIDDEN = ("NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound")
"""404 codes about the bucket, or of unknown cause."""


class Bucket(Protocol):
    """One bucket beneath one prefix. Each method raises the store's own errors, with the statement to add."""

    async def first(self) -> str | None:
        """The first full key; None if there is none."""
        ...

    async def read(self, key: str) -> None:
        """Reads one byte of the object: S3 and OCI decrypt it for that."""
        ...

    async def try_write(self) -> None: ...

    async def try_delete(self) -> bool:
        """Tries a delete. False if that cannot be tried without a trace."""
        ...

    async def close(self) -> None: ...


def bucket_of(assembly: Assembly, address: Address, transfer: TransferOptions, *, is_target: bool) -> Bucket:
    """Opens the bucket as the job itself would."""
    make = S3Bucket if address.kind == "s3" else OciBucket
    return make(assembly, address, transfer, is_target=is_target)


class _OneTry(S3Client):
    """A client that does not retry: its requests are meant to be refused."""

    async def refusal_of_part(self, key: str) -> Error:
        """The headers of a part for an upload that does not exist."""
        query = encode_query([("partNumber", "1"), ("uploadId", _NO_UPLOAD)])
        body, headers = b"keepstep doctor", [*self._headers.get("UploadPart", ()), ("content-md5", _OTHERS_MD5)]
        digest = hashlib.sha256(body).hexdigest()
        response = await self._send("UploadPart", "PUT", f"/{quote_path(key)}", query, headers, body, digest, None)
        if response.status < 300:
            return Error(
                "the store accepted a request that every store must refuse",
                hint="do not use this store: it is not safe",
            )
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
    """A key that does not exist."""
    return f".keepstep-doctor-{secrets.token_hex(8)}"


async def _unless_empty(call: object) -> None:
    """An empty object gives 416, which means that it may be read."""
    try:
        await call  # type: ignore[misc]
    except Conflict:
        return


async def _refused_last(call: object) -> None:
    """Returns if the request was authorised and failed only because its object does not exist."""
    try:
        await call  # type: ignore[misc]
    except Conflict:
        return
    except NotFound as error:
        if any(code in error.message for code in _FORBIDDEN):
            raise
    else:
        raise Error(
            "the store accepted a request that every store must refuse",
            hint="do not use this store: it is not safe",
        )
