"""A wire between client and server that can be cut at the worst moment."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from enum import Enum

from tests.database_servers.listener import listening


class Cut(Enum):
    """When the next thing that the client says is the last of its connection."""

    NEVER = 0
    BEFORE = 1
    """The server does not hear it."""
    AFTER = 2
    """The server hears it and does it, but its answer is lost."""
    SILENCE = 3
    """Nothing is cut; but nobody hears anything any more."""


class Relay:
    """Forwards to a port of this machine."""

    def __init__(self, target: int) -> None:
        self.cut = Cut.NEVER
        self._target = target

    def serve(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            while self._forward(client, server):
                pass

    def _forward(self, client: socket.socket, server: socket.socket) -> bool:
        for source in select.select([client, server], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return False
            if self.cut is Cut.SILENCE:
                continue
            if source is server:
                client.sendall(data)
                continue
            if self.cut is Cut.BEFORE:
                return False
            server.sendall(data)
            if self.cut is Cut.AFTER:
                server.recv(1)
                return False
        return True


@contextlib.contextmanager
def relay(target: int) -> Iterator[tuple[Relay, int]]:
    """The relay, and the port that it listens on."""
    wire = Relay(target)
    with listening(wire.serve) as port:
        yield wire, port
