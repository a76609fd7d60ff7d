"""What a daemon answers over HTTP: whether it lives, whether it is ready, and its metrics.

It is served by a thread of its own, so that it can still say so when the daemon itself is stuck.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from keepstep.errors import ConfigError, Error


def application(
    health: Callable[[], str], readiness: Callable[[], str], metrics: Callable[[], tuple[bytes, str]]
) -> Starlette:
    """``/healthz`` and ``/readyz`` answer 200, or 503 with the reason; ``/metrics`` as Prometheus reads it, or 503.

    ``metrics`` returns the body and its media type; it may block.
    """

    def probe(ask: Callable[[], str]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
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
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"cannot listen at {listen}: {exc}",
            hint="set [dashboard] listen to a free address, such as 127.0.0.1:0",
        ) from exc


class Web:
    """Serves an application until it is closed."""

    def __init__(self, app: Starlette, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)
