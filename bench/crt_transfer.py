"""awscrt's HTTP client and nothing else, as a contender: no signatures, no checksums, no files synced.

``python -m bench.crt_transfer up|down ORIGIN CA FOLDER COUNT`` moves so many objects between a bucket of
:mod:`bench.object_server` and a folder, over 16 connections.
"""

from __future__ import annotations

import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

from awscrt import http

from bench.http_clients import awscrt_connections


def main(direction: str, origin: str, ca: str, folder: str, count: str) -> None:
    netloc = origin.partition("://")[2]
    Path(folder).mkdir(exist_ok=True)
    numbers = iter(range(int(count)))
    lock, done = threading.Lock(), threading.Semaphore(0)

    def go(connection: Any) -> None:
        with lock:
            number = next(numbers, None)
        if number is None:
            done.release()
            return
        path = Path(folder) / f"{number:05}.bin"
        chunks: list[bytes] = []
        body = path.read_bytes() if direction == "up" else b""
        headers = http.HttpHeaders([("host", netloc), *([("content-length", str(len(body)))] if body else [])])
        method, bucket = ("PUT", "b") if body else ("GET", "a")
        stream = connection.request(
            http.HttpRequest(method, f"/{bucket}/{path.name}", headers, BytesIO(body) if body else None),
            lambda **_: None,
            lambda http_stream, chunk, **_: chunks.append(chunk),
        )
        stream.activate()

        def end(future: Any) -> None:
            future.result()
            if direction == "down":
                path.write_bytes(b"".join(chunks))
            go(connection)

        stream.completion_future.add_done_callback(end)

    connections = awscrt_connections(origin, ca)
    for connection in connections:
        go(connection)
    for _ in connections:
        done.acquire()


if __name__ == "__main__":
    main(*sys.argv[1:])
