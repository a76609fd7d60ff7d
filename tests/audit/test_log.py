"""Writing a log: it only grows, in one line, anybody who writes, and whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from keepstep.audit.keys import Keyring
from keepstep.audit.log import LIMIT, AuditLog, name_of
from keepstep.audit.verify import verify
from keepstep.clock import SystemClock
from keepstep.errors import ConfigError, Conflict, Corrupt, Error, NotFound, Transient
from keepstep.stores.interface import Appendable, Store
from keepstep.testing.stores import MemoryStore
from keepstep.testing.vaults import MemoryVault
from tests.audit.worlds import KEY, World, edited, facts
from tests.contract.conftest import StoreBackend, oci_cloud, pytest_generate_tests
from tests.contract.conftest import backend as backend

__all__ = ["oci_cloud", "pytest_generate_tests"]


def test_entries_follow_each_other() -> None:
    """Sequence numbers rise by one from 1, each entry names the hash of the one before, and a writer goes on."""

    async def main() -> None:
        world = World()
        entries = [*await world.write(3), *await world.write(2)]
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.previous for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
        assert list(world.log.objects) == [name_of(number) for number in range(1, 6)]
        last = await world.writer().last()
        assert last == entries[-1]

    asyncio.run(main())


@pytest.mark.backends("memory", "s3-moto", "s3-seaweedfs", "oci")
def test_two_writers_cannot_fork_a_chain(backend: StoreBackend) -> None:
    """Writers that append at once to one log on a real store make one chain, with every entry of each in it."""
    vault = MemoryVault()
    vault.put(KEY.name, "a key for two")

    def writer(store: Store) -> AuditLog:
        assert isinstance(store, Appendable)
        return AuditLog("job", store, Keyring(vault, KEY), SystemClock())

    async def append(log: AuditLog, name: str) -> None:
        for number in range(6):
            await log.append("intent", {"who": name, "number": number})

    async def work(*stores: Store) -> None:
        await asyncio.gather(*(append(writer(store), f"w{number}") for number, store in enumerate(stores)))
        verdict = await verify("job", stores[0], Keyring(vault, KEY))
        assert verdict.problems == []
        assert verdict.entries == 6 * len(stores)

    backend.run(work, "log/", "log/", "log/")


def test_a_lost_answer_is_no_other_writer() -> None:
    """An entry whose answer was lost, and that is in its own way when it is sent again, is ours."""

    class Forgetful(MemoryStore):
        async def create(self, key: str, data: Any, content_type: str) -> None:
            await super().create(key, data, content_type)
            raise Conflict("it is there already, says the second try")

    async def main() -> None:
        world = World(log=Forgetful("log"), anchor=None)
        await world.write(3)
        assert (await world.verify()).is_intact
        assert len(world.log.objects) == 3

    asyncio.run(main())


@pytest.mark.parametrize("broken", [Transient("away"), NotFound("no bucket")])
def test_a_log_that_cannot_be_written_says_so(broken: Error) -> None:
    """The store's error reaches the caller, who has changed nothing yet; a later append goes on where it was."""

    class Away(MemoryStore):
        is_away = False

        async def create(self, key: str, data: Any, content_type: str) -> None:
            if self.is_away:
                raise broken
            await super().create(key, data, content_type)

    async def main() -> None:
        store = Away("log")
        world = World(log=store, anchor=None)
        writer = world.writer()
        await world.write(2, writer=writer)
        store.is_away = True
        with pytest.raises(type(broken)):
            await writer.append("intent", facts(1))
        store.is_away = False
        assert (await writer.append("intent", facts(1))).sequence == 3

    asyncio.run(main())


async def _edit(world: World) -> None:
    world.put(2, edited(world.data(2), kind="forged"))


async def _garble(world: World) -> None:
    world.put(2, b"{}")


async def _inflate(world: World) -> None:
    world.put(2, b" " * (LIMIT + 1))


async def _move(world: World) -> None:
    world.put(2, world.data(1))


@pytest.mark.parametrize("damage", [_edit, _garble, _inflate, _move])
def test_nothing_is_built_on_a_broken_end(damage: Callable[[World], Awaitable[None]]) -> None:
    """When the last entry is not as it was written, appending fails and says what to do; nothing is added."""

    async def main() -> None:
        world = World()
        await world.write(2)
        await damage(world)
        with pytest.raises(Corrupt) as refusal:
            await world.writer().append("intent", facts(1))
        assert "audit verify" in (refusal.value.hint or "")
        assert len(world.log.objects) == 2

    asyncio.run(main())


def test_the_newest_key_signs() -> None:
    """A writer that was there before the key was rotated takes the new one when another writer has used it."""

    async def main() -> None:
        world = World()
        old, new = world.writer(), world.writer()
        first = (await world.write(1, writer=old))[0]
        world.rotate_key("the second key")
        second = (await world.write(1, writer=new))[0]
        third = (await world.write(1, writer=old))[0]
        assert first.key != second.key == third.key
        assert (await world.verify()).is_intact

    asyncio.run(main())


def test_a_key_version_that_is_gone_is_told() -> None:
    """Entries whose key is not a version of the secret any more are named as signed with a foreign key."""

    async def main() -> None:
        world = World()
        await world.write(2)
        world.vault = MemoryVault()
        world.rotate_key("a key of another life")
        problems = (await world.verify()).problems
        assert {problem.kind for problem in problems if problem.sequence == 1} >= {"foreign"}
        assert KEY.name in problems[0].text

    asyncio.run(main())


def test_an_empty_key_signs_nothing() -> None:
    """An empty secret is the user's to fix; nothing is written with it."""

    async def main() -> None:
        world = World()
        world.rotate_key("")
        with pytest.raises(ConfigError):
            await world.write(1)
        assert not world.log.objects

    asyncio.run(main())


def test_an_anchor_that_is_away_stops_nothing() -> None:
    """Without its anchor an entry is written all the same, with a warning; the next one is anchored again."""

    class Away(MemoryStore):
        is_away = False

        async def create(self, key: str, data: Any, content_type: str) -> None:
            if self.is_away:
                raise Transient("away")
            await super().create(key, data, content_type)

    async def main() -> None:
        anchor = Away("anchor")
        world = World(anchor=anchor)
        await world.write(1)
        anchor.is_away = True
        await world.write(1)
        assert len(world.warnings) == 1
        anchor.is_away = False
        await world.write(1)
        assert list(anchor.objects) == [name_of(1), name_of(3)]
        assert (await world.verify()).is_intact

    asyncio.run(main())


def test_an_entry_has_a_size() -> None:
    """An entry that no reader would take is not written."""

    async def main() -> None:
        world = World()
        with pytest.raises(ValueError, match="bytes"):
            await world.writer().append("intent", {"x": "y" * LIMIT})
        assert not world.log.objects

    asyncio.run(main())
