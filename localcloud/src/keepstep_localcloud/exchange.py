"""One request and its answer on the wire: ASGI, and a way to break the connection off."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keepstep_localcloud.signatures import check_digest
from keepstep_localcloud.wire import Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Protocol(HttpToolsProtocol):
    """uvicorn's, which also tells the application the request target as it came, and the connection."""

    def on_headers_complete(self) -> None:
        self.scope["localcloud"] = self.url, self.transport  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()


class Gone(Exception):
    """The client has left, or is to be left, without an answer."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url, self._transport = scope["localcloud"]
        self.method: str = scope["method"]
        self.target: str = url.decode("latin-1")
        """Path and query as they came."""
        self.headers = _headers(scope["headers"])
        self._receive = receive
        self._send = send
        self._has_more = True

    async def body(self) -> bytes:
        """The whole body. Raises :class:`Gone`."""
        return b"".join([chunk async for chunk in self._chunks()])

    async def checked_chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces. Raises 401 at its end when ``x-content-sha256`` came along and is not the body's."""
        digest = hashlib.sha256() if "x-content-sha256" in self.headers else None
        async for chunk in self._chunks():
            if digest:
                digest.update(chunk)
            yield chunk
        if digest:
            check_digest(self.headers, digest.digest())

    async def _chunks(self) -> AsyncIterator[bytes]:
        while self._has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            self._has_more = message["more_body"]
            yield message["body"]

    async def answer(self, response: Response, *, cut: int | None = None) -> None:
        """Sends the response; ``cut``: no more than that many bytes of its body, then nothing more ever."""
        payload = response.payload()
        headers = {"opc-request-id": self.headers.get("opc-request-id") or _request_id(), **response.headers}
        if "opc-client-request-id" in self.headers:
            headers["opc-client-request-id"] = self.headers["opc-client-request-id"]
        if "expect" in self.headers and self._has_more:
            # Whether the client still sends the body is its own choice: no second request can follow safely.
            headers["connection"] = "close"
        if isinstance(payload, bytes) and response.status not in (204, 304):
            headers.setdefault("content-length", str(len(payload)))
        pairs = [(name.encode("latin-1"), _value(value)) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": response.status, "headers": pairs})
        if cut is None or self.method == "HEAD":
            await self._send_body(payload)
        else:
            await self._send_until(payload, cut)

    async def _send_body(self, payload: bytes | Iterator[bytes]) -> None:
        if self.method == "HEAD":
            payload = b""
        if not isinstance(payload, bytes):
            for chunk in payload:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            payload = b""
        await self._send({"type": "http.response.body", "body": payload})

    async def _send_until(self, payload: bytes | Iterator[bytes], cut: int) -> None:
        for chunk in (payload,) if isinstance(payload, bytes) else payload:
            await self._send({"type": "http.response.body", "body": chunk[:cut], "more_body": True})
            cut -= len(chunk)
            if cut <= 0:
                break
        self._transport.close()
        await self._wait_for_end()

    async def drop(self) -> None:
        """Breaks the connection off without an answer."""
        self._transport.abort()
        await self._wait_for_end()

    async def _wait_for_end(self) -> None:
        # uvicorn takes an application that returns without an answer for broken, unless the client has gone.
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _value(value: str) -> bytes:
    # What came in a header is Latin-1 for Python; what came in JSON may be any text.
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _request_id() -> str:
    return f"iad-1:{uuid.uuid4().hex.upper()}"
