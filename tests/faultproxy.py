"""A reverse proxy on loopback that hurts HTTP traffic as it is notified, and counts it.

It forwards heads as they are (signatures stay right) and streams bodies, so it can cut, slow down or change them at
any byte. One thread runs it; tests set faults and read counts from theirs.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answer:
    """A whole answer of the server, for :attr:`Fault.rewrite` to change before the client gets it."""

    status: int
    headers: dict[str, str]
    """Names in lower case. ``content-length`` is set by the proxy, unless ``length`` says otherwise."""
    body: bytes
    line: str = ""
    """The request's first line."""
    request: dict[str, str] = field(default_factory=dict)
    """The request's headers, names in lower case."""
    length: int | None = None
    """What ``content-length`` claims; None: the truth."""


GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)


@dataclass
class Fault:
    """What happens to the requests whose line (``GET /a?b HTTP/1.1``) matches a pattern."""

    match: str = ""
    """A regular expression, searched in the request line."""
    after: int = 0
    """Lets that many through first."""
    times: int | None = 1
    """How often; None = always."""
    status: int | None = None
    """Answers this itself, with ``headers`` and ``body``."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    latency: float = 0
    """Seconds before anything is forwarded."""
    throttle: int | None = None
    """Bytes a second, of either body."""
    cut: int | None = None
    """Closes after this many bytes of the response's body."""
    cut_upload: int | None = None
    """Closes after this many bytes of the request's body."""
    corrupt: int | None = None
    """Changes the byte at this place of the response's body."""
    corrupt_upload: int | None = None
    """Changes the byte at this place of the request's body."""
    rewrite: Callable[[Answer], Answer | None] | None = None
    """Changes the server's whole answer; None closes the connection without one."""
    drop: str = ""
    """The request header that the server does not get."""
    share: float = 1
    """Of those that match: so many, picked by a generator that always begins alike."""
    seen: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def hits(self, line: str) -> bool:
        if not re.search(self.match, line) or (self.share < 1 and self.chance.random() >= self.share):
            return False
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


class LoopbackProxy(ABC):
    """A server on loopback, in a thread of its own, that stands in front of another one."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self.requests: list[str] = []
        """The request lines, in the order of their arrival."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)

    @abstractmethod
    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client and closes it."""

    @property
    def counts(self) -> Counter[str]:
        """How many requests had which method."""
        return Counter(line.split()[0] for line in self.requests)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 20)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class FaultProxy(LoopbackProxy):
    """``with FaultProxy("http://127.0.0.1:9000") as proxy:`` and let the client use ``proxy.url``."""

    def __init__(self, upstream: str, *, latency: float = 0) -> None:
        super().__init__(upstream)
        self.latency = latency
        """Seconds that every request waits, whatever else happens to it."""
        self.faults: list[Fault] = []

    def add(self, **fault: object) -> Fault:
        """``add(match="^GET", times=2, status=503)``; of several that match, the first set decides."""
        added = Fault(**fault)  # type: ignore[arg-type]
        added.chance = random.Random(len(self.faults))
        self.faults.append(added)
        return added

    def clear(self) -> None:
        """Forgets faults and counts."""
        self.faults.clear()
        self.requests.clear()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, and the one that belongs to it upstream."""
        upstream: Streams | None = None
        try:
            while (head := await read_head(reader)) is not None:
                fault = self._fault(head.first)
                await asyncio.sleep(self.latency + fault.latency)
                if fault.status is not None:
                    await _answer(reader, writer, head, fault)
                else:
                    upstream = upstream or await asyncio.open_connection(*self._upstream, limit=1 << 20)
                    await _forward((reader, writer), upstream, head, fault)
        except (*GONE, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, upstream[1] if upstream else None):
                if one:
                    one.close()

    def _fault(self, line: str) -> Fault:
        self.requests.append(line)
        return next((fault for fault in list(self.faults) if fault.hits(line)), Fault())


@dataclass
class Head:
    """The start of a message, and how its body ends (RFC 9112, 6)."""

    raw: bytes
    first: str
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def status(self) -> int:
        return int(self.first.split()[1])

    def without(self, name: str) -> bytes:
        return re.sub(rb"(?i)\r\n" + name.encode() + rb":[^\r]*", b"", self.raw)


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """None when the other side has closed between two messages."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        if not exc.partial:
            return None
        raise
    first, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return Head(raw, first, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head, fault: Fault) -> None:
    """Answers in the server's place; the connection lives on when the body is out of the way."""
    waits = head.headers.get("expect", "").lower() == "100-continue"
    if not waits:
        await _pump(pieces_of(reader, head), None)
    headers = {"content-length": str(len(fault.body)), **fault.headers}
    if waits:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = b"" if head.first.startswith("HEAD ") else fault.body
    writer.write(f"HTTP/1.1 {fault.status} Fault\r\n{lines}\r\n".encode() + body)
    await writer.drain()
    if waits:
        raise ConnectionResetError


