"""A PostgreSQL of the test's own: made in a second, on loopback, gone with the block."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import absent, free_port

_PASSWORD = "d8-Kq7vX2"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database. Its server listens on loopback, with a password.

    Its folder is its user's, apart from pytest's, which every session closes to other users anew.
    """
    folder = Path(tempfile.mkdtemp(prefix="keepstep-postgres-"))
    try:
        with _serving(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[str]:
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
    _do(*as_user, pg_ctl, "-D", data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql://admin:{_PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        _do(*as_user, pg_ctl, "-D", data, "-m", "immediate", "stop")


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
