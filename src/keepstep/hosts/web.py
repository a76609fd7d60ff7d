"""Serves health, readiness, metrics and the status page of a daemon over HTTP.

It runs in a separate thread, so that it can still report when the daemon itself is stuck. Clients cannot harm the
jobs: the number of connections is limited, each must make progress with its request, and the oldest that does not
is closed to make room. So half-open connections never use up the descriptors that runs need, and probes are
answered even while a client opens thousands.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from keepstep.errors import ConfigError, Error
from keepstep.monitoring.listen import Listen

_CONNECTIONS = 64
"""Maximum open connections."""
_BACKLOG = 16
"""Listen backlog; asyncio accepts as many at once before it handles any of them."""
_REQUEST = 10.0
"""Seconds for a request to arrive, including its body."""
_RESPONSE = 60.0
"""Seconds for the response to a received request to be produced and read; streams are exempt."""
_STREAMS = ("/live",)


def application(
    health: Callable[[], str], readiness: Callable[[], str], metrics: Callable[[], tuple[bytes, str]]
) -> Starlette:
    """``/healthz`` and ``/readyz`` return 200, or 503 with the reason; ``/metrics`` returns metrics, or 503.

    ``metrics`` returns the body and its media type; it may block.
    """

    def probe(ask: Callable[[], str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            why = ask()
            return PlainTextResponse((why or "ok") + "\n", 503 if why else 200)

        return answer

    def scrape(request: Request) -> Response:
        try:
            body, media_type = metrics()
        except Error as exc:
            return PlainTextResponse(f"{exc.message}\n", 503)
        return Response(body, media_type=media_type)

    return Starlette(
        routes=[
            Route("/healthz", probe(health)),
            Route("/readyz", probe(readiness)),
            Route("/metrics", scrape),
        ]
    )


def bind(listen: str) -> socket.socket:
    """A listening socket at ``host:port``. Raises :class:`ConfigError`."""
    try:
        place = Listen.parse(listen)
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        return socket.create_server((place.host, place.port), family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"cannot listen on {listen}: {exc}",
            hint="set [dashboard] listen to a free address, such as 127.0.0.1:0",
        ) from exc


class _Limited(H11Protocol):
    """A connection that is closed if it makes no progress, or if others need its place."""

    open: dict[_Limited, None]
    """The connections of one server, oldest first; set by :class:`Web`."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.open[self] = None
        self._limit(_REQUEST)
        if len(self.open) > _CONNECTIONS:
            waiting = next((each for each in self.open if each.is_waiting), next(iter(self.open)))
            waiting.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.open.pop(self, None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # The request has arrived; its response has a separate limit.
            self._limit(_RESPONSE if self.scope.get("path") not in _STREAMS else None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._limit(_REQUEST)

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def abort(self) -> None:
        self._stop()
        self.open.pop(self, None)
        self.transport.abort()

    def _limit(self, seconds: float | None) -> None:
        self._stop()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Web:
    """Serves an application until it is closed."""

    def __init__(self, app: Starlette, listening: socket.socket) -> None:
        protocol = type("Limited", (_Limited,), {"open": {}})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            backlog=_BACKLOG,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)
