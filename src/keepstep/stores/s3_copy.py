"""Copies inside S3: the bytes do not pass through this machine.

Up to 5 GiB at once (CopyObject), above in parts (UploadPartCopy). What a copy takes over from its source is the AWS
CLI's ``--copy-props`` (https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html); a copy in parts takes over
nothing by itself, so headers, metadata and tags are read and given to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from keepstep.clouds.http import Response, TooLarge
from keepstep.clouds.sigv4 import quote_path
from keepstep.errors import Conflict, Error, Transient
from keepstep.stores.headers import S3_FIELDS, from_headers, to_headers
from keepstep.stores.interface import Properties
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_answers import document_in, etag_in
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_errors import NotOffered
from keepstep.stores.s3_listing import Part, escape
from keepstep.stores.s3_upload import S3Upload

MIB = 1024 * 1024
LIMIT = 5 * 1024**3
"""Bytes that CopyObject, and one UploadPartCopy, can copy (API reference)."""
_SMALLEST, _MOST_PARTS = 5 * MIB, 10_000
_PART = 256 * MIB
_AT_ONCE = 8
_LONGEST_TAGGING = 2048
"""Bytes of the x-amz-tagging header (as the AWS CLI has it); what is longer is set when the object is there."""
_LONGEST_DOCUMENT = 64 * 1024
"""Bytes of a Tagging: 50 tags of 128 and 256 characters, escaped (API reference)."""

METADATA = "x-amz-meta-"
_IF_MATCH = "x-amz-copy-source-if-match"
Tags = list[tuple[str, str]]


def is_one_service(ours: S3Client, theirs: S3Client) -> bool:
    """Whether the target's service can read the source with the identity that the target is written with."""
    mine, other = ours.identity.settings, theirs.identity.settings
    same_identity = (mine.profile, mine.role_arn, mine.no_sign_request) == (
        other.profile,
        other.role_arn,
        other.no_sign_request,
    )
    return same_identity and ours.identity.config.s3_url == theirs.identity.config.s3_url


class CopyTarget(Protocol):
    """What a copy asks of the target's store beyond the requests that it makes itself."""

    notices: list[str]

    async def create_upload(
        self, full: str, size: int, properties: Properties, more: Sequence[HeaderPair] = ()
    ) -> S3Upload:
        """An upload to a whole key, with headers in addition to those of its properties."""
        ...

    async def put_xml(self, operation: str, key: str, query: str, text: str) -> None:
        """A request whose body is a document."""
        ...


