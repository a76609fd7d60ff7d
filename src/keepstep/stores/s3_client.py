"""One bucket of S3, spoken to: requests are addressed, signed, sent, repeated where that helps, and explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.http import Buffer, HttpPool, Response, Timeouts
from keepstep.clouds.retry import retried
from keepstep.clouds.s3_endpoint import S3Endpoint
from keepstep.clouds.sigv4 import EMPTY_PAYLOAD, AwsCredentials, SigV4, encode_query, quote_path
from keepstep.clouds.times import skew_of
from keepstep.errors import Error
from keepstep.stores.s3_answers import Unencrypted, answered, confirm, confirm_encryption, encryption_of, late_error
from keepstep.stores.s3_elsewhere import is_elsewhere, region_in
from keepstep.stores.s3_errors import EXPIRED, code_of, error_of

HeaderPair = tuple[str, str]
Headers = tuple[HeaderPair, ...]

_CREATES = ("PutObject", "CopyObject", "CreateMultipartUpload")
_SLOW = frozenset({"CompleteMultipartUpload", "CopyObject", "UploadPartCopy"})
"""Operations that keep the line open with blanks while they work."""
_MOVES = 8
"""Regions that a bucket may be said to be in, one after the other."""


class S3Client:
    """Sends S3's operations to one bucket, wherever its region turns out to be.

    Safe for many tasks of one event loop. Operations may be repeated, and are: up to seven times for passing
    faults, once with fresh credentials, once in the bucket's own region, once with the server's clock.
    """

    def __init__(
        self,
        bucket: str,
        identity: AwsIdentity,
        *,
        headers: Mapping[str, Headers] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """``headers`` go with every request, by operation (:func:`keepstep.stores.s3_headers.s3_headers`)."""
        self.bucket = bucket
        self.identity = identity
        self.requests: Counter[str] = Counter()
        self._headers = headers or {}
        self._encryption = {name: encryption_of(self._headers.get(name, ())) for name in _CREATES}
        """By operation that makes an object: what its answer has to confirm."""
        self._timeouts = timeouts
        self.throttle_count = 0
        """How often a request had to be repeated because the store was overtaxed, or away."""
        self._skew = timedelta()
        self._renewed: AwsCredentials | None = None
        """Fetched because an answer said nothing; when the next one says no more, they were not to blame."""
        self._pools: list[HttpPool] = []
        self._connect(None)

    def _connect(self, region: str | None) -> None:
        self.endpoint = self.identity.config.s3_endpoint(self.bucket, region)
        self._signer = SigV4("s3", self.endpoint.region)
        bundle = self.identity.config.ca_bundle
        self._pool = HttpPool(self.endpoint.origin, ca_bundle=bundle, timeouts=self._timeouts)
        self._pools.append(self._pool)

    def headers_of(self, operation: str) -> Headers:
        """Those that go with every request of that name."""
        return self._headers.get(operation, ())

    def thing(self, key: str | None = None) -> str:
        """The address of an object, or of the bucket, for messages."""
        return f"s3://{self.bucket}" + (f"/{key}" if key is not None else "")

    def _strained(self) -> None:
        self.throttle_count += 1

    async def close(self) -> None:
        for pool in self._pools:
            await pool.close()

    async def call(
        self,
        operation: str,
        method: str,
        key: str | None = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[HeaderPair] = (),
        body: Buffer = b"",
        digest: str = EMPTY_PAYLOAD,
        most: int | None = None,
    ) -> Response:
        """One operation to its end. ``digest`` is the SHA-256 of ``body`` in hex, or ``UNSIGNED-PAYLOAD``.

        Raises what :mod:`keepstep.stores.s3_errors` makes of a refusal, and :class:`TooLarge`.
        """
        path = "/" + quote_path(key) if key is not None else ""
        raw_query = encode_query(query)
        extra = [*self._headers.get(operation, ()), *headers]

        async def attempt() -> Response:
            response = await self._send(operation, method, path, raw_query, extra, body, digest, most)
            if response.status >= 300 or late_error(operation, response):
                raise error_of(response, operation, self.bucket, key)
            confirm(operation, response, self.thing(key))
            if asked := self._encryption.get(operation):
                confirm_encryption(operation, response, self.thing(key), asked)
            return response

        try:
            return await retried(attempt, self._strained)
        except Unencrypted as exc:
            if key is not None:
                await self._take_back(operation, key, exc)
            raise

    async def ask(
        self,
        operation: str,
        method: str,
        key: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[HeaderPair] = (),
        body: Buffer = b"",
        digest: str = EMPTY_PAYLOAD,
    ) -> Response:
        """The answer to one request, whatever it is: nothing is repeated, and a refusal raises nothing."""
        extra = [*self._headers.get(operation, ()), *headers]
        path = "/" + quote_path(key)
        return await self._send(operation, method, path, encode_query(query), extra, body, digest, None)

    async def _take_back(self, operation: str, key: str, error: Unencrypted) -> None:
        """Removes what must not stay as it was stored: later runs would take it for what it is to be."""
        version = error.answer.headers.get("x-amz-version-id", "")
        query = [("versionId", version)] if version else []
        undo = "DeleteObject"
        if operation == "CreateMultipartUpload":
            undo, query = "AbortMultipartUpload", [("uploadId", answered(error.answer).text("UploadId"))]
        try:
            await self.call(undo, "DELETE", key, query=query)
        except Error as exc:
            error.hint = f"delete {self.thing(key)}: it was stored anyway, and {exc.message}"

    async def _send(
        self,
        operation: str,
        method: str,
        path: str,
        query: str,
        headers: list[HeaderPair],
        body: Buffer,
        digest: str,
        most: int | None,
    ) -> Response:
        """One request, and another one when it was answered by advice that can be taken, each kind once."""
        taken: set[str] = set()
        while True:
            credentials = await self.identity.credentials()
            endpoint, now = self.endpoint, datetime.now(UTC) + self._skew
            full_path = (endpoint.base + path) or "/"
            signature = self._signer.sign(
                method, endpoint.host, full_path, query, headers, digest, credentials, now
            )
            target = f"{full_path}?{query}" if query else full_path
            self.requests[operation] += 1
            response = await self._pool.request(
                method,
                target,
                [("host", endpoint.host), *headers, *signature],
                body,
                most=most,
                is_slow=operation in _SLOW,
            )
            if response.status < 300 or response.status == 404:
                return response
            advice = _advice(response, code_of(response))
            if advice in taken or not await self._follow(advice, response, endpoint, credentials):
                return response
            taken.add(advice)

    async def _follow(
        self, advice: str, response: Response, endpoint: S3Endpoint, credentials: AwsCredentials | None
    ) -> bool:
        """Whether something was changed, so that the request is worth another try."""
        match advice:
            case "renew" if credentials is not None:
                self._renewed = await self.identity.refresh(credentials)
                return True
            case "renew, perhaps" if credentials is not None and credentials is not self._renewed:
                with suppress(Error):
                    self._renewed = await self.identity.refresh(credentials)
                    return True
            case "set the clock":
                # An implausible clock is not adopted; the local one is worth another try.
                self._skew = skew_of(response.headers.get("date", "")) or timedelta()
                return True
            case "move":
                region = region_in(response, endpoint.region, is_aws=self.identity.config.s3_url is None)
                if region and region != self.endpoint.region and len(self._pools) < _MOVES:
                    self._connect(region)
                return region == self.endpoint.region
        return False


def _advice(response: Response, code: str) -> str:
    """What an error answer suggests; empty where nothing would help."""
    if code in EXPIRED:
        return "renew"
    if code == "RequestTimeTooSkewed":
        return "set the clock"
    if is_elsewhere(response, code):
        return "move"
    # The answer to HEAD has no body: 400 is then all that is left of ExpiredToken, and of much else.
    is_mute = response.status in (400, 401) and not response.document
    return "renew, perhaps" if is_mute else ""
