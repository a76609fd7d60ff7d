"""A bucket of OCI Object Storage, by its native API: the only one by which cost reports can be had.

Source: https://docs.oracle.com/en-us/iaas/api/#/en/objectstorage/20160918/ . Bodies go out with their MD5, which
the service checks; what is read whole is checked against the MD5 it was stored with.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from keepstep.clouds.http import Buffer, Response
from keepstep.clouds.times import microseconds
from keepstep.clouds.workers import Workers
from keepstep.errors import Corrupt, Error, NotFound, Transient
from keepstep.stores.address import Address
from keepstep.stores.checksums import checksum
from keepstep.stores.cloud_source import CloudSource, first_bytes
from keepstep.stores.headers import from_headers, to_headers
from keepstep.stores.interface import EVERYTHING, Entry, Missing, OnSent, Page, Properties, Span, Store
from keepstep.stores.oci_answers import answered
from keepstep.stores.oci_client import HeaderPair, OciClient
from keepstep.stores.oci_copy import WorkRequestCopy, can_copy
from keepstep.stores.oci_deletes import OciDeletes
from keepstep.stores.oci_headers import storage_tier
from keepstep.stores.options import TransferOptions
from keepstep.stores.ranges import RangedPages

_INLINE = 32 * 1024
"""Bodies up to this many bytes are hashed on the spot; a thread would cost more."""
_FIELDS = "name,size,etag,timeCreated,timeModified,storageTier,archivalState"
_CHECKSUMS = {"MD5": "content-md5", "CRC32C": "opc-content-crc32c", "SHA256": "opc-content-sha256"}
"""Header by algorithm."""

_DIGEST = re.compile(r"([0-9A-Za-z+/]{22}==)((?:-[0-9]+)?)\Z")
_METADATA = "opc-meta-"


class OciStore:
    """The objects of one bucket beneath one prefix."""

    def __init__(self, address: Address, client: OciClient, options: TransferOptions | None = None) -> None:
        self.address = address
        self.notices: list[str] = []
        self._options = options or TransferOptions()
        self._client = client
        self._workers = Workers(4)
        self._deletes = OciDeletes(client, address.prefix)
        self._may_copy = True
        algorithm = self._options.checksum_algorithm
        self._checksum = checksum(algorithm) if algorithm else None

    @property
    def requests(self) -> Counter[str]:
        return self._client.requests

    @property
    def strains(self) -> int:
        return self._client.strains

    def list(self, spans: Sequence[Span] = EVERYTHING) -> OciListing:
        return OciListing(self._client, self.address.prefix, spans, self._options)

    def admit(self, key: str) -> None:
        return

    async def open(self, entry: Entry, limit: int) -> CloudSource:
        name = self.address.prefix + entry.key
        get = partial(self._get, name)
        response = await first_bytes(get, entry.size, limit)
        properties = from_headers(response.headers, _METADATA)
        source = CloudSource(self._client.thing(name), response, properties, get)
        if source.size == len(source.first):
            await self._check(name, source, response)
        return source

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> str:
        response = await self._client.call(
            "PutObject",
            "PUT",
            "o",
            self.address.prefix + key,
            headers=[*to_headers(properties, _METADATA), *await self._digests(data)],
            body=data,
        )
        return _hex(response.headers.get("opc-content-md5"))

    async def create(self, key: str, data: Buffer, content_type: str) -> None:
        md5 = ("content-md5", await self._md5(data))
        await self._client.call(
            "PutObject",
            "PUT",
            "o",
            self.address.prefix + key,
            headers=[("content-type", content_type), md5, ("if-none-match", "*")],
            body=data,
        )

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> OciUpload:
        name = self.address.prefix + key
        details = {
            "object": name,
            "contentType": properties.content_type or None,
            "contentEncoding": properties.content_encoding or None,
            "contentLanguage": properties.content_language or None,
            "contentDisposition": properties.content_disposition or None,
            "cacheControl": properties.cache_control or None,
            "metadata": {_METADATA + k: v for k, v in properties.metadata} or None,
            "storageTier": storage_tier(self._options.storage_class) or None,
        }
        body = json.dumps({k: v for k, v in details.items() if v is not None}).encode()
        response = await self._client.call("CreateMultipartUpload", "POST", "u", body=body)
        return OciUpload(self, name, answered(response)["uploadId"], size)

    async def resume(self, key: str, token: str, size: int, part_size: int) -> OciUpload | None:
        """Asks for the parts (ListMultipartUploadParts); those of another size are sent again."""
        upload = OciUpload(self, self.address.prefix + key, token, size)
        page: str | None = ""
        while page is not None:
            query = [("uploadId", token), ("limit", "1000"), *([("page", page)] if page else [])]
            try:
                response = await self._client.call("ListMultipartUploadParts", "GET", "u", upload.name, query=query)
            except NotFound:
                return None
            try:
                upload.adopt(answered(response), part_size)
            except (KeyError, TypeError, ValueError):  # nobody could go on with what cannot be listed
                return None if await upload.abort() else upload
            page = response.headers.get("opc-next-page")
        return upload

    async def copy(self, source: Store, entry: Entry) -> str | None:
        """Within OCI the service copies, by a work request, unless it was found that it may not."""
        is_possible = isinstance(source, OciStore) and can_copy(source._client, self._client, self._options)
        if not isinstance(source, OciStore) or not is_possible or not self._may_copy:
            return None
        origin, name = source.address.prefix + entry.key, self.address.prefix + entry.key
        self._may_copy = await WorkRequestCopy(source._client, origin, self.address, name, self._options).run()
        return "" if self._may_copy else None

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        """HeadObject shows them."""
        if "-" not in entry.digest and entry.digest:
            return {"MD5": b64encode(bytes.fromhex(entry.digest)).decode()}
        try:
            name = self.address.prefix + entry.key
            headers = (await self._client.call("HeadObject", "HEAD", "o", name)).headers
        except Transient:
            raise
        except Error:  # whoever reads the object will be told why
            return {}
        if headers.get("etag", "").strip('"') != entry.etag:
            return {}
        known = {algorithm: headers.get(header, "") for algorithm, header in _CHECKSUMS.items()}
        # One with a number behind a dash is of the parts' checksums.
        return {algorithm: value for algorithm, value in known.items() if value and "-" not in value}

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        return await self._deletes.delete(keys)

    async def tidy(self) -> None:
        return

    async def close(self) -> None:
        self._workers.close()
        await self._client.close()

    # details

    async def _get(self, name: str, headers: Sequence[HeaderPair], most: int) -> Response:
        return await self._client.call("GetObject", "GET", "o", name, headers=headers, most=most)

    async def _check(self, name: str, source: CloudSource, response: Response) -> None:
        stored = response.headers.get("content-md5")
        if stored and await self._md5(source.first) != stored:
            raise Corrupt(f"{self._client.thing(name)} did not arrive as it is stored (MD5 differs)")

    async def _digests(self, data: Buffer) -> Sequence[HeaderPair]:
        """MD5, and the checksum that was asked for."""
        md5 = ("content-md5", await self._md5(data))
        if self._checksum is None:
            return (md5,)
        name = self._options.checksum_algorithm
        value = await self._workers.run(self._checksum, data)
        return md5, ("opc-checksum-algorithm", name), (f"opc-content-{name.lower()}", value)

    async def _md5(self, data: Buffer) -> str:
        return _md5(data) if len(data) <= _INLINE else await self._workers.run(_md5, data)


class OciListing:
    """ListObjects, in many ranges at once."""

    def __init__(self, client: OciClient, prefix: str, spans: Sequence[Span], options: TransferOptions) -> None:
        self.holes: list[tuple[str, Error]] = []
        self.strays: list[tuple[str, str]] = []
        self._client = client
        self._prefix = prefix
        self._spans = spans
        self._page_size = str(options.page_size)
        self._takes_archived = options.takes_archived
        self._has_digests = options.tells_contents
        self._fields = f"{_FIELDS},md5" if options.tells_contents else _FIELDS

    def __aiter__(self) -> AsyncIterator[Page]:
        return aiter(RangedPages(self, self._spans))

    async def page(self, after: str) -> tuple[Page, bool]:
        """See :class:`~keepstep.stores.ranges.PageSource`."""
        response = await self._list(self._prefix, after, ("fields", self._fields))
        page, is_truncated = _parse(response, len(self._prefix), has_digests=self._has_digests)
        if self._takes_archived:
            page.unfit = {}
        return page, is_truncated

    async def folders(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """See :class:`~keepstep.stores.ranges.PageSource`."""
        response = await self._list(self._prefix + prefix, after, ("delimiter", "/"))
        document = json.loads(response.document)
        names = [name[len(self._prefix) :] for name in document.get("prefixes") or ()]
        return names, bool(document.get("nextStartWith"))

    async def _list(self, prefix: str, after: str, *more: tuple[str, str]) -> Response:
        query = [("limit", self._page_size), *more]
        if prefix:
            query.append(("prefix", prefix))
        if after:
            query.append(("startAfter", self._prefix + after))
        return await self._client.call("ListObjects", "GET", "o", query=query)


class OciUpload:
    """A multipart upload."""

    def __init__(self, store: OciStore, name: str, upload_id: str, size: int) -> None:
        self.name = name
        self.token = upload_id
        self._store = store
        self._size = size
        self._parts: dict[int, tuple[str, str]] = {}
        """By number from 1: ETag, and MD5 in base64."""

    @property
    def done(self) -> frozenset[int]:
        return frozenset(number - 1 for number in self._parts)

    def adopt(self, parts: Sequence[dict[str, Any]], part_size: int) -> None:
        """Takes over parts that are there, as the service lists them."""
        for part in parts:
            number = int(part["partNumber"])
            if part["size"] == min(part_size, self._size - (number - 1) * part_size):
                self._parts[number] = (part["etag"], part["md5"])

    async def write(self, number: int, data: Buffer) -> None:
        digests = await self._store._digests(data)
        response = await self._store._client.call(
            "UploadPart",
            "PUT",
            "u",
            self.name,
            query=[("uploadId", self.token), ("uploadPartNum", str(number + 1))],
            headers=digests,
            body=data,
        )
        self._parts[number + 1] = (response.headers.get("etag", ""), digests[0][1])

    async def commit(self) -> str:
        parts = [{"partNum": number, "etag": etag} for number, (etag, _) in sorted(self._parts.items())]
        try:
            response = await self._store._client.call(
                "CommitMultipartUpload",
                "POST",
                "u",
                self.name,
                query=[("uploadId", self.token)],
                body=json.dumps({"partsToCommit": parts}).encode(),
            )
        except (NotFound, Transient):
            # The answer to an earlier try was lost, and that try may have been the one that counted.
            if not await self._is_there():
                raise
            return _hex(self._digest())
        stored = response.headers.get("opc-multipart-md5")
        if stored and stored != self._digest():
            raise Corrupt(f"{self._store._client.thing(self.name)}: what was stored is not what was sent")
        return _hex(stored)

    async def abort(self) -> bool:
        query = [("uploadId", self.token)]
        try:
            await self._store._client.call("AbortMultipartUpload", "DELETE", "u", self.name, query=query)
        except Missing:
            return True
        except Error:
            return False
        return True

    async def _is_there(self) -> bool:
        try:
            response = await self._store._client.call("HeadObject", "HEAD", "o", self.name)
        except Error:
            return False
        return response.headers.get("opc-multipart-md5") == self._digest()

    def _digest(self) -> str:
        """The MD5 that the service makes of the parts' MD5s."""
        md5s = b"".join(b64decode(md5) for _, (_, md5) in sorted(self._parts.items()))
        return f"{_md5(md5s)}-{len(self._parts)}"


def _parse(response: Response, skip: int, *, has_digests: bool) -> tuple[Page, bool]:
    """The page, its keys without their first ``skip`` characters, and whether there are more."""
    document = json.loads(response.document)
    objects = document["objects"]
    page = Page(
        [item["name"][skip:] for item in objects],
        [item["size"] for item in objects],
        [microseconds(item.get("timeModified") or item["timeCreated"]) for item in objects],
        [item["etag"] for item in objects],
    )
    if has_digests:
        page.digests = [_hex(item.get("md5")) for item in objects]
    for number, item in enumerate(objects):
        if item.get("archivalState") in ("Archived", "Restoring"):
            page.unfit[number] = f"is archived ({item['archivalState']}) and has not been restored"
    return page, bool(document.get("nextStartWith"))


def _hex(digest: str | None) -> str:
    """An MD5 as OCI writes it, of an object or, with a number behind a dash, of its parts, as S3 writes it."""
    found = _DIGEST.match(digest or "")
    return b64decode(found[1]).hex() + found[2] if found else ""


def _md5(data: Buffer) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
