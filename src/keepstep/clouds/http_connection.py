"""One HTTP/1.1 connection (RFC 9112): a request at a time, its body sent as the other side takes it.

Everything that the other side sends is limited: the body by the caller, and what surrounds it (interim answers,
status line, headers, chunk framing, trailers) by a budget of bytes. :mod:`.http_pace` limits the time.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import quote

import httptools

from keepstep.clouds.blocks import BLOCKS, LEAST
from keepstep.clouds.http_pace import ExchangePace
from keepstep.errors import Error, Transient

Buffer = bytes | bytearray | memoryview

SCRATCH = 64 * 1024
"""Bytes that arrive at a time, until it is known how long the body is."""
_DIRECT = 32 * 1024
"""Bodies of at least this many bytes are received straight into their own buffer."""
_PIECE = 256 * 1024
"""Bytes of a body that are handed to the transport at a time."""
_MOST = 32 * 1024 * 1024
"""Bytes of an answer, where the caller says nothing."""
_MOST_ERROR = 1024 * 1024
"""Bytes of an answer that is not success, whatever the caller says."""
_MOST_AROUND = 64 * 1024
"""Bytes before, between and after the body. AWS and OCI send less than 8 KiB of headers."""
_AROUND_A_BYTE = 2
"""Bytes of framing that each byte of the body may cost: chunks of three bytes, on average."""
_MOST_INTERIM = 64
"""Interim answers (1xx) before the final one."""
_ONCE = frozenset(
    "content-encoding content-length content-range etag last-modified location transfer-encoding"
    " x-amz-bucket-region".split()
)
"""Headers whose repetition with another value leaves open what the answer means."""
_KEPT_AS_BYTES = (
    "x-amz-meta-",
    "opc-meta-",
    "content-type",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "server",
    "via",
    "x-cache",
)
"""Headers that may hold any bytes: they are stored with the object and written back unchanged, or never read."""


_NOTHING = bytes(4)
"""No bytes, as ioctl(2) counts them."""


@lru_cache(256)
def _lower(name: bytes) -> str:
    """A header's name. They are few, and come with every answer."""
    return name.decode("latin-1").lower()


@dataclass(slots=True)
class Response:
    """A whole answer. Header names are in lower case; a repeated header keeps its last value.

    Trailers are not part of it: they must not change what the headers said (RFC 9110, section 6.5.1).
    """

    status: int
    headers: dict[str, str]
    body: Buffer

    @property
    def location(self) -> str:
        """Where a redirect leads, for people to read: redirects are not followed. Empty where there is none."""
        raw = self.headers.get("location", "").encode("utf-8", "surrogateescape")
        return quote(raw[:200], safe="/:?#[]@!$&'()*+,;=%")

    @property
    def document(self) -> bytes | bytearray:
        """The body of an answer that is not an object's contents."""
        assert not isinstance(self.body, memoryview)
        return self.body


class TooLarge(Error):
    """The answer would not fit into the memory that the caller gave it."""


class ClosedWhileIdle(Exception):
    """The server closed the connection before the first byte of its answer."""


