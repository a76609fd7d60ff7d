"""AWS as clients see it: over TLS, under its own name. What is behind it is a server on loopback."""

from __future__ import annotations

import asyncio
import ssl

from tests.faultproxy import GONE, LoopbackProxy, Streams, read_head


class AwsFront(LoopbackProxy):
    """A proxy for ``HTTPS_PROXY``: anybody who asks for a way to AWS gets one to ``upstream``, by TLS."""

    def __init__(self, upstream: str, context: ssl.SSLContext) -> None:
        super().__init__(upstream)
        self._context = context

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await read_head(reader)
            assert head
            self.requests.append(head.first)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self._context)
            upstream = await asyncio.open_connection(*self._upstream)
            both = (_carry((reader, writer), upstream), _carry(upstream, (reader, writer)))
            await asyncio.gather(*both)
        except (*GONE, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _carry(origin: Streams, goal: Streams) -> None:
    try:
        while data := await origin[0].read(1 << 16):
            goal[1].write(data)
            await goal[1].drain()
    finally:
        goal[1].close()
