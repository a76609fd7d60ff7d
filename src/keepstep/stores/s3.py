"""A bucket of S3, or of a store that speaks S3.

What is written counts when the answer proves it (:mod:`~keepstep.stores.s3_upload`), what is read when it agrees
with what the store says of it (:mod:`~keepstep.stores.cloud_source`).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from keepstep.clouds.http import Buffer
from keepstep.clouds.workers import Workers
from keepstep.errors import ConfigError, Conflict, Denied, Error, NotFound, Transient
from keepstep.stores.address import Address
from keepstep.stores.checksums import ALGORITHMS
from keepstep.stores.cloud_source import CloudSource, bare, opened
from keepstep.stores.headers import S3_FIELDS, to_headers
from keepstep.stores.interface import EVERYTHING, Entry, Listing, Missing, OnSent, Page, Properties, Span, Store
from keepstep.stores.listing import CloudListing, Habits, UnrepresentableName
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_answers import answered
from keepstep.stores.s3_bodies import SIGNED, Bodies, Way
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_copy import ServerCopy, is_one_service
from keepstep.stores.s3_deletes import S3Deletes
from keepstep.stores.s3_errors import NotOffered
from keepstep.stores.s3_etags import Etags
from keepstep.stores.s3_listing import parse_parts
from keepstep.stores.s3_pages import S3Pages
from keepstep.stores.s3_reader import METADATA, S3Reader, S3Reads, is_composite
from keepstep.stores.s3_trials import Trials
from keepstep.stores.s3_upload import S3Upload, S3Writer

_MOST_PARTS = 10_000
"""Of an upload (API reference); no listing of them has more pages."""


class S3Store:
    """The objects of one bucket beneath one prefix."""

    def __init__(self, address: Address, client: S3Client, options: TransferOptions | None = None) -> None:
        self.address = address
        self.notices: list[str] = []
        self._copies = True
        """Whether the store offers copies, as far as is known."""
        self._options = options or TransferOptions()
        self._client = client
        self._habits = Habits(f"s3://{client.bucket}", self.notices, is_order_known=client.endpoint.is_of_aws)
        self._workers = Workers(4)
        self._etags = Etags(client, self._first_page, self.notices)
        self._reads = S3Reads(client, self._workers, self._etags, address.prefix)
        self.bodies = Bodies(client, address.prefix, self.notices, self._options)
        self._writer = S3Writer(client, self._workers, self._etags, self.bodies)
        self._deletes = S3Deletes(client, address.prefix, self.notices)
        self._trials = Trials(client, address.prefix, self.notices, self._writer.put)

    @property
    def requests(self) -> Counter[str]:
        return self._client.requests

    @property
    def throttle_count(self) -> int:
        return self._client.throttle_count

    def list(self, spans: Sequence[Span] = EVERYTHING) -> Listing:
        unrepresentable_names: list[UnrepresentableName] = []
        pages = S3Pages(self._client, self.address.prefix, self._options, self._habits, unrepresentable_names)
        return CloudListing(pages, spans, self._habits, unrepresentable_names)

    def admit(self, key: str) -> None:
        self.address.check_name(key)

    async def open(self, entry: Entry, limit: int) -> CloudSource:
        return await opened(S3Reader(self._reads, self.address.prefix + entry.key), entry, limit)

    async def put(self, key: str, data: Buffer, properties: Properties, on_sent: OnSent | None = None) -> str:
        full = self.address.prefix + key
        await self._trials.admit(full, len(data))
        response = await self._writer.put(full, data, to_headers(properties, METADATA, S3_FIELDS))
        await self._trials.look(full, properties, is_large=False)
        return response.headers["etag"].strip('"')

    async def create(self, key: str, data: Buffer, content_type: str) -> None:
        headers = [("content-type", content_type), ("if-none-match", "*")]
        create = partial(self._writer.put, self.address.prefix + key, data, headers)
        await create()
        await self._trials.create_again(create)

    async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> S3Upload:
        return await self.create_upload(
            self.address.prefix + key, size, properties, way=await self.bodies.parts(size)
        )

    async def create_upload(
        self,
        full: str,
        size: int,
        properties: Properties,
        more: Sequence[HeaderPair] = (),
        way: Way = SIGNED,
    ) -> S3Upload:
        """An upload to a whole key, with headers in addition to those of its properties."""
        if way.algorithm and way.algorithm != self.bodies.asked:  # what was asked for goes with every request
            more = [*more, ("x-amz-checksum-algorithm", way.algorithm)]
        await self._trials.admit(full, size)
        response = await self._client.call(
            "CreateMultipartUpload",
            "POST",
            full,
            query=[("uploads", "")],
            headers=[*to_headers(properties, METADATA, S3_FIELDS), *more],
        )
        look = partial(self._trials.look, full, properties, is_large=True)
        return S3Upload(self._writer, full, answered(response).text("UploadId"), size, look, way)

    async def resume(self, key: str, token: str, size: int, part_size: int) -> S3Upload | None:
        """Asks for the parts (ListParts, a thousand at a time); those of another size are sent again.

        An upload whose parts a store cannot list is removed: nobody could go on with it.
        """
        upload = S3Upload(self._writer, self.address.prefix + key, token, size)
        marker, seen = "0", set[str]()
        while marker:
            first = not seen
            seen.add(marker)
            try:
                response = await self._client.call(
                    "ListParts",
                    "GET",
                    upload.key,
                    query=[("part-number-marker", marker), ("uploadId", token)],
                )
            except (ConfigError, Denied, Transient):
                raise
            except NotFound:
                return None
            except Error:
                return None if await upload.abort() else upload
            try:
                parts, marker, declared = parse_parts(response.document)
                if first:
                    upload.way = await self.bodies.resumed(declared or self.bodies.asked, size)
            except (ConfigError, Transient):  # no list, or of checksums that nothing here computes
                return None if await upload.abort() else upload
            if marker in seen or len(seen) > _MOST_PARTS:  # a listing without an end
                return None if await upload.abort() else upload
            upload.adopt(parts, part_size)
        return upload

    async def copy(self, source: Store, entry: Entry) -> str | None:
        """Within S3 the server copies, metadata and tags included, when one identity may see both sides.

        A store that offers no copies is found out by the first one.
        """
        if not self._copies or not isinstance(source, S3Store) or not is_one_service(self._client, source._client):
            return None
        origin, key = source.address.prefix + entry.key, self.address.prefix + entry.key
        await self._trials.admit(key, entry.size)
        copy = ServerCopy(source._client, origin, self._client, key, self, self._options)
        try:
            if self._options.tells_contents:
                with suppress(Conflict):
                    return await copy.run(entry.size, entry.etag)
            await copy.run(entry.size)
        except (
            Missing
        ):  # S3rver looks for names with + or % under others; what is really gone is found so by reading
            return None
        except NotOffered:
            if self._copies:
                self._copies = False
                self.notices.append(
                    f"s3://{self._client.bucket}: this store does not copy, so the bytes pass through this machine"
                )
            return None
        return ""

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        """HeadObject shows the checksums that were stored, and whether the ETag is an MD5."""
        key = self.address.prefix + entry.key
        try:
            response = await self._reads.call("HeadObject", "HEAD", key)
        except Transient:
            raise
        except Error:  # anybody who reads the object will be told why
            return {}
        headers = response.headers
        if bare(headers.get("etag", "")) != entry.etag:
            return {}
        whole = [name for name in ALGORITHMS if not is_composite(name, headers)]
        known = {name: headers.get(f"x-amz-checksum-{name.lower()}", "-") for name in whole}
        md5 = self._etags.md5_in(headers)
        if md5 and not md5[1] and await self._etags.are_believed(self.address.prefix):
            known["MD5"] = _base64(bytes.fromhex(md5[0]))
        # One with a number after a dash is of the parts' checksums.
        return {name: value for name, value in known.items() if "-" not in value}

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        return await self._deletes.delete(keys)

    async def tidy(self) -> None:
        return

    async def close(self) -> None:
        await self.bodies.close()
        self._workers.close()
        await self._client.close()

    # details

    async def _first_page(self) -> Page:
        pages = S3Pages(self._client, self.address.prefix, self._options, self._habits, [])
        return (await pages.page("", None, None)).page

    async def put_xml(self, operation: str, key: str, query: str, text: str) -> None:
        """A request whose body is a document, with the MD5 that some of them ask for."""
        body = text.encode()
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        await self._client.call(
            operation,
            "PUT",
            key,
            query=[(query, "")],
            headers=[("content-md5", _base64(md5)), ("content-type", "application/xml")],
            body=body,
            digest=hashlib.sha256(body).hexdigest(),
        )


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
