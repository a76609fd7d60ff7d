"""Recipients in memory, which record their notices."""

from __future__ import annotations

from collections.abc import Collection

from keepstep.containers.interface import Notice
from keepstep.errors import NotFound


class MemoryRecipients:
    """Knows whom it is given; everybody else is missing."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)
        self.told: list[Notice] = []

    async def notify(self, notice: Notice, files: Collection[str]) -> list[str]:
        if notice.whom not in self.known:
            raise NotFound(f"there is no {notice.kind} {notice.whom}")
        self.told.append(notice)
        return []

    async def close(self) -> None:
        """Remembers everything."""
