"""The proxy itself: whole requests in, whole answers out, the modes in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

from tests.faultproxy import GONE, Head, LoopbackProxy, Streams, pieces_of, read_head
from tests.twisting.exchange import MODES, Answer, Hangup, Mode, Request, Send

_HOP = ("connection", "transfer-encoding", "keep-alive", "expect", "content-length")


class TwistingProxy(LoopbackProxy):
    """Twists what a server answers by one mode or by several, the first of which is nearest to the client.

    ``only`` keeps the modes to some operations, ``times`` to so many requests (of those operations) in all;
    ``page_size`` is the most that a listing page holds in modes that make pages. What a mode changes in a request
    does not fit the client's signature any more: such modes need a server that does not verify, like moto.
    """

    def __init__(
        self,
        upstream: str,
        *modes: str,
        only: tuple[str, ...] | str = (),
        times: int | None = None,
        page_size: int = 1000,
    ) -> None:
        super().__init__(upstream)
        self.operations: list[str] = []
        """Of the requests, in the order of their arrival, by the names of :attr:`Request.operation`."""
        self._modes = [MODES[name] for name in modes]
        self._only = (only,) if isinstance(only, str) else only
        self._times = times
        self.memory = SimpleNamespace(page_size=page_size, origin="")
        """What the modes remember."""
        self._targets: Counter[str] = Counter()
        self._faults: list[Exception] = []
        """Of the modes themselves."""

    def __exit__(self, *given: object) -> None:
        super().__exit__(*given)
        if self._faults:
            raise self._faults[0]

    def behave(self) -> None:
        """From now on nothing is twisted; what was counted is forgotten."""
        self._modes = []
        self.requests.clear()
        self.operations.clear()

    @property
    def env(self) -> dict[str, str]:
        """What sends the AWS clients here; put it behind the variables of the server."""
        return {"AWS_ENDPOINT_URL": self.url}

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.memory.origin = self.url
        upstream = _Upstream(self._upstream)
        try:
            while (head := await read_head(reader)) is not None:
                request = await self._read(head, reader, writer)
                answer = await self._twisted(request, upstream.ask)
                await _write(writer, request, answer)
        except (*GONE, Hangup, asyncio.CancelledError):
            pass
        except Exception as exc:  # noqa: BLE001 - raised where the block ends
            self._faults.append(exc)
        finally:
            upstream.close()
            writer.close()

    async def _read(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
        self.requests.append(head.first)
        if "expect" in head.headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, target, _ = head.first.split(" ")
        request = Request(method, target, head.headers, await _body(reader, head), self.memory)
        self.operations.append(request.operation)
        self._targets[f"{method} {target}"] += 1
        return replace(
            request,
            seen=self.operations.count(self.operations[-1]),
            again=self._targets[f"{method} {target}"],
        )

    async def _twisted(self, request: Request, send: Send) -> Answer:
        if self._only and request.operation not in self._only:
            return await send(request)
        if self._times is not None:
            if self._times <= 0:
                return await send(request)
            self._times -= 1
        for mode in reversed(self._modes):
            send = partial(_through, mode, send)
        return await send(request)


async def _through(mode: Mode, send: Send, request: Request) -> Answer:
    return await mode(request, send)


class _Upstream:
    """The connection to the server that belongs to one connection of a client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: Streams | None = None

    async def ask(self, request: Request) -> Answer:
        self._streams = self._streams or await asyncio.open_connection(*self._address, limit=1 << 20)
        reader, writer = self._streams
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        headers["content-length"] = str(len(request.body))
        writer.write(_head_of(f"{request.method} {request.target} HTTP/1.1", headers) + request.body)
        await writer.drain()
        while (head := await read_head(reader)) is not None and head.status < 200:
            continue
        if head is None:
            raise ConnectionResetError
        has_body = request.method != "HEAD" and head.status not in (204, 304)
        body = await _body(reader, head) if has_body else b""
        if head.headers.get("connection", "").lower() == "close":
            self.close()
        kept = {n: v for n, v in head.headers.items() if n not in _HOP or (n == "content-length" and not has_body)}
        return Answer(head.status, kept, body)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


async def _body(reader: asyncio.StreamReader, head: Head) -> bytes:
    return b"".join([data async for data, is_content in pieces_of(reader, head) if is_content])


async def _write(writer: asyncio.StreamWriter, request: Request, answer: Answer) -> None:
    if answer.wire is not None:
        async for piece in answer.wire:
            writer.write(piece)
            await writer.drain()
        raise Hangup
    length = {} if answer.status in (204, 304) else {"content-length": str(len(answer.body))}
    body = b"" if request.method == "HEAD" else answer.body
    writer.write(_head_of(f"HTTP/1.1 {answer.status} Twisted", length | answer.headers) + body)
    await writer.drain()
    if length and len(body) != int(answer.headers.get("content-length", len(body))) and request.method != "HEAD":
        raise Hangup


def _head_of(first: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{first}\r\n{lines}\r\n".encode("latin-1")
