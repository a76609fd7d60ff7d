"""A pooled HTTP/1.1 client for the data planes of both clouds, on asyncio.

One client serves S3 and OCI Object Storage: a request costs about a seventh of aiohttp's or awscrt's CPU
(figures in docs/adr/0001-http-client.md). Bodies are whole: a request's body is bytes, a response's body
arrives in one buffer, filled by the socket itself when it is large; larger objects travel in parts.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from keepstep import __version__
from keepstep.clouds.http_connection import SCRATCH, ClosedWhileIdle, Connection
from keepstep.clouds.http_connection import Buffer as Buffer
from keepstep.clouds.http_connection import Response as Response
from keepstep.clouds.http_connection import TooLarge as TooLarge
from keepstep.clouds.http_proxy import Proxy, proxy_for
from keepstep.clouds.racing import raced
from keepstep.clouds.tls import verified
from keepstep.errors import ConfigError, Transient

HeaderList = Iterable[tuple[str, str]]

USER_AGENT = f"keepstep/{__version__}"
"""How every request names its sender (RFC 9110, section 10.1.5), for access logs and firewalls."""
_CONNECTS = 64
"""Connections that are being opened at a time; more would overflow the queue of many a server (listen(2))."""
_AS_IT_IS = ("accept-encoding", "identity")
"""Documents are asked for uncompressed; how an object is asked for is the caller's."""
_SENDER = f"user-agent: {USER_AGENT}\r\n"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``idle`` is the longest silence while a request is under way, not its whole length.

    It is also the time over which the least rate is measured; see :mod:`.http_pace`.
    """

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

    def __init__(
        self,
        origin: str,
        *,
        ca_bundle: str | None = None,
        ca_setting: str = "AWS_CA_BUNDLE or --ca-bundle",
        timeouts: Timeouts | None = None,
    ) -> None:
        """``ca_setting`` is what names a CA bundle to the user, for the hint of an error."""
        scheme, self.netloc, self.host, self.port = _split(origin)
        self.traffic = Traffic()
        self._timeouts = timeouts or Timeouts()
        self._tls = _tls_context(ca_bundle) if scheme == "https" else None
        self._ca_setting = ca_setting
        self._proxy = proxy_for(scheme, self.netloc)
        self._scratch = memoryview(bytearray(SCRATCH))
        self._gate = asyncio.Semaphore(_CONNECTS)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._watch: asyncio.Task[None] | None = None
        self._is_closed = False

    async def request(
        self,
        method: str,
        target: str,
        headers: HeaderList,
        body: Buffer = b"",
        *,
        most: int | None = None,
        is_slow: bool = False,
    ) -> Response:
        """Sends one request and returns the whole answer, whatever its status.

        ``target`` is the raw path and query, already percent-encoded; ``headers`` carry everything but
        ``content-length``. A kept connection that the server closed before its answer began is replaced without
        a word, so a request must be one that may be repeated, as every request to an object store is.
        ``is_slow`` allows an answer that drips, for operations that keep the line open with blanks.
        Raises :class:`TooLarge` when the body of a success would have more than ``most`` bytes.
        """
        self.traffic.requests[method] += 1
        self.traffic.sent += len(body)
        if self._proxy and not self._tls:
            target = f"http://{self.netloc}{target}"
            headers = [*headers, *self._proxy.headers]
        if most is None:
            headers = [*headers, _AS_IT_IS]
        head = _head(method, target, headers, len(body) if body or method in ("PUT", "POST") else None)
        while True:
            connection, is_reused = await self._connection()
            try:
                response = await connection.exchange(
                    head, body, bodiless=method == "HEAD", most=most, is_slow=is_slow
                )
            except ClosedWhileIdle as exc:
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
            if response.status == 407 and self._proxy:
                said = f"the proxy {self._proxy.host}:{self._proxy.port} answered 407 to {method} {self.netloc}"
                raise ConfigError(
                    said, hint="write user and password into HTTP_PROXY: http://user:password@host:port"
                )
            return response

    async def close(self) -> None:
        """Closes every connection; requests under way fail."""
        self._is_closed = True
        if self._watch:
            self._watch.cancel()
            self._watch = None
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()

    async def _connection(self) -> tuple[Connection, bool]:
        if self._is_closed:
            raise Transient(f"the connections to {self.netloc} have been closed")
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.is_quiet:
                return connection, True
            connection.abort()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_silence())
        return await self._connect(), False

    async def _connect(self) -> Connection:
        host, port = (self._proxy.host, self._proxy.port) if self._proxy else (self.host, self.port)
        connection = Connection(self.netloc, self._scratch, self._all.discard)
        self._all.add(connection)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._open(connection, host, port)
        except BaseException as exc:
            self._all.discard(connection)
            connection.abort()
            if isinstance(exc, ssl.SSLCertVerificationError):
                raise ConfigError(
                    f"{self.netloc} could not prove its name: {exc.verify_message}",
                    hint=f"name the CA file that signed its certificate in {self._ca_setting}",
                ) from exc
            if isinstance(exc, TimeoutError):
                raise Transient(f"no connection to {host}:{port} within {self._timeouts.connect:.0f} s") from exc
            if isinstance(exc, OSError):
                raise Transient(
                    f"cannot connect to {host}:{port}: {exc.strerror or exc}",
                    hint="check the address (endpoint, region, proxy) and that this machine may reach it",
                ) from exc
            if isinstance(exc, ClosedWhileIdle):
                raise Transient(f"the proxy {host}:{port} closed the connection without an answer") from exc
            raise
        return connection

    async def _open(self, connection: Connection, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        async with self._gate:
            sock = await raced(host, port)
        tls = None if self._proxy else self._tls
        try:
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=tls, server_hostname=self.host if tls else None
            )
        except BaseException:
            sock.close()
            raise
        if self._proxy and self._tls:
            await self._tunnel(connection, self._proxy)

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        """Asks the proxy for a way to the origin (RFC 9110, section 9.3.6), then speaks TLS through it."""
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        head = _head("CONNECT", where, [("host", where), *proxy.headers], None)
        answer = await connection.exchange(head, bodiless=True)
        if connection.has_extra and answer.status < 300:
            raise Transient(f"the proxy {proxy.host}:{proxy.port} sent more than its answer to CONNECT {where}")
        said = f"the proxy {proxy.host}:{proxy.port} answered {answer.status} to CONNECT {where}"
        if answer.status >= 500:
            raise Transient(said)
        if not 200 <= answer.status < 300:
            raise ConfigError(said, hint="check HTTPS_PROXY, ALL_PROXY and NO_PROXY")
        assert self._tls is not None and connection.transport is not None
        connection.transport = await asyncio.get_running_loop().start_tls(
            connection.transport, connection, self._tls, server_hostname=self.host
        )

    async def _watch_silence(self) -> None:
        """One task looks after all connections, so that a request needs no timer of its own."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self._timeouts.idle / 4, self._timeouts.keep / 4)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for connection in list(self._all):
                if connection.is_busy:
                    if complaint := connection.complaint(now, self._timeouts.idle):
                        connection.fail(Transient(f"{self.netloc} {complaint}"))
                        connection.abort()
                elif connection.transport and now - connection.pace.last > self._timeouts.keep:
                    connection.abort()


