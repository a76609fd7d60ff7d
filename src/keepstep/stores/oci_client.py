"""One bucket of OCI Object Storage, spoken to: requests are addressed, signed, sent, repeated, and explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

from keepstep.clouds.http import Buffer, HttpPool, Response
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_signing import sign_async
from keepstep.stores.oci_errors import error_of
from keepstep.stores.retry import retried

HeaderPair = tuple[str, str]

_UNHASHED = frozenset({"PutObject", "UploadPart"})
"""Operations whose body is not part of the signature ("Request Signatures", special implementation for PUT)."""
_TOLERANCE = timedelta(minutes=5)
"""How far a request's date may be off."""


class OciClient:
    """Sends Object Storage's operations to one bucket.

    Safe for many tasks of one event loop. Operations may be repeated, and are: up to seven times for passing
    faults, and once with a fresh key, or with the server's clock, when the signature is refused.
    """

    def __init__(self, bucket: str, namespace: str, identity: OciIdentity) -> None:
        self.bucket = bucket
        self.namespace = namespace
        self.identity = identity
        self.requests: Counter[str] = Counter()
        self._skew = timedelta()
        self._pool: HttpPool | None = None
        self._base = ""

    def thing(self, name: str | None = None) -> str:
        """The address of an object, or of the bucket, for messages."""
        return f"oci://{self.bucket}@{self.namespace}" + (f"/{name}" if name is not None else "")

    async def close(self) -> None:
        if self._pool:
            await self._pool.close()

    async def call(
        self,
        operation: str,
        method: str,
        collection: str,
        name: str | None = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[HeaderPair] = (),
        body: Buffer = b"",
        most: int | None = None,
    ) -> Response:
        """One operation to its end. ``collection`` is ``o`` for objects, ``u`` for uploads, or an action's path.

        Raises what :mod:`keepstep.stores.oci_errors` makes of a refusal, and :class:`TooLarge`.
        """
        path = f"/n/{_quoted(self.namespace)}/b/{_quoted(self.bucket)}/{collection}"
        if name is not None:
            path += f"/{_quoted(name)}"
        parameters = list(query)
        target = f"{path}?{urlencode(parameters, quote_via=quote, safe='')}" if parameters else path
        extra = list(headers)

        async def attempt() -> Response:
            response = await self._send(operation, method, target, extra, body, most)
            if response.status < 300:
                return response
            grantee = self.identity.grantee
            raise error_of(response, operation, self.namespace, self.bucket, name, grantee=grantee)

        return await retried(attempt)

    async def _send(
        self, operation: str, method: str, target: str, headers: list[HeaderPair], body: Buffer, most: int | None
    ) -> Response:
        """One request, and a second one when the first was refused for its signature."""
        is_second = False
        while True:
            key = await self.identity.key()
            pool = self._pool or await self._connect()
            is_hashed = method in ("POST", "PUT") and operation not in _UNHASHED
            now = datetime.now(UTC) + self._skew
            full = self._base + target
            signature = await sign_async(method, pool.netloc, full, body if is_hashed else None, key, now)
            self.requests[operation] += 1
            response = await pool.request(
                method, full, [("host", pool.netloc), *headers, *signature], body, most=most
            )
            if response.status != 401 or is_second:
                return response
            if not self._learn_time(response):
                await self.identity.refresh(key)
            is_second = True

    async def _connect(self) -> HttpPool:
        endpoint = await self.identity.endpoint("objectstorage")
        origin, slash, base = endpoint.partition("://")[2].partition("/")
        scheme = endpoint.partition("://")[0]
        self._base = (slash + base).rstrip("/")
        self._pool = self._pool or HttpPool(f"{scheme}://{origin}", ca_bundle=self.identity.ca_bundle)
        return self._pool

    def _learn_time(self, response: Response) -> bool:
        """True when our clock was too far off, and the server's is used from now on."""
        if "date" not in response.headers:
            return False
        skew = parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC)
        if abs(skew - self._skew) < _TOLERANCE:
            return False
        self._skew = skew
        return True


def _quoted(text: str) -> str:
    """A name as one segment of a raw path: also its slashes are encoded."""
    return quote(text, safe="")
