"""Bodies on their way into a bucket of S3: whole objects, and large ones in parts.

Every body is signed with its SHA-256, which S3 refuses when it differs. Stores that only speak S3 may not look, so
their answer is compared with what was sent (:mod:`keepstep.stores.s3_etags`).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from keepstep.clouds.http import Buffer, Response, TooLarge
from keepstep.clouds.workers import Workers
from keepstep.errors import Conflict, Corrupt, Error, NotFound, Transient
from keepstep.stores.checksums import checksum
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_answers import etag_in
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_errors import DigestRequired
from keepstep.stores.s3_etags import AS_STORED, Etags, checks_bodies
from keepstep.stores.s3_listing import escape

_ATTEMPTS = 3
"""How often a body is sent when the answer shows that something else was stored."""
_INLINE = 64 * 1024
"""Bodies up to this many bytes are hashed on the spot; a thread would cost more."""


class S3Writer:
    """Sends bodies to one bucket."""

    def __init__(self, client: S3Client, workers: Workers, etags: Etags, options: TransferOptions) -> None:
        self.client = client
        self.etags = etags
        self.algorithm = options.checksum_algorithm
        """Of the checksum that goes with every body; empty where none was asked for."""
        self._workers = workers
        self._checksum = checksum(self.algorithm) if self.algorithm else None
        self._sends_md5 = False

    async def send(
        self,
        operation: str,
        key: str,
        data: Buffer,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Sequence[HeaderPair] = (),
    ) -> Response:
        """A PutObject or an UploadPart, with the Content-MD5 once the bucket has asked for one."""
        digest = _hash("sha256", data) if len(data) <= _INLINE else await self.hash("sha256", data)
        query = tuple(query)
        for _ in range(_ATTEMPTS):
            is_with_md5 = self._sends_md5 or self.etags.are_md5 is False
            more = [*headers, ("content-md5", await self._md5(data))] if is_with_md5 else headers
            try:
                response = await self.client.call(
                    operation, "PUT", key, query=query, headers=more, body=data, digest=digest
                )
            except DigestRequired:
                if is_with_md5:
                    raise
                self._sends_md5 = True
                continue
            if checks_bodies(response) or await self._is_stored(
                operation, key, data, response, is_with_md5=is_with_md5
            ):
                return response
            self._sends_md5 = True
        raise Corrupt(
            f"{operation} on {self.client.thing(key)}: what was stored is not what was sent (MD5 differs)"
        )

    async def _is_stored(
        self, operation: str, key: str, data: Buffer, response: Response, *, is_with_md5: bool
    ) -> bool:
        """Whether the answer's ETag is the MD5 of what was sent, or something else that proves nothing against it.

        Where it differs a whole object is read back. What cannot be is sent again with its MD5 in a header: when
        the ETag differs then too, ETags are no MD5s here, unless others were.
        """
        found = self.etags.md5_in(response.headers)
        if found is None or found[1]:
            return True
        if found[0] == (_hash("md5", data) if len(data) <= _INLINE else await self.hash("md5", data)):
            self.etags.are_md5 = True
            return True
        is_same = await self._reads_back(key, data) if operation == "PutObject" else None
        if is_same is None:
            is_same = is_with_md5 and self.etags.are_md5 is not True
        if is_same and self.etags.are_md5 is None:
            self.etags.note_other()
        return is_same

    async def _reads_back(self, key: str, data: Buffer) -> bool | None:
        """Whether the object is these bytes; None where it may not be read."""
        try:
            answer = await self.client.call("GetObject", "GET", key, headers=AS_STORED, most=len(data))
            return answer.body == data
        except (TooLarge, NotFound):
            return False
        except Error:
            return None

    async def checksums(self, data: Buffer) -> Sequence[HeaderPair]:
        """The header with the body's checksum, where one was asked for."""
        if self._checksum is None:
            return ()
        value = await self._workers.run(self._checksum, data)
        return [(f"x-amz-checksum-{self.algorithm.lower()}", value)]

    async def hash(self, name: str, data: Buffer) -> str:
        """In hex."""
        if len(data) <= _INLINE:
            return _hash(name, data)
        return await self._workers.run(_hash, name, data)

    async def _md5(self, data: Buffer) -> str:
        return b64encode(bytes.fromhex(await self.hash("md5", data))).decode()


Look = Callable[[], Awaitable[None]]


