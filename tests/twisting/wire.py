"""Modes of HTTP itself: what stands before, around and behind a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain, repeat

from tests.twisting.exchange import Answer, Hangup, Request, Send, mode

_OK = b"HTTP/1.1 200 OK\r\n"
_ENOUGH = 1 << 28
"""Bytes after which a mode that has no end gives up: a client that took so much has no limit."""


async def _endless(first: bytes, piece: bytes) -> AsyncIterator[bytes]:
    block = piece * (1 + 65_536 // len(piece))
    for data in chain([first], repeat(block, _ENOUGH // len(block))):
        yield data


def _endless_mode(name: str, first: bytes, piece: bytes, promise: str) -> None:
    async def endless(request: Request, send: Send) -> Answer:
        return Answer(200, wire=_endless(first, piece))

    endless.__doc__ = promise
    mode(name=name)(endless)


_CHUNKED = _OK + b"transfer-encoding: chunked\r\n\r\n"
_endless_mode("endless-headers", _OK, b"x-more: " + b"y" * 1000 + b"\r\n", "Headers without end.")
_endless_mode("endless-header-line", _OK + b"x-long: ", b"y" * 1000, "One header without end.")
_endless_mode("endless-reason", b"HTTP/1.1 200 ", b"so good " * 100, "A reason phrase without end.")
_endless_mode(
    "endless-informational", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", "Hints without end, and no answer."
)
_endless_mode("endless-trailers", _CHUNKED + b"0\r\n", b"x-more: " + b"y" * 1000 + b"\r\n", "Trailers without end.")
_endless_mode("endless-extension", _CHUNKED + b"1;", b"a=b;" * 100, "An extension of a chunk without end.")
_endless_mode("endless-body", _OK + b"\r\n", b"<a>" * 1000, "A body without a length and without end.")
_endless_mode("not-http", b"", b"SSH-2.0-OpenSSH_9.2\r\n", "Another protocol on this port.")


async def _dripping(answer: Answer, pause: float) -> AsyncIterator[bytes]:
    yield _OK + f"content-length: {len(answer.body)}\r\n".encode()
    yield "".join(f"{n}: {v}\r\n" for n, v in answer.headers.items()).encode() + b"\r\n"
    for byte in answer.body:
        await asyncio.sleep(pause)
        yield bytes([byte])


@mode()
async def drips(request: Request, send: Send) -> Answer:
    """A byte of the body every second: never silent, and never done."""
    return Answer(200, wire=_dripping(await send(request), 1.0))


async def _chunked(answer: Answer, *trailers: bytes) -> AsyncIterator[bytes]:
    headers = "".join(f"{n}: {v}\r\n" for n, v in answer.headers.items())
    yield f"HTTP/1.1 {answer.status} OK\r\n{headers}transfer-encoding: chunked\r\n\r\n".encode()
    for start in range(0, len(answer.body), 50_000):
        piece = answer.body[start : start + 50_000]
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n" + b"".join(trailer + b"\r\n" for trailer in trailers) + b"\r\n"


@mode()
async def chunked(request: Request, send: Send) -> Answer:
    """Every body in chunks, every connection used once."""
    answer = await send(request)
    is_bare = request.method == "HEAD" or answer.status in (204, 304)
    return answer if is_bare else Answer(answer.status, wire=_chunked(answer))


@mode("GetObject", "PutObject", "UploadPart")
async def trailers_overwrite(request: Request, send: Send) -> Answer:
    """Trailers that name headers of the answer: its tag, its place, its metadata."""
    answer = await send(request)
    more = (b'etag: "00000000000000000000000000000000"', b"content-range: bytes 0-0/1", b"x-amz-meta-a: forged")
    return Answer(answer.status, wire=_chunked(answer, *more))


@mode()
async def closes_at_once(request: Request, send: Send) -> Answer:
    """Closes the connection at the first request of each, which was not done."""
    if request.again == 1:
        raise Hangup
    return await send(request)


@mode()
async def never_keeps_alive(request: Request, send: Send) -> Answer:
    """Every connection serves one request, and says so."""
    return (await send(request)).headed(connection="close")


@mode()
async def informational(request: Request, send: Send) -> Answer:
    """A hint before every answer (103, RFC 8297)."""
    answer = await send(request)

    async def hinted() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
        headers = "".join(f"{n}: {v}\r\n" for n, v in answer.headers.items() if n != "content-length")
        length = (
            answer.headers.get("content-length", len(answer.body)) if request.method == "HEAD" else len(answer.body)
        )
        said = "" if answer.status in (204, 304) else f"content-length: {length}\r\n"
        yield f"HTTP/1.1 {answer.status} OK\r\n{headers}{said}connection: close\r\n\r\n".encode() + answer.body

    return Answer(200, wire=hinted())
