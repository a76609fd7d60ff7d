"""A state that can be told to go away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from keepstep.errors import Transient
from keepstep.state.database import Database, Query

T = TypeVar("T")


class Flaky:
    """Away before a transaction, or its answer lost after one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.shown = database.shown
        self.is_away = self.loses_answers = False

    def read(self, work: Callable[[Query], T]) -> T:
        if self.is_away:
            raise Transient("away")
        return self._database.read(work)

    def write(self, work: Callable[[Query], T]) -> T:
        if self.is_away:
            raise Transient("away")
        result = self._database.write(work)
        if self.loses_answers:
            raise Transient("the answer was lost")
        return result

    def now(self) -> float:
        return self._database.now()

    def close(self) -> None:
        self._database.close()
