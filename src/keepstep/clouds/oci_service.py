"""One OCI service, spoken to by its REST API: requests are addressed, signed, sent, repeated where that helps."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from keepstep.clouds.document import document_in, shortened
from keepstep.clouds.http import Buffer, HttpPool, Response, Timeouts
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import CA_SETTING
from keepstep.clouds.oci_signing import sign_async
from keepstep.clouds.retry import retried
from keepstep.clouds.times import skew_of
from keepstep.clouds.workers import Workers
from keepstep.errors import Corrupt, Error

HeaderPair = tuple[str, str]
Explain = Callable[[Response], Error]

_HASHED = ("POST", "PUT", "PATCH")
_PAUSE = 0.5
"""Seconds before a third try with a fresh key."""
_TOLERANCE = timedelta(minutes=5)
"""How far a request's date may be off ("Request Signatures" in OCI's documentation)."""


class OciService:
    """Sends operations to one service of the identity's region, or of another one.

    Safe for many tasks of one event loop. A request is repeated up to seven times for passing faults, so it must be
    one that may be, and once or twice with a fresh key, or the server's clock, when its signature is refused.
    """

    def __init__(
        self, service: str, identity: OciIdentity, *, region: str | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self.identity = identity
        self.requests: Counter[str] = Counter()
        """By operation."""
        self.throttle_count = 0
        """How often a request had to be repeated because the service was overtaxed, or away."""
        self._workers: Workers | None = None
        self._service = service
        self._region = region
        self._timeouts = timeouts
        self._skew = timedelta()
        self._was_let_in = False
        self._pool: HttpPool | None = None
        self._base = ""

    def _strained(self) -> None:
        self.throttle_count += 1

    def _threads(self) -> Workers:
        """For signatures: as many as there are processors pay off."""
        if self._workers is None:
            self._workers = Workers(min(8, len(os.sched_getaffinity(0))))
        return self._workers

    async def close(self) -> None:
        if self._workers:
            self._workers.close()
        if self._pool:
            await self._pool.close()

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        explain: Explain,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[HeaderPair] = (),
        body: Buffer = b"",
        is_body_signed: bool = True,
        is_repeatable: bool = True,
        most: int | None = None,
        confirm: Callable[[Response], None] | None = None,
    ) -> Response:
        """One operation to its end: an answer below 300, or the error that ``explain`` makes of any other.

        ``path`` is raw, made with :func:`quoted`. Raises :class:`TooLarge` when the answer has more than ``most``
        bytes. ``confirm`` raises :class:`Transient` for a success that does not prove anything.
        """
        parameters = list(query)
        target = f"{path}?{urlencode(parameters, quote_via=quote, safe='')}" if parameters else path
        extra = list(headers)
        signed = body if is_body_signed and method in _HASHED else None

        async def attempt() -> Response:
            response = await self._send(operation, method, target, extra, body, signed, most)
            if response.status < 300:
                if confirm is not None:
                    confirm(response)
                return response
            raise explain(response)

        return await (retried(attempt, self._strained) if is_repeatable else attempt())

    async def _send(
        self,
        operation: str,
        method: str,
        target: str,
        headers: list[HeaderPair],
        body: Buffer,
        signed: Buffer | None,
        most: int | None,
    ) -> Response:
        """One request, and another one when it was refused for its signature; a third where others were let in.

        The service's front ends learn of keys at different times.
        """
        refusals = 0
        while True:
            key = await self.identity.key()
            pool = self._pool or await self._connect()
            full = self._base + target
            now = datetime.now(UTC) + self._skew
            signature = await sign_async(method, pool.netloc, full, signed, key, now, self._threads())
            self.requests[operation] += 1
            response = await pool.request(
                method, full, [("host", pool.netloc), *headers, *signature], body, most=most
            )
            self._was_let_in |= response.status < 300
            if response.status != 401 or refusals > self._was_let_in:
                return response
            if refusals:
                await asyncio.sleep(_PAUSE)
            if not self._learn_time(response):
                await self.identity.refresh(key)
            refusals += 1

    async def _connect(self) -> HttpPool:
        url = urlsplit(await self.identity.endpoint(self._service, self._region))
        if self._pool is None:
            self._base = url.path.rstrip("/")
            origin, bundle = f"{url.scheme}://{url.netloc}", self.identity.ca_bundle
            self._pool = HttpPool(origin, ca_bundle=bundle, ca_setting=CA_SETTING, timeouts=self._timeouts)
        return self._pool

    def _learn_time(self, response: Response) -> bool:
        """True when the local clock was too far off; the server's is used from now on."""
        skew = skew_of(response.headers.get("date", ""))
        if skew is None or abs(skew - self._skew) < _TOLERANCE:
            return False
        self._skew = skew
        return True


def quoted(text: str) -> str:
    """A name as one segment of a raw path: its slashes are encoded too."""
    return quote(text, safe="")


def code_and_message(response: Response) -> tuple[str, str]:
    """Empty where there is no body, as for HEAD; the start of the text itself where it is not an error of OCI's."""
    try:
        document = document_in(response.document, "")
        return shortened(document.text("code", "")), shortened(document.text("message", ""))
    except Corrupt:
        return "", shortened(response.document[:2000].decode("utf-8", "replace").strip())
