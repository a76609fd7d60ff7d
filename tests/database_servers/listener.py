"""A thread for every connection: what the servers that we had to write ourselves share."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.database_servers.certificates import Identity


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS as a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*identity.write(Path(folder)))
    return context


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None], *, port: int = 0) -> Iterator[int]:
    """The port on which ``serve`` is called with every connection, in a thread of its own, until the block ends."""
    connections: set[socket.socket] = set()

    def run(connection: socket.socket) -> None:
        connections.add(connection)
        with contextlib.suppress(OSError, EOFError), connection:
            serve(connection)
        connections.discard(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=run, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for connection in list(connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes. Raises ``EOFError`` when the other side has gone."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
