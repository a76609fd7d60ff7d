"""HTTP/1.1 for the local AWS: connections that stay open, raw targets, one thread a connection.

werkzeug's server closes the connection after every request, because it cannot know whether the application has read
the body. Here the body is read whole before anybody answers, so the next request always starts where it should.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    """Raw path and query, percent-encoded as the client sent them."""
    headers: Mapping[str, str]
    """Names in lower case; repeated ones joined with commas (RFC 9110, 5.3)."""
    body: bytes

    @property
    def path(self) -> str:
        """The raw path, without the query."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """Decoded; the last value wins; a name without a value has an empty one."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass
class Response:
    """What the client gets."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Close the connection after this many bytes of the body."""
    lost: bool = False
    """Close the connection without a word."""


class Server(ThreadingHTTPServer):
    """Serves ``answer`` on loopback until :meth:`stop`; connections that are open then are closed."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, host: str, port: int, answer: Callable[[Request], Response]) -> None:
        super().__init__((host, port), _Handler)
        self.host = host
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="local-aws", daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError | ValueError):
            traceback.print_exc()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._open):
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Nothing is logged: targets hold presigned signatures."""

    def _answer(self) -> None:
        # self.path has lost repeated leading slashes (CPython gh-87389); S3 keys may start with them.
        target = re.sub(r"\Ahttp://[^/?]*", "", self.requestline.split(" ")[1])
        request = Request(self.command, target, self._headers(), self._body())
        try:
            response = self.server.answer(request)
        except Exception:  # noqa: BLE001 - whatever breaks in moto is the client's 500
            traceback.print_exc()
            response = Response(500, b"InternalError")
        self.close_connection |= response.lost or response.cut is not None
        if not response.lost:
            self._send(response)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = _answer  # noqa: N815

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in self.headers.items():
            name = name.lower()
            found[name] = f"{found[name]},{value}" if name in found else value
        return found

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        return self._exactly(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self._exactly(size)
        while self.rfile.readline().strip():  # after the last chunk there may be trailers (RFC 9112, 7.1.2)
            continue
        return data

    def _exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionResetError("the client went away in the middle of a body")
        return data

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status, http.client.responses.get(response.status, ""))
        headers = {
            "date": email.utils.formatdate(usegmt=True),
            **{k.lower(): v for k, v in response.headers.items()},
        }
        if response.status not in (204, 304) and self.command != "HEAD":
            headers["content-length"] = str(len(response.body))
        if self.close_connection:
            headers["connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and response.status not in (204, 304):
            self.wfile.write(response.body[: response.cut])
