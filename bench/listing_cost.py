"""What a listed key costs before it is compared: ``python -m bench.listing_cost``.

No network: the pages are rendered beforehand. CPU in microseconds a key, the best of some rounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable

from bench.fake_s3 import Bucket, keys_of
from keepstep.stores.interface import EVERYTHING, Page
from keepstep.stores.listing import CloudListing, Habits
from keepstep.stores.ranges import Fetched, RangedPages
from keepstep.stores.s3_listing import parse

_KEYS = 200_000
_ROUNDS = 7


class Rendered:
    """Answers of a bucket, each rendered once."""

    def __init__(self, keys: list[str]) -> None:
        self._bucket = Bucket("a", keys)
        self._bodies: dict[tuple[str | None, str | None], bytes] = {}

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        await asyncio.sleep(0)
        key = (after, token)
        if key not in self._bodies:
            query = {"encoding-type": "url", "start-after": after or "", "continuation-token": token or ""}
            self._bodies[key] = self._bucket.page(query)
        listed = parse(self._bodies[key], "")
        return Fetched(listed.page, listed.token)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        return [], False


async def _read(pages: AsyncIterable[Page]) -> None:
    count = 0
    async for page in pages:
        count += len(page)
    assert count == _KEYS


def main() -> None:
    source = Rendered(keys_of("flat", _KEYS))
    ways: dict[str, Callable[[], AsyncIterable[Page]]] = {
        "parsed, in ranges": lambda: RangedPages(source),
        "parsed, in one range": lambda: RangedPages(source, width=1),
        "the same of a store whose order is not known": lambda: CloudListing(
            source, EVERYTHING, Habits("a", [], is_order_known=False), []
        ),
        "the same, sorted": lambda: CloudListing(
            source, EVERYTHING, Habits("a", [], is_order_known=False, needs_sorting=True), []
        ),
    }
    for name, pages in ways.items():
        costs = []
        for _ in range(_ROUNDS):
            start = time.process_time()
            asyncio.run(_read(pages()))
            costs.append(time.process_time() - start)
        print(f"{min(costs) / _KEYS * 1e6:.2f} us  {name}")


if __name__ == "__main__":
    main()
