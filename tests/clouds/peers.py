"""Two clients of OCI's identity services side by side: ours, and Oracle's SDK, which is the authority on them.

Both meet the same local OCI, through a door that makes single answers odd.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import oci
from oci.auth.signers import (
    EphemeralResourcePrincipalSigner,
    InstancePrincipalsSecurityTokenSigner,
    get_resource_principals_signer,
)
from oci.circuit_breaker import NoCircuitBreakerStrategy

from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import OciSettings
from keepstep.clouds.oci_signing import SigningKey
from keepstep_localcloud.server import LocalCloud

Answer = tuple[int, dict[str, str], bytes]
Twist = Callable[[Answer], Answer | None]
"""What becomes of an answer; None cuts the connection without one."""


@dataclass
class Seen:
    """A request that came through the door."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Door:
    """A plain proxy in front of the local OCI. ``twists`` apply to paths that end so, in order, each once."""

    origin: str
    behind: str
    seen: list[Seen] = field(default_factory=list)
    twists: list[tuple[str, Twist]] = field(default_factory=list)
    for_ever: dict[str, Twist] = field(default_factory=dict)

    def once(self, path: str, twist: Twist, times: int = 1) -> None:
        self.twists += [(path, twist)] * times

    def paths(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.seen]

    def take(self, path: str) -> Twist | None:
        for index, (end, twist) in enumerate(self.twists):
            if path.endswith(end):
                del self.twists[index]
                return twist
        return next((twist for end, twist in self.for_ever.items() if path.endswith(end)), None)


@contextmanager
def door(cloud: LocalCloud) -> Iterator[Door]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            opened.seen.append(Seen(self.command, self.path, headers, body))
            twist = opened.take(self.path)
            answer: Answer | None = self.forwarded(body, headers)
            if twist is not None and answer is not None:
                answer = twist(answer)
            if answer is None:
                self.close_connection = True
                return
            status, more, content = answer
            self.send_response_only(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def forwarded(self, body: bytes, headers: dict[str, str]) -> Answer:
            connection = http.client.HTTPConnection(urlsplit(opened.behind).netloc, timeout=30)
            try:
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                kept = ("content-type", "opc-parent-rpt-url")
                found = {name.lower(): value for name, value in response.getheaders() if name.lower() in kept}
                return response.status, found, response.read()
            finally:
                connection.close()

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client has seen enough
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    opened = Door(f"http://127.0.0.1:{server.server_port}", cloud.endpoint)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield opened
    finally:
        server.shutdown()
        server.server_close()


def status(code: int, body: bytes = b'{"code": "X", "message": "y"}', **headers: str) -> Twist:
    return lambda answer: (code, {"content-type": "application/json", **headers}, body)


def body(content: bytes) -> Twist:
    return lambda answer: (answer[0], answer[1], content)


def late(seconds: float) -> Twist:
    def twist(answer: Answer) -> Answer:
        time.sleep(seconds)
        return answer

    return twist


def cut(answer: Answer) -> None:
    return None


class Brief:
    """The SDK's retries as they are, except for their pauses."""

    def __init__(self) -> None:
        self._strategy = (
            oci.retry.RetryStrategyBuilder(
                service_error_check=True,
                service_error_retry_config={-1: [], 429: [], 404: []},
                service_error_retry_on_any_5xx=True,
                retry_base_sleep_time_seconds=0.05,
                retry_max_wait_between_calls_seconds=0.1,
            )
            .add_max_attempts(4)
            .get_retry_strategy()
        )

    def make_retrying_call(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return self._strategy.make_retrying_call(call, *args, **more)


def sdk_instance(federation: str) -> Any:
    return InstancePrincipalsSecurityTokenSigner(
        federation_endpoint=federation,
        retry_strategy=Brief(),
        federation_client_retry_strategy=Brief(),
        federation_client_circuit_breaker_strategy=NoCircuitBreakerStrategy(),
    )


def sdk_resource() -> Any:
    return get_resource_principals_signer()


def sdk_function(**arguments: str) -> Any:
    return EphemeralResourcePrincipalSigner(**arguments)


def ours(auth: str) -> SigningKey:
    return asyncio.run(OciIdentity(OciSettings(auth=auth)).key())
