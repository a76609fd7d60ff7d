"""S3: moto's objects behind a front that fixes what moto gets wrong and asks it without Flask in between.

* listings are ours (:mod:`.listing`), digests checked (:mod:`.body`), keys are UTF-8 of at most 1024 bytes;
* keys with line breaks reach moto, whose routes stop at them;
* answers confirm the encryption that was asked for;
* XML that does not parse is 400 ``MalformedXML``, not 500;
* writes happen one at a time, so ``If-None-Match: *`` lets exactly one of two through.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from keepstep_localcloud.aws.body import S3Error, checked, unwrapped
from keepstep_localcloud.aws.http import Request, Response
from keepstep_localcloud.aws.journal import Journal
from keepstep_localcloud.aws.listing import Listing
from keepstep_localcloud.aws.moto import ask_s3
from keepstep_localcloud.aws.objects import find_bucket
from keepstep_localcloud.aws.versions import Version, version

VISIBLE = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", "DeleteObjects"})
"""The writes that change what a listing shows."""
ENCRYPTS = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"})
"""Operations whose answers repeat how the object is encrypted ("Response Elements" of each)."""
_ENCRYPTION = "x-amz-server-side-encryption"
_REPEATED = ("", "-aws-kms-key-id", "-customer-algorithm", "-customer-key-md5")
LISTINGS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions"})
MAX_KEY = 1024
"""Bytes of UTF-8 ("Naming Amazon S3 objects")."""


class S3:
    """The whole service; with a journal, a write is answered when it would survive a kill."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._listing = Listing()
        self._past: dict[str, dict[str, Version | None]] = {}
        """For each bucket what stood at the keys of its last write before that write."""
        self._lock = threading.Lock()
        if journal:
            journal.replay()

    def answer(self, operation: str, request: Request, *, stale: bool = False) -> Response:
        """``stale``: a listing is answered as of before the last write to its bucket."""
        try:
            bucket, key = _names(request.path)
            request = unwrapped(request)
            if operation in ("PutObject", "UploadPart", "DeleteObjects"):
                request = checked(request)
            if request.method in ("GET", "HEAD") and operation not in LISTINGS:
                return ask_s3(request)
            with self._lock:
                if operation in LISTINGS:
                    return self._list(operation, bucket, request, stale=stale)
                return self._write(operation, bucket, key, request)
        except S3Error as error:
            return error.response(head=request.method == "HEAD")

    def _list(self, operation: str, bucket: str, request: Request, *, stale: bool) -> Response:
        held = find_bucket(bucket)
        if held is None:
            return ask_s3(request)
        if held.get_permission("s3:ListBucket", held.arn).name == "DENIED":
            raise S3Error(403, "AccessDenied", "Access Denied")
        past = self._past.get(bucket, {}) if stale else {}
        xml = self._listing.answer(operation, held, request.query, past)
        return Response(200, xml.encode(), {"content-type": "application/xml"})

    def _write(self, operation: str, bucket: str, key: str, request: Request) -> Response:
        keys = _deleted_keys(request.body) if operation == "DeleteObjects" else [key] if key else []
        past = {name: _latest(find_bucket(bucket), name) for name in keys}
        response = ask_s3(request)
        if response.status < 300:
            if operation in ENCRYPTS:
                _confirm_encryption(request, response)
            self._listing.forget(bucket)
            if operation in VISIBLE:
                self._past[bucket] = past
            if self._journal:
                self._journal.note(operation, bucket, keys, request, response)
        return response


def _confirm_encryption(request: Request, response: Response) -> None:
    for name in (_ENCRYPTION + end for end in _REPEATED):
        if value := request.headers.get(name):
            response.headers[name] = value


def _names(path: str) -> tuple[str, str]:
    """Bucket and key of a path-style target. Raises :class:`S3Error` 400."""
    bucket, _, raw = path.removeprefix("/").partition("/")
    encoded = unquote_to_bytes(raw.encode("latin-1"))
    if len(encoded) > MAX_KEY:
        raise S3Error(400, "KeyTooLongError", "Your key is too long")
    try:
        return bucket, encoded.decode()
    except UnicodeDecodeError as exc:
        raise S3Error(400, "InvalidURI", "Couldn't parse the specified URI.") from exc


def _deleted_keys(body: bytes) -> list[str]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - loopback, and expat caps entity expansion
    except ElementTree.ParseError as exc:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed") from exc
    keys = [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Key"]
    if not 0 < len(keys) <= 1000:
        raise S3Error(400, "MalformedXML", "A request names between 1 and 1000 keys")
    return keys


def _latest(bucket: Any, key: str) -> Version | None:
    held = bucket.keys.get(key) if bucket else None
    return version(held) if held is not None else None
