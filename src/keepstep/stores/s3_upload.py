"""Bodies on their way into a bucket of S3: whole objects, and large ones in parts.

A body goes with one digest, which the store looks at, or its answer is compared with what was sent
(:mod:`keepstep.stores.s3_bodies`, :mod:`keepstep.stores.s3_etags`).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from keepstep.clouds.http import Buffer, Response, TooLarge
from keepstep.clouds.sigv4 import UNSIGNED_PAYLOAD
from keepstep.clouds.workers import Workers
from keepstep.errors import Conflict, Corrupt, Error, NotFound, Transient
from keepstep.stores.checksums import INLINE, checksum, inline
from keepstep.stores.s3_answers import etag_in
from keepstep.stores.s3_bodies import SIGNED, Bodies, Way
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_errors import DigestRequired
from keepstep.stores.s3_etags import AS_STORED, Etags
from keepstep.stores.s3_listing import Part, escape

_ATTEMPTS = 3
"""How often a body is sent when the answer shows that something else was stored."""


class S3Writer:
    """Sends bodies to one bucket."""

    def __init__(self, client: S3Client, workers: Workers, etags: Etags, bodies: Bodies) -> None:
        self.client = client
        self.etags = etags
        self.bodies = bodies
        self._workers = workers
        self._sends_md5 = False

    async def put(self, key: str, data: Buffer, headers: Sequence[HeaderPair] = ()) -> Response:
        """PutObject."""
        way = self.bodies.whole(len(data))
        return await self.send("PutObject", key, data, way, await self.checksum(way, data), headers=headers)

    async def send(
        self,
        operation: str,
        key: str,
        data: Buffer,
        way: Way,
        value: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Sequence[HeaderPair] = (),
    ) -> Response:
        """A PutObject or an UploadPart; ``value`` is the way's checksum of ``data``.

        With its MD5 where that is to be compared, so that a store that looks refuses what is damaged, or where the
        bucket has asked for one.
        """
        md5 = ""
        for attempt in range(_ATTEMPTS):
            way = self.bodies.now(operation, way)
            more = [*headers, *([(_header(way.algorithm), value)] if way.algorithm else ())]
            if way.compares or self._sends_md5:
                md5 = md5 or await self.hash("md5", data)
                more.append(("content-md5", b64encode(bytes.fromhex(md5)).decode()))
            digest = await self.hash("sha256", data) if way.signs else UNSIGNED_PAYLOAD
            try:
                response = await self.client.call(
                    operation, "PUT", key, query=query, headers=more, body=data, digest=digest
                )
            except DigestRequired:
                if md5:
                    raise
                self._sends_md5 = True
                continue
            except Error as exc:
                other = self.bodies.after(exc, operation, way)
                if other is None:
                    raise
                if other.algorithm != way.algorithm:
                    value = await self.checksum(other, data)
                response = await self.send(operation, key, data, other, value, query=query, headers=headers)
                self.bodies.note_signed(operation)
                return response
            self.bodies.note_taken(operation, way)
            if not way.compares or await self._is_stored(operation, key, data, response, md5, attempt):
                return response
        raise Corrupt(
            f"{operation} on {self.client.thing(key)}: the stored data differs from what was sent (MD5 differs)"
        )

    async def _is_stored(
        self, operation: str, key: str, data: Buffer, response: Response, md5: str, attempt: int
    ) -> bool:
        """Whether the answer's ETag is the MD5 of what was sent, or something else that proves nothing against it.

        Where it differs a whole object is read back. What cannot be is sent again: when the ETag differs then too,
        ETags are not MD5s here, unless others were.
        """
        found = self.etags.md5_in(response.headers)
        if found is None or found[1]:
            return True
        if found[0] == md5:
            self.etags.are_md5 = True
            return True
        is_same = await self._reads_back(key, data) if operation == "PutObject" else None
        if is_same is None:
            is_same = attempt > 0 and self.etags.are_md5 is not True
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

    async def checksum(self, way: Way, data: Buffer) -> str:
        """As the way wants it; empty where it wants none."""
        if not way.algorithm:
            return ""
        compute = checksum(way.algorithm)
        return compute(data) if len(data) <= inline(way.algorithm) else await self._workers.run(compute, data)

    async def hash(self, name: str, data: Buffer) -> str:
        """In hex."""
        if len(data) <= INLINE:
            return _hash(name, data)
        return await self._workers.run(_hash, name, data)


OnCommit = Callable[[], Awaitable[None]]


class S3Upload:
    """A multipart upload."""

    def __init__(
        self,
        writer: S3Writer,
        key: str,
        upload_id: str,
        size: int,
        on_commit: OnCommit | None = None,
        way: Way = SIGNED,
    ) -> None:
        """``on_commit`` is awaited when the object is there."""
        self.key = key
        self.way = way
        """How its parts are sent."""
        self._on_commit = on_commit
        self.token = upload_id
        self._writer = writer
        self._client = writer.client
        self._size = size
        self._etags: dict[int, str] = {}
        self._checksums: dict[int, str] = {}
        """Of the parts, by number from 1; empty where they have none."""
        self._has_md5s = True
        """Whether the parts' ETags may be their MD5s."""

    @property
    def done(self) -> frozenset[int]:
        return frozenset(number - 1 for number in self._etags)

    def adopt(self, parts: Iterable[Part], part_size: int) -> None:
        """Takes over parts that are there, if they have what the upload's end has to name."""
        for number, size, etag, value in parts:
            is_whole = size == min(part_size, self._size - (number - 1) * part_size)
            if is_whole and (value or not self.way.algorithm):
                self._etags[number] = etag
                if self.way.algorithm:
                    self._checksums[number] = value

    async def holds(self, number: int, data: Buffer) -> bool:
        return self._etags.get(number + 1, "").strip('"') == await self._writer.hash("md5", data)

    async def write(self, number: int, data: Buffer) -> None:
        value = await self._writer.checksum(self.way, data)
        query = [("partNumber", str(number + 1)), ("uploadId", self.token)]
        response = await self._writer.send("UploadPart", self.key, data, self.way, value, query=query)
        self._etags[number + 1] = response.headers["etag"]
        self._has_md5s = self._has_md5s and self._writer.etags.md5_in(response.headers) is not None
        if self.way.algorithm:
            self._checksums[number + 1] = value

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
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>{self._element(number)}</Part>"
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

    def _element(self, number: int) -> str:
        value, name = self._checksums.get(number, ""), f"Checksum{self.way.algorithm}"
        return f"<{name}>{escape(value)}</{name}>" if value else ""

    async def abort(self) -> bool:
        try:
            await self._client.call("AbortMultipartUpload", "DELETE", self.key, query=[("uploadId", self.token)])
        except NotFound:
            return True
        except Error:
            return False
        return True

    def _composite(self) -> str:
        """The ETag that the parts' MD5s make; empty where the parts' ETags are not MD5s."""
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


def _header(algorithm: str) -> str:
    return f"x-amz-checksum-{algorithm.lower()}"


def _hash(name: str, data: Buffer) -> str:
    make = hashlib.md5 if name == "md5" else hashlib.sha256  # hashlib.new() costs as much again for small bodies
    return make(data, usedforsecurity=False).hexdigest()
