"""A pooled HTTP/1.1 client for the data planes of both clouds, on asyncio.

One client serves S3 and OCI Object Storage: a request costs about a seventh of aiohttp's or awscrt's CPU
(figures in docs/adr/0001-http-client.md). Bodies are whole: a request's body is bytes, a response's body
arrives in one buffer, filled by the socket itself when it is large; larger objects travel in parts.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import urllib.request
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote, urlsplit

import httptools

from keepstep.errors import ConfigError, Error, Transient

Buffer = bytes | bytearray | memoryview
HeaderList = Iterable[tuple[str, str]]

_SCRATCH = 64 * 1024
_DIRECT = 32 * 1024
"""Bodies of at least this many bytes are received straight into their own buffer."""


@dataclass(slots=True)
class Response:
    """A whole answer. Header names are in lower case; a repeated header keeps its last value."""

    status: int
    headers: dict[str, str]
    body: bytes | bytearray


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``idle`` is the longest silence while a request is under way, not its whole length."""

    connect: float = 15.0
    idle: float = 60.0
    keep: float = 20.0
    """Unused connections are closed after this long; S3 closes them itself a little later."""


@dataclass(slots=True)
class Traffic:
    """What a pool has sent and received, for run reports and tests."""

    requests: Counter[str] = field(default_factory=Counter)
    """By method."""
    sent: int = 0
    """Body bytes."""
    received: int = 0
    """Body bytes."""


