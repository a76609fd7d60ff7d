"""Summarises a target in one number, so that a later run sees whether it still holds what an earlier one left
there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from keepstep.errors import Error
from keepstep.objects.filters import Filters
from keepstep.stores.interface import Listing, Page, Span

_BITS = 128


@dataclass
class TargetState:
    """A sum over keys and sizes in any order; targets of equal sums hold the same keys of the same sizes."""

    count: int = 0
    total: int = 0

    def add(self, key: str, size: int, times: int = 1) -> None:
        """``times`` of -1 takes it away."""
        name = blake2b(f"{size} {key}".encode("utf-8", "surrogatepass"), digest_size=_BITS // 8).digest()
        self.count += times
        self.total = (self.total + times * int.from_bytes(name, "big")) % (1 << _BITS)

    def add_all(self, page: Page) -> None:
        for key, size in zip(page.keys, page.sizes, strict=True):
            self.add(key, size)

    def __str__(self) -> str:
        return f"{self.count}-{self.total:032x}"

    @classmethod
    def parse(cls, text: str) -> TargetState:
        count, _, total = text.partition("-")
        return cls(int(count), int(total, 16)) if total else cls()


@dataclass
class ListedTarget:
    """A listing that was read to its end: its sum and, as a listing, the part of it within the spans."""

    state: TargetState = field(default_factory=TargetState)
    unreadable_prefixes: list[tuple[str, Error]] = field(default_factory=list)
    unrepresentable_names: list[tuple[str, str]] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    async def __aiter__(self) -> AsyncIterator[Page]:
        for page in self.pages:
            yield page


async def read_target(listing: Listing, filters: Filters, spans: Sequence[Span]) -> ListedTarget | None:
    """Reads a whole listing and keeps only the pages that the spans reach; None when it is incomplete."""
    found = ListedTarget()
    try:
        async for page in listing:
            found.state.add_all(filters.select(page))
            keep = [n for n, key in enumerate(page.keys) if any(span.holds(key) for span in spans)]
            if keep:  # spans are few and long: what they hold of a page is nearly always one piece
                found.pages.append(page.part(keep[0], keep[-1] + 1))
    except Error:
        return None
    found.unrepresentable_names = listing.unrepresentable_names
    return None if listing.unreadable_prefixes else found
