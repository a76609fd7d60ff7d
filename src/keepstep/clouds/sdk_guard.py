"""The same rules for other clients as for ours: botocore, Docker's, and whatever uses requests.

They offer no place to hand in a limit, so that any of them would read an answer without end. All of them speak
through urllib3, and there three attributes decide: which class reads an answer, how a connection is made, and (in
requests) which proxy is used. They are replaced once a process; see docs/adr/0005-limits-for-sdks.md.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import time
from functools import cache
from typing import Any, TypeVar

from keepstep.clouds.http_proxy import proxy_url
from keepstep.clouds.racing import raced
from keepstep.errors import Error

E = TypeVar("E", bound=BaseException)

_MOST = 8 * 1024 * 1024
"""Bytes of an answer, head included. A secret has 64 KiB; the list of a thousand containers about 4 MiB."""
_MOST_ENCODED = 64 * 1024
"""Bytes of a compressed one, which may become a thousand times as many."""
_LONGEST = 60.0
"""Seconds from the first byte of an answer to its last. Before that, the client's own limit on silence holds."""


@cache
def guard() -> None:
    """From now on, in this process. Safe to call again, and from any thread."""
    import urllib3.connection
    import urllib3.util.connection

    urllib3.connection.HTTPConnection.response_class = LimitedResponse
    urllib3.util.connection.create_connection = _race(urllib3.util.connection.create_connection)


@cache
def guard_requests(requests: Any) -> None:
    """As :func:`guard`, for a copy of requests: proxies are chosen as everywhere else."""
    guard()
    for module in (requests.sessions, requests.utils):
        module.get_environ_proxies = _proxies


def _proxies(url: str, no_proxy: Any = None) -> dict[str, str]:
    proxy = proxy_url(url)
    return {"http": proxy, "https": proxy} if proxy else {}


class TooMuch(OSError):
    """An answer that is larger, or takes longer, than any of its kind."""


def ours(exc: BaseException) -> Error | None:
    """The error of ours at the bottom of a library's, which wraps it several times, also as an argument."""
    return _inner(exc, Error)


def too_much(exc: BaseException) -> TooMuch | None:
    """As :func:`ours`, for an answer that was too large or too slow."""
    return _inner(exc, TooMuch)


def _inner(exc: BaseException, kind: type[E]) -> E | None:
    seen: BaseException | None = exc
    while seen is not None and not isinstance(seen, kind):
        inner = next((argument for argument in seen.args if isinstance(argument, BaseException)), None)
        seen = inner or seen.__cause__ or seen.__context__
    return seen


class LimitedResponse(http.client.HTTPResponse):
    """An answer of limited size, which has to end in a limited time."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self._limited = _Limited(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._limited)

    def begin(self) -> None:
        super().begin()
        coding = self.getheader("content-encoding", "identity").strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._limited.left = min(self._limited.left, _MOST_ENCODED)
        elif coding not in ("", "identity"):
            raise TooMuch(f"the answer is in the encoding {coding!a:.40}, which was not asked for")


class _Limited(io.RawIOBase):
    """What a socket receives, and no more of it than an answer may have."""

    def __init__(self, raw: Any, sock: socket.socket) -> None:
        self.left = _MOST
        self._raw = raw
        self._sock = sock
        self._deadline: float | None = None

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def recv(self, count: int) -> bytes | None:
        """As a socket's, for whoever takes the connection over (Docker's exec)."""
        return self.read(count)

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer) if self._deadline is None else self._in_time(buffer, self._deadline)
        self._deadline = self._deadline or time.monotonic() + _LONGEST
        self.left -= count or 0
        if self.left < 0:
            raise TooMuch("the answer is larger than any of its kind")
        return int(count) if count is not None else None

    def _in_time(self, buffer: Any, deadline: float) -> Any:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooMuch(f"the answer did not end within {_LONGEST:g} s")
        usual = self._sock.gettimeout()
        if usual is not None and usual <= left:
            return self._raw.readinto(buffer)
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        except TimeoutError as exc:
            raise TooMuch(f"the answer did not end within {_LONGEST:g} s") from exc
        finally:
            self._sock.settimeout(usual)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def _race(plain: Any) -> Any:
    """urllib3's ``create_connection``, which races addresses instead of trying one after the other."""

    def create_connection(
        address: tuple[str, int], timeout: Any = None, source_address: Any = None, socket_options: Any = None
    ) -> socket.socket:
        if source_address is not None or _has_loop():
            connected: socket.socket = plain(address, timeout, source_address, socket_options)
            return connected
        limit = timeout if isinstance(timeout, int | float) else socket.getdefaulttimeout()
        sock = asyncio.run(_within(address[0].strip("[]"), address[1], limit))
        sock.settimeout(limit)
        for option in socket_options or ():
            sock.setsockopt(*option)
        return sock

    return create_connection


async def _within(host: str, port: int, limit: float | None) -> socket.socket:
    async with asyncio.timeout(limit):
        return await raced(host, port)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
