"""A PostgreSQL of the test's own: made in a second, on loopback, gone with the block."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import absent, free_port

_PASSWORD = "d8-Kq7vX2"


@dataclass(frozen=True)
class Server:
    """A server that runs. It listens on loopback, with a password."""

    url: str
    """Of an empty database."""
    port: int
    _control: tuple[object, ...]
    _options: str

    def restart(self) -> None:
        """As after a crash: sessions end without a word."""
        self.stop()
        self.start()

    def stop(self) -> None:
        _do(*self._control, "-m", "immediate", "stop")

    def start(self) -> None:
        _do(*self._control, "-w", "-t", "60", "-o", self._options, "start")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_server() as server:
        yield server.url


@contextlib.contextmanager
def postgres_server() -> Iterator[Server]:
    """Its folder is its user's, apart from pytest's, which every session closes to other users anew."""
    folder = Path(tempfile.mkdtemp(prefix="keepstep-postgres-"))
    try:
        with _serving(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[Server]:
    initdb, pg_ctl = (_tool(name) for name in ("initdb", "pg_ctl"))
    data, secret = folder / "data", folder / "password"
    secret.write_text(_PASSWORD)
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("postgres")
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        for each in (folder, secret):
            os.chown(each, user.pw_uid, user.pw_gid)
    port = free_port()
    _do(*as_user, initdb, "-D", data, "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-U", "admin")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    url = f"postgresql://admin:{_PASSWORD}@127.0.0.1:{port}/postgres"
    server = Server(url, port, (*as_user, pg_ctl, "-D", data, "-l", folder / "log"), options)
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(AssertionError):
            server.stop()


def _tool(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = str(places[0]) if places else shutil.which(name)
    return found or absent("PostgreSQL", "apt-get install postgresql")


def _do(*command: object) -> None:
    result = subprocess.run(
        [str(word) for word in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
