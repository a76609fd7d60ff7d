"""Files in an empty home, a clock to wind, a small HTTP server, a local OCI."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from keepstep.clock import SystemClock
from keepstep_localcloud.server import LocalCloud

T = TypeVar("T")


@pytest.fixture
def write(nobodys_machine: Path) -> Callable[..., Path]:
    """``write(".aws/config", text)``: a file below the home, with mode 0600 unless said otherwise."""

    def write_file(name: str, text: str, mode: int = 0o600) -> Path:
        path = nobodys_machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode | stat.S_IRUSR)
        return path

    return write_file


class HandClock(SystemClock):
    """The machine's clock, and what a test has wound it forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return asyncio.run


class Answers:
    """A small HTTP server on loopback: ``answers[path]`` is a body, or a status and a body."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        """Method, raw path, headers in lower case, body; in order."""
        self.answers: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                found = outer.answers.get(self.path.partition("?")[0], (404, "not here"))
                status, text = found if isinstance(found, tuple) else (200, found)
                self.send_response(status)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = answer

            def log_request(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.close()


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """A local OCI that is found by OCI_ENDPOINT_URL and the metadata address, not by any configuration."""
    for name in ("OCI_ENDPOINT_URL", "OCI_METADATA_BASE_URL"):
        monkeypatch.setenv(name, _cloud.env[name])
    yield _cloud
    _cloud.clear_faults()