async def _forward(client: Streams, upstream: Streams, head: Head, fault: Fault) -> None:
    """Request there, response back, at the same time: the server may answer before it has the whole body."""
    upstream[1].write(head.without(fault.drop) if fault.drop else head.raw)
    both = [
        asyncio.create_task(_upload(client[0], upstream[1], head, fault)),
        asyncio.create_task(_respond(upstream[0], client[1], head, fault)),
    ]
    done, pending = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def _upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head, fault: Fault) -> None:
    await _pump(pieces_of(reader, head), writer, fault.cut_upload, fault.corrupt_upload, fault.throttle)


async def _respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Head, fault: Fault) -> None:
    waits = "expect" in request.headers
    while (head := await read_head(reader)) is not None:
        if head.status >= 200 and fault.rewrite:
            break
        writer.write(head.raw)
        await writer.drain()
        if head.status >= 200:
            break
        waits = False
    if head is None:
        raise ConnectionResetError
    if fault.rewrite:
        await _rewrite(reader, writer, request, head, fault.rewrite)
    elif not request.first.startswith("HEAD ") and head.status not in (204, 304):
        await _pump(pieces_of(reader, head), writer, fault.cut, fault.corrupt, fault.throttle)
    if waits or "close" in head.headers.get("connection", "").lower():
        raise ConnectionResetError  # a body that was not asked for does not come


async def _rewrite(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: Head,
    head: Head,
    rewrite: Callable[[Answer], Answer | None],
) -> None:
    is_head = request.first.startswith("HEAD ")
    body = b""
    if not is_head and head.status not in (204, 304):
        body = b"".join([data async for data, is_content in pieces_of(reader, head) if is_content])
    headers = {name: value for name, value in head.headers.items() if name != "transfer-encoding"}
    answer = rewrite(Answer(head.status, headers, body, request.first, request.headers))
    if answer is None:
        raise ConnectionResetError
    if not is_head and answer.status != 204:
        length = len(answer.body) if answer.length is None else answer.length
        answer.headers["content-length"] = str(length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    content = b"" if is_head else answer.body
    writer.write(f"HTTP/1.1 {answer.status} Rewritten\r\n{lines}\r\n".encode("latin-1") + content)
    await writer.drain()
    if answer.length is not None and answer.length != len(answer.body):
        raise ConnectionResetError


Pieces = AsyncIterator[tuple[bytes, bool]]
"""Bytes of a body as they arrive, and whether they are content or only its framing."""


async def pieces_of(reader: asyncio.StreamReader, head: Head) -> Pieces:
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        size = -1
        while size:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            yield line, False
            yield await reader.readexactly(size), True
            while size == 0 and line != b"\r\n":  # trailers, then an empty line
                line = await reader.readuntil(b"\r\n")
                yield line, False
            if size:
                yield await reader.readexactly(2), False
    elif (length := head.headers.get("content-length")) is not None:
        left = int(length)
        while left:
            data = await reader.read(min(left, 1 << 16))
            if not data:
                raise ConnectionResetError
            left -= len(data)
            yield data, True
    elif head.first.startswith("HTTP/"):
        while data := await reader.read(1 << 16):
            yield data, True
        raise ConnectionResetError  # the end of the connection was the end of the body


async def _pump(
    pieces: Pieces,
    writer: asyncio.StreamWriter | None,
    cut: int | None = None,
    corrupt: int | None = None,
    throttle: int | None = None,
) -> None:
    """Carries a body over, byte for byte but for what the fault says; ``writer`` None throws it away."""
    at = 0
    async for data, is_content in pieces:
        if is_content:
            start, at = at, at + len(data)
            data = _changed(data, corrupt - start) if corrupt is not None else data
            data = data if cut is None else data[: max(0, cut - start)]
        if throttle:
            await asyncio.sleep(len(data) / throttle)
        if writer:
            writer.write(data)
            await writer.drain()
        if cut is not None and at >= cut:
            raise ConnectionResetError
    if cut is not None:
        raise ConnectionResetError


def _changed(data: bytes, at: int) -> bytes:
    if not 0 <= at < len(data):
        return data
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
