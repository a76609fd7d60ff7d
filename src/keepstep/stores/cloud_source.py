"""Reading one state of an object, in either cloud."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from keepstep.clouds.http import Response, TooLarge
from keepstep.errors import Conflict
from keepstep.stores.headers import whole_size
from keepstep.stores.interface import Buffer, Properties

Get = Callable[[Sequence[tuple[str, str]], int], Awaitable[Response]]
"""Asks for the object, with these headers, and takes an answer of so many bytes at the most."""


class CloudSource:
    """One state of an object; later parts are asked for by its ETag."""

    def __init__(self, thing: str, response: Response, properties: Properties, get: Get) -> None:
        """``thing`` is how errors call the object, ``response`` the answer with its first bytes."""
        self.first: Buffer = response.body
        self.size = whole_size(response)
        self.properties = properties
        self._tag = response.headers.get("etag", "")
        self.etag = self._tag.strip('"')
        self._thing = thing
        self._get = get

    @property
    def state(self) -> str:
        return self.etag

    async def read(self, offset: int, length: int) -> Buffer:
        headers = [("range", f"bytes={offset}-{offset + length - 1}"), ("if-match", self._tag)]
        response = await self._get(headers, length)
        if len(response.body) != length:
            raise Conflict(f"{self._thing} changed while it was read")
        return response.body

    async def close(self) -> None:
        return


async def first_bytes(get: Get, size: int, limit: int) -> Response:
    """The whole object, or its first ``limit`` bytes when it has more; ``size`` is what a listing said."""
    ranged = partial(get, [("range", f"bytes=0-{limit - 1}")], limit)
    if size > limit:
        return await ranged()
    try:
        return await get([], limit)
    except TooLarge:  # it has grown since it was listed
        return await ranged()
