"""Lists that come in pages, each with a token for the next one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from keepstep.errors import Corrupt

T = TypeVar("T")


async def every_page(ask: Callable[[str], Awaitable[tuple[list[T], str]]], what: str) -> list[T]:
    """The items of all pages. ``ask`` gets a token, empty at first, and returns items and the next token.

    Raises :class:`Corrupt` when a token comes again, as the list would have no end.
    """
    found: list[T] = []
    token, seen = "", {""}
    while True:
        items, token = await ask(token)
        found += items
        if not token:
            return found
        if token in seen:
            raise Corrupt(f"{what}: the answer leads back to a page that was read already")
        seen.add(token)
