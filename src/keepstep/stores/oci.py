"""A bucket of OCI Object Storage, by its native API: the only one by which cost reports can be obtained.

Source: https://docs.oracle.com/en-us/iaas/api/#/en/objectstorage/20160918/ . Bodies go out with their MD5, which
the service checks; what is read whole is checked against the MD5 it was stored with.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from keepstep.clouds.http import Buffer
from keepstep.clouds.workers import Workers
from keepstep.errors import Corrupt, Error, NotFound, Transient
from keepstep.stores.address import Address
from keepstep.stores.checksums import checksum
from keepstep.stores.cloud_source import CloudSource, opened
from keepstep.stores.headers import to_headers
from keepstep.stores.interface import EVERYTHING, Entry, Listing, Missing, OnSent, Properties, Span, Store
from keepstep.stores.listing import CloudListing, Habits, UnrepresentableName
from keepstep.stores.oci_answers import answered
from keepstep.stores.oci_client import HeaderPair, OciClient
from keepstep.stores.oci_copy import WorkRequestCopy, can_copy
from keepstep.stores.oci_deletes import OciDeletes
from keepstep.stores.oci_headers import storage_tier
from keepstep.stores.oci_listing import hex_of
from keepstep.stores.oci_pages import OciPages
from keepstep.stores.oci_reader import METADATA, OciReader, OciReads
from keepstep.stores.options import TransferOptions

_INLINE = 32 * 1024
"""Bodies up to this many bytes are hashed on the spot; a thread would cost more."""
_CHECKSUMS = {"MD5": "content-md5", "CRC32C": "opc-content-crc32c", "SHA256": "opc-content-sha256"}
"""Header by algorithm."""

_MOST_PARTS = 10_000
"""Of an upload (API reference); no listing of them has more pages."""


class OciStore:
    """The objects of one bucket beneath one prefix."""

    def __init__(self, address: Address, client: OciClient, options: TransferOptions | None = None) -> None:
        self.address = address
        self.notices: list[str] = []
        self._options = options or TransferOptions()
        self._client = client
        # "Lists the objects in a bucket … in lexicographic order" (API reference, ListObjects, start).
        self._habits = Habits(client.thing(), self.notices, is_order_known=True)
        self._workers = Workers(4)
        self._deletes = OciDeletes(client, address.prefix)
        self._reads = OciReads(client, self._workers)
        self._may_copy = True
        algorithm = self._options.checksum_algorithm
        self._checksum = checksum(algorithm) if algorithm else None

    @property
    def requests(self) -> Counter[str]:
        return self._client.requests

    @property
    def throttle_count(self) -> int:
        return self._client.throttle_count

    def list(self, spans: Sequence[Span] = EVERYTHING) -> Listing:
        unrepresentable_names: list[UnrepresentableName] = []
        pages = OciPages(self._client, self.address.prefix, self._options, unrepresentable_names)
        return CloudListing(pages, spans, self._habits, unrepresentable_names)

    def admit(self, key: str) -> None:
        self.address.check_name(key)

    async def open(self, entry: Entry, limit: int) -> CloudSource:
        name = self.address.prefix + entry.key
        return await opened(OciReader(self._reads, name), entry, limit)

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> str:
        response = await self._client.call(
            "PutObject",
            "PUT",
            "o",
            self.address.prefix + key,
            headers=[*to_headers(properties, METADATA), *await self._digests(data)],
            body=data,
        )
        return hex_of(response.headers.get("opc-content-md5"))

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
            "metadata": {METADATA + k: v for k, v in properties.metadata} or None,
            "storageTier": storage_tier(self._options.storage_class) or None,
        }
        body = json.dumps({k: v for k, v in details.items() if v is not None}).encode()
        response = await self._client.call("CreateMultipartUpload", "POST", "u", body=body)
        return OciUpload(self, name, answered(response)["uploadId"], size)

    async def resume(self, key: str, token: str, size: int, part_size: int) -> OciUpload | None:
        """Asks for the parts (ListMultipartUploadParts); those of another size are sent again."""
        upload = OciUpload(self, self.address.prefix + key, token, size)
        page: str | None = ""
        seen = set[str]()
        while page is not None:
            seen.add(page)
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
            if page in seen or len(seen) > _MOST_PARTS:  # a listing without an end
                return None if await upload.abort() else upload
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
        except Error:  # anybody who reads the object will be told why
            return {}
        if headers.get("etag", "").strip('"') != entry.etag:
            return {}
        known = {algorithm: headers.get(header, "") for algorithm, header in _CHECKSUMS.items()}
        # One with a number after a dash is of the parts' checksums.
        return {algorithm: value for algorithm, value in known.items() if value and "-" not in value}

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        return await self._deletes.delete(keys)

    async def tidy(self) -> None:
        return

    async def close(self) -> None:
        self._workers.close()
        await self._client.close()

    # details

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

    async def holds(self, number: int, data: Buffer) -> bool:
        return number + 1 in self._parts and self._parts[number + 1][1] == await self._store._md5(data)

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
            return hex_of(self._digest())
        stored = response.headers.get("opc-multipart-md5")
        if stored and stored != self._digest():
            raise Corrupt(f"{self._store._client.thing(self.name)}: the stored data differs from what was sent")
        return hex_of(stored)

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


def _md5(data: Buffer) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
