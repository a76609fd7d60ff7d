"""Oracle Net's packets as they arrive, looked at before the driver sees them.

python-oracledb takes packets out of what has arrived until nothing is left, and one that says that it is empty
never leaves: the event loop stands still, so that no limit of time can end it. Source: the driver's thin mode
(src/oracledb/impl/thin/transport.pyx).
"""

from __future__ import annotations

import ssl
from typing import Any

_HEADER = 8
"""Bytes."""
_ACCEPT = 2
_LONG_SIZES = 315
"""The first version of the protocol in which sizes have four bytes, once the connection is accepted."""


class Frames:
    """Follows one direction of a connection, packet by packet."""

    def __init__(self) -> None:
        self._held = b""
        """The beginning of a packet whose header is not complete."""
        self._rest = 0
        """Bytes of the present packet that have not arrived yet."""
        self._is_long = False

    def take(self, data: bytes) -> None:
        """Raises ``OSError`` when a packet is smaller than its own header."""
        passed = min(self._rest, len(data))
        self._rest -= passed
        held, at = self._held + data[passed:], 0
        while len(held) - at >= _HEADER:
            size = int.from_bytes(held[at : at + (4 if self._is_long else 2)], "big")
            if size < _HEADER:
                raise OSError(f"its answer is not Oracle's protocol: a packet of {size} bytes")
            if held[at + 4] == _ACCEPT and not self._is_long:
                if len(held) - at < _HEADER + 2 <= size:
                    break
                self._is_long = int.from_bytes(held[at + _HEADER : at + _HEADER + 2], "big") >= _LONG_SIZES
            self._rest = max(0, at + size - len(held))
            at += size
        self._held = held[at:]


def looked_at(context: ssl.SSLContext) -> None:
    """From now on what a server sends through this context is looked at before anybody reads it."""
    kind: Any = context.sslobject_class

    class Framed(kind):  # type: ignore[misc]
        frames: Frames | None = None

        def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as in the library
            got = super().read(len, buffer) if buffer is not None else super().read(len)
            self.frames = self.frames or Frames()
            self.frames.take(bytes(buffer[:got]) if buffer is not None else got)
            return got

    context.sslobject_class = Framed
