"""Loopback addresses: a free one when none was asked for, and the same one after a restart."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.identity import write_private

HOST = "127.0.0.1"
RANGE = range(20000, 32768)
"""Below the ports that the kernel gives to clients, one of which could be taken just before it is needed."""
TRIES = 200


class Ports:
    """The ports of this folder's servers, kept in ``ports.json``."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ports.json"
        self._known: dict[str, int] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def listen(self, name: str, wanted: int) -> socket.socket:
        """A listening socket on ``wanted``; 0: on the port used before if it is free, otherwise on a free one.

        Raises :class:`ConfigError` when ``wanted`` is taken.
        """
        found = _bound(wanted or self._known.get(name, 0))
        if found is None and wanted:
            raise ConfigError(f"port {wanted} is in use", hint="choose another, or none: then a free one is taken")
        found = found or _bound_anywhere()
        self._known[name] = found.getsockname()[1]
        write_private(self._file, json.dumps(self._known).encode())
        return found


def _bound(port: int) -> socket.socket | None:
    if port == 0:
        return None
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        return None
    return listener


def _bound_anywhere() -> socket.socket:
    for _ in range(TRIES):
        if found := _bound(random.choice(RANGE)):
            return found
    raise ConfigError(f"no free port between {RANGE.start} and {RANGE.stop - 1}")