class HttpPool:
    """Connections to one origin (``https://host[:port]``), kept open and reused, last used first.

    Safe to use from many tasks of one event loop. Faults of the wire are :class:`Transient`; whether a
    request may be repeated is the caller's knowledge. TLS is verified to the name.
    """

    def __init__(self, origin: str, *, ca_bundle: str | None = None, timeouts: Timeouts | None = None) -> None:
        url = urlsplit(origin)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(f"not an http(s) address: {origin}", hint="write it as https://host[:port]")
        self.host = url.hostname
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.netloc = url.netloc.rpartition("@")[2]
        """Value of the ``host`` header, to be signed by the caller."""
        self.traffic = Traffic()
        self._timeouts = timeouts or Timeouts()
        self._tls = _tls_context(ca_bundle) if url.scheme == "https" else None
        self._proxy = _proxy_for(url.scheme, self.netloc)
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._watch: asyncio.Task[None] | None = None

    async def request(
        self, method: str, target: str, headers: HeaderList, body: Buffer = b"", *, most: int | None = None
    ) -> Response:
        """Sends one request and returns the whole answer, whatever its status.

        ``target`` is the raw path and query, already percent-encoded; ``headers`` carry everything but
        ``content-length``. A kept connection that the server closed before its answer began is replaced without
        a word, so a request must be one that may be repeated, as every request to an object store is.
        Raises :class:`TooLarge` when the answer's body would have more than ``most`` bytes.
        """
        self.traffic.requests[method] += 1
        self.traffic.sent += len(body)
        if self._proxy and not self._tls:
            target = f"http://{self.netloc}{target}"
            headers = [*headers, *self._proxy.headers]
        head = _head(method, target, headers, len(body) if body or method in ("PUT", "POST") else None)
        while True:
            connection, is_reused = await self._connection()
            try:
                response = await connection.exchange(head, body, bodiless=method == "HEAD", most=most)
            except _ClosedWhileIdle as exc:
                if is_reused:
                    continue
                raise Transient(f"{self.netloc} closed the connection without an answer") from exc
            except BaseException:
                connection.abort()
                raise
            if connection.is_reusable:
                self._idle.append(connection)
            else:
                connection.abort()
            self.traffic.received += len(response.body)
            return response

    async def close(self) -> None:
        """Closes every connection; requests under way fail."""
        if self._watch:
            self._watch.cancel()
            self._watch = None
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()

    async def _connection(self) -> tuple[_Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection, True
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_silence())
        return await self._connect(), False

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host, port = (self._proxy.host, self._proxy.port) if self._proxy else (self.host, self.port)
        connection = _Connection(self)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if self._proxy and self._tls:
                    await loop.create_connection(lambda: connection, host, port)
                    await self._tunnel(connection, self._proxy)
                else:
                    await loop.create_connection(
                        lambda: connection,
                        host,
                        port,
                        ssl=self._tls,
                        server_hostname=self.host if self._tls else None,
                    )
        except ssl.SSLCertVerificationError as exc:
            raise ConfigError(
                f"{self.netloc} could not prove its name: {exc.verify_message}",
                hint="name the CA file that signed its certificate in AWS_CA_BUNDLE or --ca-bundle",
            ) from exc
        except TimeoutError as exc:
            raise Transient(f"no connection to {host}:{port} within {self._timeouts.connect:.0f} s") from exc
        except OSError as exc:
            raise Transient(f"cannot connect to {host}:{port}: {exc.strerror or exc}") from exc
        return connection

    async def _tunnel(self, connection: _Connection, proxy: _Proxy) -> None:
        """Asks the proxy for a way to the origin (RFC 9110, section 9.3.6), then speaks TLS through it."""
        where = f"{self.host}:{self.port}"
        answer = await connection.exchange(
            _head("CONNECT", where, [("host", where), *proxy.headers], None), b"", bodiless=True
        )
        if answer.status != 200:
            raise ConfigError(
                f"the proxy {proxy.host}:{proxy.port} answered {answer.status} to CONNECT {where}",
                hint="check HTTPS_PROXY and NO_PROXY",
            )
        assert self._tls is not None and connection.transport is not None
        loop = asyncio.get_running_loop()
        connection.transport = await loop.start_tls(
            connection.transport, connection, self._tls, server_hostname=self.host
        )

    async def _watch_silence(self) -> None:
        """One task looks after all connections, so that a request needs no timer of its own."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            now = loop.time()
            for connection in list(self._all):
                connection.note_sent(now)
                limit = self._timeouts.idle if connection.is_busy else self._timeouts.keep
                if now - connection.last_progress > limit:
                    connection.fail(Transient(f"{self.netloc} was silent for {limit:.0f} s"))
                    connection.abort()


class TooLarge(Error):
    """The answer would not fit into the memory that the caller gave it."""


class _ClosedWhileIdle(Exception):
    """The server closed the connection before the first byte of its answer."""


class _Connection(asyncio.BufferedProtocol):
    """One connection; one request at a time."""

    def __init__(self, pool: HttpPool) -> None:
        self.transport: asyncio.Transport | None = None
        self.last_progress = asyncio.get_running_loop().time()
        self.is_reusable = False
        self._unsent = 0
        self._most: int | None = None
        self._pool = pool
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._direct: memoryview | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._reset(bodiless=False)

    def _reset(self, *, bodiless: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._bodiless = bodiless
        self._has_answer = False
        self._is_complete = False
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._whole: bytearray | None = None
        self._filled = 0
        self._direct = None

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def is_busy(self) -> bool:
        return self._waiter is not None

    async def exchange(self, head: bytes, body: Buffer, *, bodiless: bool, most: int | None = None) -> Response:
        """Writes the request and waits for the whole answer."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise _ClosedWhileIdle
        loop = asyncio.get_running_loop()
        self._reset(bodiless=bodiless)
        self._most = most
        self.is_reusable = False
        self.last_progress = loop.time()
        self._waiter = loop.create_future()
        if len(body) <= _DIRECT:
            transport.write(head + body if body else head)
        else:
            transport.writelines((head, body))
        return await self._waiter

    def note_sent(self, now: float) -> None:
        """A body on its way out is progress too."""
        unsent = self.transport.get_write_buffer_size() if self.is_open and self.transport else 0
        if unsent != self._unsent:
            self._unsent = unsent
            self.last_progress = now

    def fail(self, error: BaseException) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._pool._all.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pool._all.discard(self)
        if not self._has_answer:
            self.fail(_ClosedWhileIdle())
        else:
            self.fail(Transient(f"{self._pool.netloc} cut the connection in the middle of an answer"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch if self._direct is None else self._direct

    def buffer_updated(self, nbytes: int) -> None:
        self.last_progress = asyncio.get_running_loop().time()
        if self._direct is not None:
            self._direct = self._direct[nbytes:]
            self._filled += nbytes
            if not self._direct:
                self._finish()
            return
        self._has_answer = True
        try:
            self._parser.feed_data(self._scratch[:nbytes])
        except httptools.HttpParserError as exc:
            self.fail(Transient(f"{self._pool.netloc} did not answer in HTTP: {exc}"))
            self.abort()
            return
        if self._is_complete:
            self._finish()
        elif self._whole is not None:
            self._direct = memoryview(self._whole)[self._filled :]

    # the parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        length = int(self._headers.get("content-length", "0"))
        if self._bodiless:
            self._is_complete = True
        elif self._most is not None and length > self._most:
            self.fail(TooLarge(f"{self._pool.netloc} answered with {length} bytes, {self._most} were expected"))
        elif length >= _DIRECT:
            self._whole = bytearray(length)

    def on_body(self, body: bytes) -> None:
        if self._whole is None:
            self._chunks.append(body)
        else:
            self._whole[self._filled : self._filled + len(body)] = body
            self._filled += len(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers = {}
        else:
            self._is_complete = True

    def _finish(self) -> None:
        self._direct = None
        waiter, self._waiter = self._waiter, None
        transport = self.transport
        # An answer that came before the request was sent whole leaves the rest of the request in the pipe.
        self.is_reusable = (
            transport is not None
            and self._headers.get("connection", "").lower() != "close"
            and transport.get_write_buffer_size() == 0
        )
        if waiter is not None and not waiter.done():
            body = self._whole if self._whole is not None else b"".join(self._chunks)
            waiter.set_result(Response(self._status, self._headers, body))


@dataclass(frozen=True)
class _Proxy:
    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def _proxy_for(scheme: str, netloc: str) -> _Proxy | None:
    """The proxy that ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` ask for, as urllib reads them."""
    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(netloc):
        return None
    url = urlsplit(address if "://" in address else f"http://{address}")
    if not url.hostname:
        raise ConfigError(f"{scheme.upper()}_PROXY is not an address", hint="write it as http://host:port")
    headers: tuple[tuple[str, str], ...] = ()
    if url.username:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers = (("proxy-authorization", "Basic " + base64.b64encode(user.encode()).decode()),)
    return _Proxy(url.hostname, url.port or 3128, headers)


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot read the CA file {ca_bundle}", hint="it must hold PEM certificates") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _head(method: str, target: str, headers: HeaderList, length: int | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1\r\n"]
    for name, value in headers:
        if "\n" in value or "\r" in value:
            raise ConfigError(f"the header {name} has a line break in its value")
        lines.append(f"{name}: {value}\r\n")
    if length is not None:
        lines.append(f"content-length: {length}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")