def _split(origin: str) -> tuple[str, str, str, int]:
    """Scheme, value of the ``host`` header, name and port. Raises :class:`ConfigError`."""
    url = urlsplit(origin)
    place = url.netloc.rpartition("@")[2]
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        port = 0
    if url.scheme not in ("http", "https") or not url.hostname or not port:
        raise ConfigError(
            f"not an http(s) address: {url.scheme}://{place}{url.path}", hint="write it as https://host[:port]"
        )
    return url.scheme, place, url.hostname, port


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        context = verified(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot read the CA file {ca_bundle}", hint="it must hold PEM certificates") from exc
    context.set_alpn_protocols(["http/1.1"])
    return context


def _head(method: str, target: str, headers: HeaderList, length: int | None) -> bytes:
    """Raises :class:`ConfigError` for what would begin a line, or a request, of its own."""
    lines = [f"{method} {target} HTTP/1.1\r\n", _SENDER, *[f"{name}: {value}\r\n" for name, value in headers]]
    if length is not None:
        lines.append(f"content-length: {length}\r\n")
    lines.append("\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text or " " in target:
        wrong = next((line for line in lines if _is_broken(line)), target)
        raise ConfigError(f"{wrong.partition(':')[0]!r} has a line break or a blank where there must be none")
    return text.encode("utf-8", "surrogateescape")


def _is_broken(line: str) -> bool:
    return "\0" in line or line.count("\n") > 1 or line.count("\r") > 1
