"""What a run would delete or overwrite goes to another place first, under the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keepstep.errors import Error, NotFound
from keepstep.objects.transfer import PART_SIZE, Mover
from keepstep.stores.interface import Entry

_AT_ONCE = 32


@dataclass(frozen=True)
class Trash:
    """Keeps objects of the target. What it holds under the same key already is replaced."""

    mover: Mover
    """From the target to the trash."""
    jobs: int | None = None
    """Objects in flight, where that is not left to us."""

    async def keep(self, entry: Entry) -> None:
        """Returns when the object is in the trash, whole; an object that is gone by now needs no keeping."""
        try:
            await self.mover.move(entry)
        except NotFound:
            if await self._is_there(entry):
                raise

    async def keep_all(self, keys: Sequence[str]) -> dict[str, Error]:
        """Keeps objects by their keys, many at once; returns what failed, which must not be deleted then."""
        failures: dict[str, Error] = {}
        gate = asyncio.Semaphore(self.jobs or _AT_ONCE)

        async def keep(key: str) -> None:
            async with gate:
                try:
                    # Its size is not known any more: as if it were a part's, it is read whole when it is smaller.
                    await self.keep(Entry(key, PART_SIZE, 0))
                except Error as exc:
                    failures[key] = exc

        await asyncio.gather(*map(keep, keys))
        return failures

    async def _is_there(self, entry: Entry) -> bool:
        """Whether the object still stands: what was not found is then the place that it was to go to."""
        try:
            source = await self.mover.source.open(entry, 1)
        except NotFound:
            return False
        await source.close()
        return True
