"""Requests on the way to a principal of OCI: limited in size and time, repeated while that makes sense.

Every request here is for a credential, or carries one. So no redirect is followed, and no error repeats anything
of a token, a key or the contents of an answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TypeVar
from urllib.parse import urlsplit

from keepstep.clouds.document import JsonDocument, document_in, shortened
from keepstep.clouds.http import HttpPool, Response, Timeouts, TooLarge
from keepstep.clouds.oci_config import CA_SETTING
from keepstep.clouds.oci_signing import HeaderPair, SigningKey, sign
from keepstep.clouds.retry import retry_after
from keepstep.clouds.times import skew_of
from keepstep.errors import ConfigError, Denied, Error, Transient

T = TypeVar("T")

_MOST = 256 * 1024
"""Bytes of an answer. Certificates, keys and tokens have a few thousand."""
_UNREACHABLE = 10.0
"""Seconds after which a metadata or token service that cannot be connected to is considered absent."""
_UNWILLING = 40.0
"""Seconds for one that answers 404, 429 or 5xx, as a metadata service does while its machine boots."""
_EACH = 20.0
"""Seconds for one request, from the connection to the last byte of the answer."""
_WHOLE = 50.0
"""Seconds for everything that leads to a principal."""
_TIMEOUTS = Timeouts(connect=5.0, idle=_EACH)
_NOTICED = 60.0
"""Seconds that a clock may be off before a refusal mentions it."""
_JWT = re.compile(r"(ST\$)?eyJ[\w=-]+(\.[\w=-]*)*", re.ASCII)


class PrincipalSource(Enum):
    """Who is asked, which decides what a refusal means."""

    METADATA = "metadata service"
    """Exists on OCI only; answers 404 while its machine boots."""
    SERVICE = "OCI"
    """A token service."""


class Asker:
    """The requests that lead to one principal. ``name`` is how errors call it. For one event loop.

    Raises :class:`ConfigError` where there is no such principal, :class:`Denied` when it is refused,
    :class:`Transient` for faults that outlast the repetitions. Asking again is always safe.
    """

    def __init__(
        self, name: str, *, bundle: str | None, refused: str, absent: str, ca_setting: str = CA_SETTING
    ) -> None:
        """``refused`` is the hint when a token service says no, ``absent`` when no metadata service is there."""
        self.name = name
        self._bundle = bundle
        self._ca_setting = ca_setting
        self._refused = refused
        self._absent = absent
        self._pools: dict[str, HttpPool] = {}

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def document(
        self,
        method: str,
        url: str,
        key: SigningKey,
        body: Mapping[str, object] | None = None,
        *,
        headers: Collection[HeaderPair] = (),
        is_host_signed: bool = True,
        hidden: Collection[str] = (),
    ) -> tuple[JsonDocument, Response]:
        """What a token service answers to a request signed with ``key``: a JSON object, and the whole answer.

        ``hidden`` are secrets in the request that an error must not repeat when the service quotes them.
        """
        _, netloc, target = _taken_apart(url)
        content = b"" if body is None else json.dumps(body).encode()

        def signed() -> list[HeaderPair]:
            hashed = None if body is None else content
            made = sign(method, netloc, target, hashed, key, datetime.now(UTC), is_host_signed=is_host_signed)
            return [*headers, *made]

        response = await self.ask(method, url, signed, content, hidden=hidden)
        return document_in(response.document, f"the {self.name}"), response

    async def ask(
        self,
        method: str,
        url: str,
        headers: Callable[[], list[HeaderPair]],
        body: bytes = b"",
        *,
        place: PrincipalSource = PrincipalSource.SERVICE,
        hidden: Collection[str] = (),
    ) -> Response:
        """The answer to a request, once it is a success. ``headers`` is called before each attempt."""
        began, wait = time.monotonic(), 0.25
        while True:
            worth, wish = 0.0, None
            try:
                response = await self._attempt(method, url, headers(), body)
            except Transient as exc:
                is_absent = isinstance(exc.__cause__, OSError)
                error = self._unanswered(url, exc, place, is_absent=is_absent)
                worth = _UNREACHABLE
            else:
                if 200 <= response.status < 300:
                    return response
                if _is_passing(response.status, place):
                    worth, wish = _UNWILLING, retry_after(response.headers)
                error = self._answered(url, response, place, hidden)
            pause = max(wait, wish or 0.0)
            if time.monotonic() + pause > began + worth:
                raise error
            await asyncio.sleep(pause)
            wait = min(2 * wait, 5.0)

    async def _attempt(self, method: str, url: str, headers: list[HeaderPair], body: bytes) -> Response:
        origin, _, target = _taken_apart(url)
        if origin not in self._pools:
            self._pools[origin] = HttpPool(
                origin, ca_bundle=self._bundle, ca_setting=self._ca_setting, timeouts=_TIMEOUTS
            )
        pool = self._pools[origin]
        given = [("host", pool.netloc), ("accept-encoding", "identity"), *headers]
        try:
            async with asyncio.timeout(_EACH):
                return await pool.request(method, target, given, body, most=_MOST)
        except TimeoutError:
            raise Transient(f"{pool.netloc} did not end its answer within {_EACH:g} s") from None
        except TooLarge as exc:
            raise Transient(f"{pool.netloc} answered with more than any {self.name} needs") from exc

    def _unanswered(self, url: str, exc: Transient, place: PrincipalSource, *, is_absent: bool) -> Error:
        netloc = urlsplit(url).netloc
        if place is PrincipalSource.METADATA and is_absent:
            error: Error = ConfigError(
                f"no {self.name}: no metadata service answers at {netloc}", hint=self._absent
            )
        else:
            error = Transient(f"cannot get the {self.name}: {exc}", hint=exc.hint)
        error.__cause__ = exc
        return error

    def _answered(self, url: str, response: Response, place: PrincipalSource, hidden: Collection[str]) -> Error:
        status, netloc = response.status, urlsplit(url).netloc
        if 300 <= status < 400:
            return ConfigError(
                f"{netloc} answered {status} instead of a principal",
                hint="its redirect is not followed, since the request is for a credential",
            )
        if place is PrincipalSource.METADATA:
            if status == 429 or status >= 500:
                return Transient(f"cannot get the {self.name}: the metadata service answered {status}")
            return ConfigError(f"no {self.name}: the metadata service answered {status}", hint=self._absent)
        said = f"{status}{_words(response, hidden)}"
        if _is_passing(status, place) or status >= 500:
            return Transient(f"cannot get the {self.name}: {netloc} answered {said}")
        return Denied(f"OCI refused the {self.name}: {said}", hint=_clock(response) + self._refused)


def _taken_apart(url: str) -> tuple[str, str, str]:
    """Origin, value of the host header, and raw path with the query. Raises :class:`ConfigError`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(
            f"not an address: {url[:80]!a}", hint="check the OCI_… variables that hold addresses"
        ) from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{parts.netloc}", parts.netloc, target


