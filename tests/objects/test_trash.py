"""What a run would delete goes to the trash first, or stays where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keepstep.errors import Error, NotFound
from keepstep.objects.budget import Budget
from keepstep.objects.journal import SyncJournal
from keepstep.objects.transfer import MIB, PART_SIZE, Mover
from keepstep.objects.trash import Trash
from keepstep.stores.interface import Entry, Missing, Properties
from keepstep.testing.stores import MemorySource, MemoryStore, MemoryUpload


class Meter(Budget):
    """A budget that remembers what was held."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.held: list[int] = []

    def hold(self, size: int) -> Any:
        self.held.append(size)
        return super().hold(size)


def trash(source: MemoryStore, target: MemoryStore, budget: Budget | None = None) -> Trash:
    return Trash(Mover(source, target, budget or Budget(128 * MIB), lambda size: None))


def refusing(error: Callable[[str], Error]) -> MemoryStore:
    class Refusing(MemoryStore):
        async def open(self, entry: Entry, limit: int) -> MemorySource:
            raise error(entry.key)

    return Refusing()


def test_small_objects_take_little_of_the_budget() -> None:
    """An object reserves its own size and as much for its connection, however large it might have been."""
    source, target, meter = MemoryStore("from"), MemoryStore("to"), Meter(128 * MIB)
    for number in range(10):
        source.add(f"{number}", b"x" * 100)
    entries = [Entry(f"{number}", 100, 0, "e") for number in range(10)]
    assert asyncio.run(trash(source, target, meter).keep_all(entries)) == {}
    assert meter.held == [200] * 10
    assert len(target.objects) == 10


def test_an_object_that_is_gone_needs_no_keeping() -> None:
    """Only the store's "there is no such object" counts: what may be forbidden instead is not deleted."""
    entry = Entry("key", 5, 0, "e")
    assert asyncio.run(trash(refusing(Missing), MemoryStore()).keep_all([entry])) == {}
    assert list(asyncio.run(trash(refusing(NotFound), MemoryStore()).keep_all([entry]))) == ["key"]


def test_what_the_trash_does_not_take_is_not_kept() -> None:
    """A trash that is not there fails the object, although the object is."""

    class Nowhere(MemoryStore):
        async def put(self, key: str, data: Any, properties: Properties, on_sent: Any = None) -> str:
            raise NotFound("no such bucket")

    source = MemoryStore()
    source.add("key", b"12345")
    failures = asyncio.run(trash(source, Nowhere()).keep_all([Entry("key", 5, 0, "e")]))
    assert list(failures) == ["key"]


def test_an_abort_that_fails_is_tried_again_by_a_later_run(tmp_path: Path) -> None:
    """A note of an upload ends when the store has removed its parts, and not before."""

    class Stubborn(MemoryUpload):
        is_stubborn = True

        async def abort(self) -> bool:
            if Stubborn.is_stubborn:
                return False
            return await super().abort()

    class Target(MemoryStore):
        async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
            return Stubborn(self, key, properties)

    source, target = MemoryStore("from"), Target("to")
    source.add("key", bytes(2 * PART_SIZE))

    def mover(journal: SyncJournal) -> Mover:
        return Mover(
            source, target, Budget(128 * MIB), lambda size: None, part_size=PART_SIZE // 2, journal=journal
        )

    async def cut_short(journal: SyncJournal) -> None:
        upload = await mover(journal).begin("key", "state", 2 * PART_SIZE, PART_SIZE, Properties())
        await upload.write(0, bytes(PART_SIZE))

    async def scene() -> None:
        first = SyncJournal(tmp_path, "a", "b")
        await cut_short(first)
        (token,) = target.uploads
        first.close()
        second = SyncJournal(tmp_path, "a", "b")
        await mover(second).begin("key", "another state", 2 * PART_SIZE, PART_SIZE, Properties())
        assert token in [begun.token for begun in second.abandoned()]
        second.close()
        Stubborn.is_stubborn = False
        third = SyncJournal(tmp_path, "a", "b")
        await mover(third).tidy()
        assert target.uploads == {}
        assert third.abandoned() == []
        third.close()

    asyncio.run(scene())