@dataclass(frozen=True, slots=True)
class ServerCopy:
    """One object, from one bucket to another one of the same service."""

    source: S3Client
    source_key: str
    target: S3Client
    target_key: str
    store: CopyTarget
    options: TransferOptions

    async def run(self, size: int, etag: str = "") -> str:
        """Copies an object of ``size`` bytes and returns the copy's ETag.

        With ``etag`` it is this state of it or :class:`Conflict`. Safe to repeat; leaves no parts behind when it
        fails.
        """
        threshold = self.options.multipart_threshold
        is_large = size > LIMIT if threshold is None else size >= threshold
        if is_large and size:
            return await self._in_parts(etag)
        try:
            return await self._whole(etag)
        except Error as exc:
            # It is larger than was known.
            if "larger than the maximum allowable size" not in exc.message:
                raise
            return await self._in_parts(etag)

    async def _whole(self, etag: str) -> str:
        headers = [("x-amz-copy-source", self._origin), *await self._directives()]
        if etag:
            headers = [pair for pair in headers if pair[0] != _IF_MATCH] + [(_IF_MATCH, f'"{etag}"')]
        response = await self.target.call("CopyObject", "PUT", self.target_key, headers=headers)
        return etag_in(response)

    async def _directives(self) -> list[HeaderPair]:
        """What CopyObject is given of headers, metadata and tags; nothing where it is to take them all over."""
        options = self.options
        given = to_headers(options.given, METADATA, S3_FIELDS)
        if options.metadata_directive:
            return [("x-amz-metadata-directive", options.metadata_directive), *given]
        tagging = [] if options.copy_props == "default" else [("x-amz-tagging-directive", "REPLACE")]
        if options.is_plain:
            return tagging
        if options.copy_props != "none":
            # S3 takes all from the source or all from the request: so the request says what the source has.
            head = await self._head()
            merged = options.of_copy(from_headers(head.headers, METADATA, S3_FIELDS))
            given = to_headers(merged, METADATA, S3_FIELDS)
            given.append((_IF_MATCH, head.headers.get("etag", "")))
        return [*tagging, ("x-amz-metadata-directive", "REPLACE"), *given]

    async def _in_parts(self, etag: str) -> str:
        head = await self._head()
        if etag and head.headers.get("etag", "").strip('"') != etag:
            raise Conflict(f"s3://{self.source.bucket}/{self.source_key} changed before it was copied")
        size = int(head.headers["content-length"])
        if not size:  # it has shrunk since it was listed, and nothing has no parts
            return await self._whole(etag)
        tags = await self._tags() if self._takes_tags else []
        tagging = urlencode(tags)
        fits = len(tagging) <= _LONGEST_TAGGING
        properties = self.options.of_copy(from_headers(head.headers, METADATA, S3_FIELDS))
        more = [("x-amz-tagging", tagging)] if tags and fits else []
        upload = await self.store.create_upload(self.target_key, size, properties, more)
        try:
            await self._copy_parts(upload, size, head.headers.get("etag", ""))
            # A store may ignore the condition that every part carries.
            if (await self._head()).headers.get("etag") != head.headers.get("etag"):
                raise Conflict(f"s3://{self.source.bucket}/{self.source_key} changed while it was copied")
            made = await upload.commit()
        except BaseException:
            await asyncio.shield(upload.abort())
            raise
        if tags and not fits:
            await self._set_tags(tags)
        return made

    async def _copy_parts(self, upload: S3Upload, size: int, etag: str) -> None:
        part_size = self._part_size(size)
        numbers = iter(range(-(-size // part_size)))

        async def work() -> None:
            for number in numbers:
                await self._copy_part(upload, number, part_size, size, etag)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(work())
        except BaseExceptionGroup as exc:
            raise exc.exceptions[0] from None

    async def _copy_part(self, upload: S3Upload, number: int, part_size: int, size: int, etag: str) -> None:
        start = number * part_size
        length = min(part_size, size - start)
        response = await self.target.call(
            "UploadPartCopy",
            "PUT",
            self.target_key,
            query=[("partNumber", str(number + 1)), ("uploadId", upload.token)],
            headers=[
                ("x-amz-copy-source", self._origin),
                ("x-amz-copy-source-range", f"bytes={start}-{start + length - 1}"),
                (_IF_MATCH, etag),
            ],
        )
        upload.adopt([Part(number + 1, length, f'"{etag_in(response)}"')], part_size)

    def _part_size(self, size: int) -> int:
        wanted = self.options.multipart_chunksize or _PART
        return min(LIMIT, max(wanted, _SMALLEST, -(-size // _MOST_PARTS)))

    async def _head(self) -> Response:
        return await self.source.call("HeadObject", "HEAD", self.source_key)

    @property
    def _takes_tags(self) -> bool:
        """CopyObject takes them unless it is told otherwise; so do copies in parts."""
        return self.options.metadata_directive is not None or self.options.copy_props == "default"

    async def _tags(self) -> Tags:
        """None where the store has no tags: some then refuse the operation, others answer with the object."""
        try:
            response = await self.source.call(
                "GetObjectTagging", "GET", self.source_key, query=[("tagging", "")], most=_LONGEST_DOCUMENT
            )
            document = document_in(response.document)
            if document is not None and document.name == "Tagging":
                return [(tag.get("Key", ""), tag.get("Value", "")) for tag in document.rows("TagSet", "Tag")]
            if "etag" not in response.headers:
                raise Transient(f"GetObjectTagging on {self.source.thing(self.source_key)}: not a whole Tagging")
        except (NotOffered, TooLarge):
            pass
        self._note_untagged()
        return []

    def _note_untagged(self) -> None:
        notice = f"s3://{self.source.bucket}: this store has no tags, so copies in parts have none"
        if notice not in self.store.notices:
            self.store.notices.append(notice)

    async def _set_tags(self, tags: Tags) -> None:
        """An object without its tags would never be fixed: it is removed when they cannot be set."""
        items = "".join(f"<Tag><Key>{escape(k)}</Key><Value>{escape(v)}</Value></Tag>" for k, v in tags)
        try:
            await self.store.put_xml(
                "PutObjectTagging", self.target_key, "tagging", f"<Tagging><TagSet>{items}</TagSet></Tagging>"
            )
        except Error:
            await self.target.call("DeleteObject", "DELETE", self.target_key)
            raise

    @property
    def _origin(self) -> str:
        return quote_path(f"{self.source.bucket}/{self.source_key}")