def _is_passing(status: int, place: PrincipalSource) -> bool:
    if status == 404:
        return place is PrincipalSource.METADATA
    return status in (408, 425, 429) or (status >= 500 and status != 501)


def _words(response: Response, hidden: Collection[str]) -> str:
    """The code and message of a refusal, as far as they are ones; what was secret in the request is left out."""
    try:
        answer = json.loads(response.document)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    code, message = (answer.get(name) for name in ("code", "message"))
    words = f" {code}" if isinstance(code, str) else ""
    words += f": {message}" if isinstance(message, str) and message else ""
    for secret in filter(None, hidden):
        words = words.replace(secret, "***")
    return shortened(_JWT.sub("***", words))


def _clock(response: Response) -> str:
    """How a hint begins where the refusal is explained by this machine's clock."""
    skew = skew_of(response.headers.get("date", ""))
    if skew is None or abs(skew.total_seconds()) < _NOTICED:
        return ""
    seconds = skew.total_seconds()
    return f"this machine's clock is {abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'} OCI's; "


def fetched(asker: Asker, work: Callable[[Asker], Awaitable[T]]) -> T:
    """What ``work`` comes to, in an event loop of its own and within a limit; the asker is closed. Blocks."""

    async def main() -> T:
        try:
            async with asyncio.timeout(_WHOLE):
                return await work(asker)
        except TimeoutError:
            raise Transient(f"cannot get the {asker.name}: not within {_WHOLE:g} s") from None
        finally:
            await asker.close()

    return asyncio.run(main())
