"""What a request costs its client: ours against awscrt, aiohttp and urllib3. ``python -m bench.http_clients``

A fixed server in a process of its own answers 16 KiB to GET and nothing to a PUT of 4 KiB; each client runs in a
process of its own, 16 connections, and counts its own user and system time. Printed is the median of the runs, over
plain HTTP and over TLS.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.fixed_server import certificate

REQUESTS = 4000
CONNECTIONS = 16
RUNS = 5
BODY = b"y" * 4096
HEADERS = [("date", "Sun, 22 Nov 2026 06:00:00 GMT"), ("authorization", "x" * 600)]
CLIENTS = ("keepstep", "aiohttp", "awscrt", "urllib3")


def main() -> None:
    """Runs the table, or as a child one client."""
    if len(sys.argv) > 1:
        print(measure(*sys.argv[1:]))
        return
    print(f"{'client CPU per request, ms':28}" + "".join(f"{name:>10}" for name in CLIENTS))
    with tempfile.TemporaryDirectory() as folder:
        for scheme in ("http", "https"):
            with server(scheme, Path(folder)) as port:
                for method in ("GET", "PUT"):
                    runs: dict[str, list[float]] = {name: [] for name in CLIENTS}
                    for _ in range(RUNS):
                        for name in CLIENTS:
                            runs[name].append(child(name, method, scheme, port, folder))
                    row = "".join(f"{statistics.median(runs[name]):10.3f}" for name in CLIENTS)
                    print(f"{scheme} {method} {'16 KiB' if method == 'GET' else '4 KiB':20}"[:28].ljust(28) + row)


class server:  # noqa: N801
    """The fixed server, in a process of its own."""

    def __init__(self, scheme: str, folder: Path) -> None:
        certificate(folder)
        self._command = [sys.executable, "-m", "bench.fixed_server", scheme, str(folder)]

    def __enter__(self) -> int:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def child(*words: object) -> float:
    command = [sys.executable, "-m", "bench.http_clients", *map(str, words)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(name: str, method: str, scheme: str, port: str, folder: str) -> float:
    """CPU milliseconds per request, imports and connections not counted in full: the first requests warm up."""
    work = globals()[f"_{name}"](method, f"{scheme}://localhost:{port}", f"{folder}/cert.pem")
    work(CONNECTIONS * 4)
    before = resource.getrusage(resource.RUSAGE_SELF)
    work(REQUESTS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / REQUESTS * 1000


def _in_tasks(
    start: Callable[[], Awaitable[Any]], request: Callable[[Any], Awaitable[Any]]
) -> Callable[[int], None]:
    """Runs so many requests from as many tasks as there are connections, on one loop that lives on."""
    import uvloop

    loop = uvloop.new_event_loop()
    client = loop.run_until_complete(start())

    async def main(count: int) -> None:
        numbers = iter(range(count))

        async def task() -> None:
            for _ in numbers:
                await request(client)

        await asyncio.gather(*(task() for _ in range(CONNECTIONS)))

    return lambda count: loop.run_until_complete(main(count))


def _keepstep(method: str, origin: str, ca: str) -> Callable[[int], None]:
    from keepstep.clouds.http import HttpPool

    async def start() -> HttpPool:
        return HttpPool(origin, ca_bundle=ca)

    body = BODY if method == "PUT" else b""
    headers = [("host", origin.partition("//")[2]), *HEADERS]
    return _in_tasks(start, lambda pool: pool.request(method, "/x", headers, body))


def _aiohttp(method: str, origin: str, ca: str) -> Callable[[int], None]:
    import aiohttp

    async def start() -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=ca)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context)
        return aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def request(session: aiohttp.ClientSession) -> None:
        body = BODY if method == "PUT" else None
        async with session.request(method, f"{origin}/x", headers=dict(HEADERS), data=body) as response:
            await response.read()

    return _in_tasks(start, request)


def _urllib3(method: str, origin: str, ca: str) -> Callable[[int], None]:
    import urllib3

    pool = urllib3.PoolManager(maxsize=CONNECTIONS, ca_certs=ca)

    def work(count: int) -> None:
        numbers: Iterator[int] = iter(range(count))
        lock = threading.Lock()

        def thread() -> None:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                body = BODY if method == "PUT" else None
                pool.request(method, f"{origin}/x", headers=dict(HEADERS), body=body).data  # noqa: B018

        threads = [threading.Thread(target=thread) for _ in range(CONNECTIONS)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    return work


def awscrt_connections(origin: str, ca: str) -> list[Any]:
    """Open ones, :data:`CONNECTIONS` of them, to a server on this machine."""
    from awscrt import http, io

    group = io.EventLoopGroup(2)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    tls: Any = None
    scheme, _, netloc = origin.partition("://")
    if scheme == "https":
        options = io.TlsContextOptions()
        options.override_default_trust_store_from_path(None, ca)
        tls = io.ClientTlsContext(options).new_connection_options()
        tls.set_server_name("localhost")
    port = int(netloc.rpartition(":")[2])
    return [
        http.HttpClientConnection.new("localhost", port, bootstrap, tls_connection_options=tls).result()
        for _ in range(CONNECTIONS)
    ]


def _awscrt(method: str, origin: str, ca: str) -> Callable[[int], None]:
    from awscrt import http

    netloc = origin.partition("://")[2]
    connections = awscrt_connections(origin, ca)

    def work(count: int) -> None:
        numbers = iter(range(count))
        lock, done = threading.Lock(), threading.Semaphore(0)

        def go(connection: Any) -> None:
            with lock:
                number = next(numbers, None)
            if number is None:
                done.release()
                return
            chunks: list[bytes] = []
            extra = [("content-length", str(len(BODY)))] if method == "PUT" else []
            headers = http.HttpHeaders([("host", netloc), *HEADERS, *extra])
            request = http.HttpRequest(method, "/x", headers, BytesIO(BODY) if method == "PUT" else None)
            stream = connection.request(
                request, lambda **_: None, lambda http_stream, chunk, **_: chunks.append(chunk)
            )
            stream.activate()
            stream.completion_future.add_done_callback(lambda _: go(connection))

        for connection in connections:
            go(connection)
        for _ in connections:
            done.acquire()

    return work


if __name__ == "__main__":
    main()