class S3Upload:
    """A multipart upload."""

    def __init__(
        self, writer: S3Writer, key: str, upload_id: str, size: int, on_commit: Look | None = None
    ) -> None:
        """``on_commit`` is awaited when the object is there."""
        self.key = key
        self._on_commit = on_commit
        self.token = upload_id
        self._writer = writer
        self._client = writer.client
        self._size = size
        self._etags: dict[int, str] = {}
        self._checksums: dict[int, str] = {}
        """Of the parts, as elements of XML; empty where none was asked for."""
        self._has_md5s = True
        """Whether the parts' ETags may be their MD5s."""

    @property
    def done(self) -> frozenset[int]:
        return frozenset(number - 1 for number in self._etags)

    def adopt(self, parts: Sequence[tuple[int, int, str]], part_size: int) -> None:
        """Takes over parts that are there: number from 1, size in bytes, ETag."""
        for number, size, etag in parts:
            if size == min(part_size, self._size - (number - 1) * part_size):
                self._etags[number] = etag

    async def holds(self, number: int, data: Buffer) -> bool:
        return self._etags.get(number + 1, "").strip('"') == await self._writer.hash("md5", data)

    async def write(self, number: int, data: Buffer) -> None:
        checksums = await self._writer.checksums(data)
        query = [("partNumber", str(number + 1)), ("uploadId", self.token)]
        response = await self._writer.send("UploadPart", self.key, data, query=query, headers=checksums)
        self._etags[number + 1] = response.headers["etag"]
        self._has_md5s = self._has_md5s and self._writer.etags.md5_in(response.headers) is not None
        for header, value in checksums:
            element = "Checksum" + header.rpartition("-")[2].upper()
            self._checksums[number + 1] = f"<{element}>{value}</{element}>"

    async def commit(self) -> str:
        tag = await self._commit()
        if self._on_commit:
            await self._on_commit()
        return tag

    async def _commit(self) -> str:
        before = "" if self._composite() else await self._present_tag()
        try:
            return etag_in(await self._complete())
        except (NotFound, Transient) as exc:
            # The answer to an earlier try was lost, and that try may have been the one that counted.
            tag = await self._tag_if_committed(before)
            if tag is None:
                if isinstance(exc, NotFound):
                    raise Conflict(f"{exc.message}, and the object is not what was sent") from exc
                raise
            return tag

    async def _complete(self) -> Response:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>"
            f"{self._checksums.get(number, '')}</Part>"
            for number, etag in sorted(self._etags.items())
        )
        body = (
            '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{parts}</CompleteMultipartUpload>"
        ).encode()
        return await self._client.call(
            "CompleteMultipartUpload",
            "POST",
            self.key,
            query=[("uploadId", self.token)],
            headers=[("content-type", "application/xml")],
            body=body,
            digest=_hash("sha256", body),
        )

    async def abort(self) -> bool:
        try:
            await self._client.call("AbortMultipartUpload", "DELETE", self.key, query=[("uploadId", self.token)])
        except NotFound:
            return True
        except Error:
            return False
        return True

    def _composite(self) -> str:
        """The ETag that the parts' MD5s make; empty where the parts' ETags are no MD5s."""
        if not self._has_md5s:
            return ""
        try:
            digests = [bytes.fromhex(etag.strip('"')) for _, etag in sorted(self._etags.items())]
        except ValueError:
            return ""
        if any(len(digest) != 16 for digest in digests):
            return ""
        return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"

    async def _present_tag(self) -> str:
        with suppress(Error):
            response = await self._client.call("HeadObject", "HEAD", self.key)
            return response.headers.get("etag", "")
        return ""

    async def _tag_if_committed(self, before: str) -> str | None:
        """The ETag of the object that stands under the key, when it is this upload's; None when it is not certain.

        Known by its ETag where that is made of the parts' MD5s; otherwise by its size, and by an ETag that was
        another one ``before``.
        """
        try:
            response = await self._client.call("HeadObject", "HEAD", self.key)
        except Error:
            return None
        etag, expected = response.headers.get("etag", ""), self._composite()
        if response.headers.get("content-length") != str(self._size):
            return None
        is_ours = etag.strip('"') == expected if expected else etag != before
        return etag.strip('"') if is_ours else None


def _hash(name: str, data: Buffer) -> str:
    make = hashlib.md5 if name == "md5" else hashlib.sha256  # hashlib.new() costs as much again for small bodies
    return make(data, usedforsecurity=False).hexdigest()
