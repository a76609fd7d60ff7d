"""Services that list as some stores do: in orders of their own, from where they are asked, on pages of any size."""

from __future__ import annotations

import asyncio
import random
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from keepstep.stores.interface import Page
from keepstep.stores.ranges import Fetched

Order = Callable[[str], Any]


def utf8(key: str) -> Any:
    return key.encode()


def folders_first(key: str) -> Any:
    """SeaweedFS: a folder's keys come before names that continue its own."""
    return [part.encode() for part in key.split("/")]


def files_first(key: str) -> Any:
    """s3rver: the files of a folder come before its folders."""
    *folders, name = key.split("/")
    return [*[(1, folder.encode()) for folder in folders], (0, name.encode())]


def utf16(key: str) -> Any:
    return key.encode("utf-16-be")


def case_blind(key: str) -> Any:
    return (key.lower().encode(), key.encode())


def reverse(key: str) -> Any:
    return [*(-byte for byte in key.encode()), 1]


def scattered(key: str) -> Any:
    return (zlib.crc32(key.encode()), key.encode())


ORDERS: dict[str, Order] = {
    order.__name__: order for order in (utf8, folders_first, files_first, utf16, case_blind, reverse, scattered)
}
STARTS = ("honoured", "inclusive", "ignored")


class Shelf:
    """Keys in an order. ``requests`` counts what was asked."""

    def __init__(
        self, keys: list[str], order: Order, *, page_size: int, starts: str = "honoured", seed: int | None = None
    ) -> None:
        self.keys = sorted(keys, key=order)
        self.places = [order(key) for key in self.keys]
        self.order = order
        self.page_size = page_size
        self.starts = starts
        self.requests = 0
        self._random = None if seed is None else random.Random(seed)

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        self.requests += 1
        await asyncio.sleep(self._random.random() * 0.0005 if self._random else 0)
        keys: list[str] = []
        place = int(token) if token is not None else self._place_of(after)
        while place < len(self.keys) and len(keys) < self.page_size:
            if self.keys[place].startswith(prefix):
                keys.append(self.keys[place])
            place += 1
        count = len(keys)
        more = any(key.startswith(prefix) for key in self.keys[place:])
        return Fetched(Page(keys, [1] * count, [0] * count, [""] * count), str(place) if more else None)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        self.requests += 1
        await asyncio.sleep(0)
        names = dict.fromkeys(
            prefix + key[len(prefix) :].partition("/")[0] + "/"
            for key in self.keys[self._place_of(after) :]
            if key.startswith(prefix) and "/" in key[len(prefix) :]
        )
        return [*names][: self.page_size], len(names) > self.page_size

    def _place_of(self, after: str | None) -> int:
        if after is None or self.starts == "ignored":
            return 0
        find = bisect_left if self.starts == "inclusive" else bisect_right
        return find(self.places, self.order(after))
