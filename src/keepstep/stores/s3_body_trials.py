"""Whether a store that speaks S3 looks at what it gets, found out with bodies whose digests are wrong.

Everything happens under a name that nobody else uses. What is tried first are parts of an upload that is
aborted: whatever a store does with them, no object appears. One part is sent with a wrong digest, and one with the
right one: a store that refuses the first and takes the second has looked. Only where it has is a whole object tried
as well, once and with a wrong digest, for it to be refused.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from keepstep.clouds.retry import PASSING
from keepstep.clouds.sigv4 import UNSIGNED_PAYLOAD
from keepstep.errors import Error
from keepstep.stores.checksums import checksum
from keepstep.stores.s3_answers import answered
from keepstep.stores.s3_client import HeaderPair, S3Client
from keepstep.stores.s3_errors import code_of

_BODY, _OTHER = b"keepstep tries whether bodies are checked", b"keepstep tries whether bodies are checkeD"
_RIGHT, _WRONG = sha256(_BODY).hexdigest(), sha256(_OTHER).hexdigest()
_PATIENCE = 30.0
"""Seconds that a trial may take."""
_PARTING = 5.0
"""Seconds that the end of a run waits for one."""


class BodyChecks(NamedTuple):
    """What a store does with bodies."""

    checks_signed: bool = False
    """It refuses a body whose SHA-256 is not the signed one."""
    checks_sum: bool = False
    """It refuses a body whose checksum is not the one that was sent along."""
    takes_unsigned: bool = False
    """It takes bodies that are not part of the signature, and does not look at those that are."""
    code: str = ""
    """With which it refuses what is damaged."""


class BodyTrials:
    """Of one bucket, for one run. What fails has found nothing."""

    def __init__(self, client: S3Client, prefix: str, notices: list[str]) -> None:
        self._client = client
        self._prefix = prefix
        self._notices = notices
        self._found: dict[tuple[str, str], asyncio.Task[BodyChecks]] = {}
        """By operation and algorithm."""

    def of(self, operation: str, algorithm: str) -> asyncio.Task[BodyChecks]:
        """What was found, or is being found, for PutObject or UploadPart with checksums of that algorithm."""
        trial = (operation, algorithm)
        if trial not in self._found:
            self._found[trial] = asyncio.get_running_loop().create_task(self._try(operation, algorithm))
        return self._found[trial]

    async def close(self) -> None:
        """Waits a moment for trials that are under way to remove what they made."""
        if tasks := [task for task in self._found.values() if not task.done()]:
            await asyncio.wait(tasks, timeout=_PARTING)

    async def _try(self, operation: str, algorithm: str) -> BodyChecks:
        try:
            if operation == "UploadPart":
                with suppress(Error):  # it may not know checksums, and refuse the whole upload for them
                    found = await self._try_parts(algorithm)
                    if found.takes_unsigned or found.code:
                        return found
                return await self._try_parts("")
            found = await asyncio.shield(self.of("UploadPart", algorithm))
            return found if not found.code or await self._is_refused(algorithm, found) else BodyChecks()
        except (Error, TimeoutError):
            return BodyChecks()

    async def _try_parts(self, announced: str) -> BodyChecks:
        key = self._key()
        headers = [("x-amz-checksum-algorithm", announced)] if announced else []
        if headers and headers[0] in self._client.headers_of("CreateMultipartUpload"):
            headers = []
        async with asyncio.timeout(_PATIENCE):
            created = await self._client.call(
                "CreateMultipartUpload", "POST", key, query=[("uploads", "")], headers=headers
            )
        upload = answered(created).text("UploadId")
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._look(key, upload, announced)
        finally:
            await self._remove(key, upload)

    async def _look(self, key: str, upload: str, algorithm: str) -> BodyChecks:
        """Over HTTP a signed body is worth more than a checksum, which anybody can change on the way."""
        query = [("partNumber", "1"), ("uploadId", upload)]

        async def part(digest: str, contents: bytes = _BODY) -> _Verdict:
            return await self._send("UploadPart", key, digest, algorithm, contents, query)

        async def checks_sum() -> str:
            wrong = await part(UNSIGNED_PAYLOAD, _OTHER) if algorithm else _Verdict(True)
            return wrong.code if wrong.is_taken is False and (await part(UNSIGNED_PAYLOAD)).is_taken else ""

        is_secure = self._client.endpoint.scheme == "https"
        if is_secure and (code := await checks_sum()):
            return BodyChecks(checks_sum=True, code=code)
        signed = await part(_WRONG)
        if signed.is_taken is False and (await part(_RIGHT)).is_taken:
            return BodyChecks(checks_signed=True, code=signed.code)
        if not is_secure and (code := await checks_sum()):
            return BodyChecks(checks_sum=True, code=code)
        takes_unsigned = signed.is_taken is True and (await part(UNSIGNED_PAYLOAD)).is_taken is True
        return BodyChecks(takes_unsigned=takes_unsigned)

    async def _is_refused(self, algorithm: str, found: BodyChecks) -> bool:
        """Whether a damaged object is, as a damaged part was; one that is stored anyway is deleted."""
        key = self._key()
        wrong = (UNSIGNED_PAYLOAD, algorithm, _OTHER) if found.checks_sum else (_WRONG, "", _BODY)
        async with asyncio.timeout(_PATIENCE):
            verdict = await self._send("PutObject", key, *wrong)
        if verdict.is_taken is not False:
            await self._remove(key)
        return verdict == _Verdict(False, found.code)

    async def _send(
        self,
        operation: str,
        key: str,
        digest: str,
        algorithm: str,
        contents: bytes,
        query: Sequence[HeaderPair] = (),
    ) -> _Verdict:
        """Sends the test body with the checksum of ``contents``."""
        headers = [(f"x-amz-checksum-{algorithm.lower()}", checksum(algorithm)(contents))] if algorithm else []
        response = await self._client.ask(
            operation, "PUT", key, query=query, headers=headers, body=_BODY, digest=digest
        )
        if response.status < 300:
            return _Verdict(bool(response.headers.get("etag", "").strip('"')))
        is_passing = response.status >= 500 or response.status in PASSING
        return _Verdict(None if is_passing else False, code_of(response))

    async def _remove(self, key: str, upload: str = "") -> None:
        operation, query = ("AbortMultipartUpload", [("uploadId", upload)]) if upload else ("DeleteObject", [])
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._client.call(operation, "DELETE", key, query=query)
        except (Error, TimeoutError) as exc:
            what = "an upload" if upload else "an object"
            self._notices.append(
                f"{self._client.thing(key)}: {what} that keepstep made to try the store could not be removed"
                + (f": {exc.message}" if isinstance(exc, Error) else "")
            )

    def _key(self) -> str:
        return f"{self._prefix}.keepstep-{uuid.uuid4().hex}"


class _Verdict(NamedTuple):
    is_taken: bool | None
    """None where the answer says nothing of the body."""
    code: str = ""
    """Of the refusal."""
