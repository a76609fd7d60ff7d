"""Connections to names that have several addresses, some of which may be dead (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

import asyncio
import os
import socket

import aiohappyeyeballs

_HEAD_START = 0.25
"""Seconds that an address has to itself before the next one is tried next to it (RFC 8305, section 5)."""


async def raced(host: str, port: int) -> socket.socket:
    """A connected TCP socket, of the address that answered first; families take turns.

    Raises ``OSError`` when the name has no address, or none of them answers. There is no limit of time.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    try:
        return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START)
    except OSError as exc:
        if exc.errno is None:
            raise
        number = exc.errno
    raise OSError(number, os.strerror(number))  # without what each address said
