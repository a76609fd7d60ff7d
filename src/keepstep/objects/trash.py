"""What a run would delete or overwrite goes to another place first, under the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keepstep.errors import Error, NotFound
from keepstep.limits import objects_at_once
from keepstep.objects.transfer import Mover
from keepstep.stores.interface import Entry, Missing

_AT_ONCE = 32


@dataclass(frozen=True)
class Trash:
    """Keeps objects of the target. What it holds under the same key already is replaced."""

    mover: Mover
    """From the target to the trash."""
    jobs: int | None = None
    """Maximum concurrent objects; None means automatic."""

    async def keep(self, entry: Entry) -> None:
        """Returns when the object is in the trash, whole; an object that is gone by now needs no keeping."""
        try:
            await self.mover.move(entry)
        except NotFound:
            if not await self._is_gone(entry):
                raise

    async def keep_all(self, entries: Sequence[Entry]) -> dict[str, Error]:
        """Keeps objects, many at once; returns by their keys what failed, which must not be deleted then."""
        failures: dict[str, Error] = {}
        gate = asyncio.Semaphore(objects_at_once(self.jobs or _AT_ONCE))

        async def keep(entry: Entry) -> None:
            async with gate:
                try:
                    await self.keep(entry)
                except Error as exc:
                    failures[entry.key] = exc

        await asyncio.gather(*map(keep, entries))
        return failures

    async def _is_gone(self, entry: Entry) -> bool:
        """Whether the store says that there is no such object any more.

        Otherwise what was not found may be the place that it was to go to, or nobody may read it.
        """
        try:
            source = await self.mover.source.open(entry, 1)
        except Missing:
            return True
        except Error:
            return False
        await source.close()
        return False