class Connection(asyncio.BufferedProtocol):
    """``name`` is how errors call the other side, ``scratch`` memory that connections of one loop may share."""

    def __init__(self, name: str, scratch: memoryview, on_lost: Callable[[Connection], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.pace = ExchangePace(asyncio.get_running_loop().time())
        self.is_reusable = False
        self.has_extra = False
        """Whether more came than the answer."""
        self._name = name
        self._scratch = scratch
        self._on_lost = on_lost
        self._descriptor = -1
        """Of the socket; used only while the transport is open."""
        self._room = asyncio.Event()
        self._room.set()
        self._waiter: asyncio.Future[Response] | None = None
        self._reset(bodiless=False, most=None)

    def _reset(self, *, bodiless: bool, most: int | None) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._is_bodiless = bodiless
        self._handed = 0
        self._most = _MOST if most is None else most
        self._is_data = most is not None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._wrong = ""
        self._interim = 0
        self._around = 0
        self._body = bytearray()
        self._whole: bytearray | memoryview | None = None
        self._direct: memoryview | None = None
        self._filled = 0
        self._has_answer = False
        self._is_alive = False
        self._is_sent = False
        self._is_complete = False
        self.has_extra = False

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """False when bytes wait to be read (FIONREAD): on an idle connection they answer no request."""
        try:
            return fcntl.ioctl(self._descriptor, termios.FIONREAD, _NOTHING) == _NOTHING
        except OSError:
            return False

    @property
    def is_busy(self) -> bool:
        return self._waiter is not None

    async def exchange(
        self,
        head: bytes,
        body: Buffer = b"",
        *,
        bodiless: bool = False,
        most: int | None = None,
        is_slow: bool = False,
    ) -> Response:
        """Writes the request and waits for the whole answer. A refusal may come before all of the body is sent.

        ``is_slow`` is for operations that keep the line open with a blank now and then (CompleteMultipartUpload).
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ClosedWhileIdle
        self._reset(bodiless=bodiless, most=most)
        self.is_reusable = False
        loop = asyncio.get_running_loop()
        self.pace.begin(loop.time(), len(head) + len(body), is_slow=is_slow)
        waiter: asyncio.Future[Response] = loop.create_future()
        self._waiter = waiter
        if len(body) <= SCRATCH:
            self._handed = len(head) + len(body)
            transport.write(head + body if body else head)
        else:
            self._handed = len(head)
            transport.write(head)
            await self._send(memoryview(body), transport, waiter)
        self._is_sent = not waiter.done()
        return await waiter

    async def _send(self, body: memoryview, transport: asyncio.Transport, waiter: asyncio.Future[Response]) -> None:
        for start in range(0, len(body), _PIECE):
            # Whatever has arrived is looked at first: nobody reads it once a write has failed.
            await asyncio.sleep(0)
            await self._room.wait()
            if waiter.done() or transport.is_closing():
                return
            transport.write(body[start : start + _PIECE])
            self._handed += min(_PIECE, len(body) - start)

    def complaint(self, now: float, idle: float) -> str | None:
        """What is wrong with the way this exchange moves, if anything; to be asked about once a second."""
        unsent = self.pace.size - self._handed
        if self.transport:
            unsent += self.transport.get_write_buffer_size() + self._queued()
        return self.pace.complaint(now, unsent, idle, has_head=self._status > 0)

    def _queued(self) -> int:
        """Bytes that the other side has not acknowledged (tcp(7), SIOCOUTQ)."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, _NOTHING))[0])
        except OSError:
            return 0

    def fail(self, error: BaseException) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            self._room.set()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._descriptor = transport.get_extra_info("socket").fileno()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_lost(self)
        # Without a length the end of the connection is the end of the body. That is believed of refusals only.
        is_unmeasured = not {"content-length", "transfer-encoding"} & self._headers.keys()
        if exc is None and self._status >= 300 and is_unmeasured:
            self._finish()
        elif self._has_answer:
            self.fail(Transient(f"{self._name} cut the connection in the middle of an answer"))
        else:
            self.fail(ClosedWhileIdle())

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch if self._direct is None else self._direct

    def buffer_updated(self, nbytes: int) -> None:
        self.pace.last = asyncio.get_running_loop().time()
        self.pace.taken += nbytes
        if self._waiter is None:
            self.abort()  # nobody asked
        elif self._direct is not None:
            self._direct = self._direct[nbytes:]
            if not self._direct:
                self._finish()
        else:
            self._parse(self._scratch[:nbytes])

    def _parse(self, data: memoryview) -> None:
        self._has_answer = True
        self._around += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self.has_extra = True
            if not self._is_complete:
                self._refuse(f"did not answer in HTTP: {exc}")
                return
        if self._is_complete:
            self._finish()
        elif self._around > _MOST_AROUND + _AROUND_A_BYTE * self._filled:
            self._refuse(f"sent more than {_MOST_AROUND} bytes around the body of an answer")
        elif self._whole is not None:
            self._direct = memoryview(self._whole)[self._filled :]

    def _refuse(self, why: str) -> None:
        self.fail(Transient(f"{self._name} {why}"))
        self.abort()

    # the parser's side

    def on_message_begin(self) -> None:
        self.has_extra = self._is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer
        lower, headers = _lower(name), self._headers
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("utf-8", "surrogateescape")
            if not lower.startswith(_KEPT_AS_BYTES):
                self._wrong = f"sent the header {lower} in another encoding than UTF-8"
        if lower in headers and lower in _ONCE and (headers[lower] != text or lower == "transfer-encoding"):
            self._wrong = f"sent the header {lower} twice"
        headers[lower] = text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._is_complete or status < 200:
            return
        self._status = status
        self._is_alive = self._parser.should_keep_alive()
        if status >= 300:
            self._most = _MOST_ERROR
        headers = self._headers
        if "transfer-encoding" in headers and headers["transfer-encoding"].lower() != "chunked":
            coding = headers["transfer-encoding"]
            self._wrong = f"answered in the transfer encoding {coding!a:.80}, which was not asked for"
        elif "content-encoding" in headers and not (self._is_data or self._is_bodiless or status >= 300):
            coding = headers["content-encoding"]
            if coding.lower() not in ("", "identity", "aws-chunked"):
                self._wrong = f"answered in the encoding {coding!a:.80}, which was not asked for"
        if self._wrong:
            self._refuse(self._wrong)
            return
        if self._is_bodiless or status in (204, 304):
            self._is_complete = True
            return
        length = int(headers.get("content-length", "0"))
        if self._fits(length) and length >= _DIRECT:
            is_large = self._is_data and status < 300 and length >= LEAST
            self._whole = BLOCKS.take(length) if is_large else bytearray(length)

    def on_body(self, body: bytes) -> None:
        if self._is_complete:
            self.has_extra = True
            return
        if self._whole is not None:
            self._whole[self._filled : self._filled + len(body)] = body
        elif self._fits(self._filled + len(body)):
            self._body += body
        self._filled += len(body)
        self._around -= len(body)

    def on_message_complete(self) -> None:
        if self._status:
            self._is_complete = True
            return
        self._headers, self._wrong = {}, ""  # those of an interim answer (1xx)
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            self._refuse(f"sent more than {_MOST_INTERIM} interim answers")

    def _fits(self, size: int) -> bool:
        if size > self._most:
            self.fail(TooLarge(f"{self._name} answered with more than the {self._most} bytes that were expected"))
        return size <= self._most

    def _finish(self) -> None:
        self._direct = None
        waiter, self._waiter = self._waiter, None
        transport = self.transport
        # An answer that came before the request was sent whole leaves the rest of the request in the pipe.
        is_idle = self._is_sent and transport is not None and transport.get_write_buffer_size() == 0
        self.is_reusable = self._is_alive and is_idle and not self.has_extra
        if waiter is not None and not waiter.done():
            body = self._whole if self._whole is not None else self._body
            self._whole, self._body = None, bytearray()  # an idle connection must not hold on to them
            if is_idle or self._status >= 300:
                waiter.set_result(Response(self._status, self._headers, body))
            else:
                waiter.set_exception(Transient(f"{self._name} reported success before the request was sent"))
            self._room.set()
