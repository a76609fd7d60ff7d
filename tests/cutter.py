"""A proxy on loopback for any TCP, whose network can be cut: refused, or, worse, silent."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import Self


class Cutter:
    """``with Cutter(port) as proxy:`` and let the client use ``proxy.port``. One thread carries all connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._wake, self._waker = socket.socketpair()
        self._lock = threading.Lock()
        self.is_cut = self.is_silent = self._is_over = False
        self._thread = threading.Thread(target=self._run, name="cutter", daemon=True)

    def cut(self) -> None:
        """Ends every connection, and every new one at once."""
        with self._lock:
            self.is_cut = True
            for each in list(self._pairs):
                self._close(each)
        self._waker.send(b".")

    def silence(self) -> None:
        """Nothing arrives any more, and nobody is told: data is acknowledged and lies."""
        self.is_silent = True
        self._waker.send(b".")

    def mend(self) -> None:
        """What lay is delivered."""
        self.is_cut = self.is_silent = False
        self._waker.send(b".")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._waker.send(b".")
        self._thread.join()
        for each in [*self._pairs, self._listening, self._wake, self._waker]:
            each.close()

    def _run(self) -> None:
        while not self._is_over:
            with self._lock:
                sources = [] if self.is_silent else list(self._pairs)
            try:
                ready, _, _ = select.select([self._wake, self._listening, *sources], [], [], 1)
            except (OSError, ValueError):
                continue
            with self._lock:
                for each in ready:
                    if each is self._wake:
                        self._wake.recv(4096)
                    elif each is self._listening:
                        self._accept()
                    elif each in self._pairs:
                        self._carry(each)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if self.is_cut:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        self._pairs |= {client: server, server: client}

    def _carry(self, source: socket.socket) -> None:
        try:
            data = source.recv(1 << 16)
            if data:
                self._pairs[source].sendall(data)
                return
        except OSError:
            pass
        self._close(source)

    def _close(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other:
            self._pairs.pop(other, None)
        for each in (one, other):
            if each:
                with suppress(OSError):
                    each.close()
