"""Whatever is done to a log, verify names the entry that it was done to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.audit.entry import read, sign
from keepstep.audit.log import name_of
from keepstep.audit.verify import chains_in
from keepstep.testing.stores import MemoryStore
from tests.audit.worlds import World, edited, facts, key_of

KEYS = ["the first key of this log, 32 bytes", "the second key of it", "the third"]


async def written(count: int, *, rotations: tuple[int, ...] = ()) -> World:
    """A log of ``count`` entries whose key is rotated before the entries that are named."""
    world = World()
    keys = iter(KEYS[1:])
    for sequence in range(1, count + 1):
        if sequence in rotations:
            world.rotate_key(next(keys))
        await world.writer().append("intent", facts(sequence))
    return world


def blamed(problems: list[Any]) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.kind) for problem in problems]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.sets(st.integers(2, 12), max_size=2))
def test_an_untouched_log_is_intact(count: int, rotations: set[int]) -> None:
    """A log that nobody touched is intact, also when its key was rotated on the way."""

    async def main() -> None:
        world = await written(count, rotations=tuple(rotations))
        verdict = await world.verify()
        assert verdict.problems == []
        assert verdict.is_intact
        assert verdict.entries == count
        assert verdict.last
        assert verdict.last.sequence == count
        assert len(verdict.keys) == 1 + len([rotation for rotation in rotations if rotation <= count])
        assert (await world.verify(anchored=False)).is_intact

    asyncio.run(main())


@dataclass(frozen=True)
class Case:
    """A kind of tampering: what it does to entry ``at`` of ``count``, and what verify has to say."""

    name: str
    do: Callable[[World, int, int], Coroutine[Any, Any, None]]
    kind: str
    lowest: int = 1
    margin: int = 0
    """Entries that there must be behind it."""
    needs_anchor: bool = False


async def edit(world: World, at: int, count: int) -> None:
    world.put(at, edited(world.data(at), kind="forged"))


async def garble(world: World, at: int, count: int) -> None:
    world.put(at, world.data(at)[:-1])


async def delete(world: World, at: int, count: int) -> None:
    await world.remove(at)


async def cut_tail(world: World, at: int, count: int) -> None:
    await world.remove(*range(at, count + 1))


async def cut_head(world: World, at: int, count: int) -> None:
    await world.remove(*range(1, at + 1))


async def swap(world: World, at: int, count: int) -> None:
    first, second = world.data(at), world.data(at + 1)
    world.put(at, second)
    world.put(at + 1, first)


async def copy(world: World, at: int, count: int) -> None:
    world.put(count + 1, world.data(at))


async def sign_with_foreign_key(world: World, at: int, count: int) -> None:
    world.put(at, sign(read(world.data(at)), key_of("somebody else's key")).data)


async def sign_with_claimed_key(world: World, at: int, count: int) -> None:
    """The id of our key on another key's signature."""
    ours = read(world.data(at)).key
    forged = sign(read(world.data(at)), key_of("somebody else's key"))
    world.put(at, edited(forged.data, key=ours))


async def from_another_log(world: World, at: int, count: int) -> None:
    """An entry that was really signed with this key, at this number, for another job."""
    other = World(chain="other-db", anchor=None)
    await other.write(at)
    world.put(at, other.data(at))


async def put_back(world: World, at: int, count: int) -> None:
    """The end is cut, other entries are written, and an old one is put back in the place of the new one."""
    old = world.data(at)
    anchor, world.anchor = world.anchor, None
    await world.remove(*range(at, count + 1))
    await world.write(count + 1 - at)
    world.put(at, old)
    world.anchor = anchor


CASES = [
    Case("edited", edit, "changed"),
    Case("garbled", garble, "changed"),
    Case("deleted", delete, "missing", margin=1),
    Case("deleted at the end", delete, "missing", needs_anchor=True),
    Case("cut at the end", cut_tail, "missing", needs_anchor=True),
    Case("cut at the beginning", cut_head, "missing", margin=1),
    Case("swapped with the next", swap, "moved", margin=1),
    Case("signed with a foreign key", sign_with_foreign_key, "foreign"),
    Case("signed in the name of our key", sign_with_claimed_key, "changed"),
    Case("taken from another log", from_another_log, "moved"),
    Case("put back after it was replaced", put_back, "replaced", margin=1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_tampering_is_found_and_named(case: Case, data: st.DataObject) -> None:
    """Whatever is done to any entry of a log of any length, verify names that entry and what was done."""
    count = data.draw(st.integers(2 + case.margin, 10), label="entries")
    at = data.draw(st.integers(case.lowest, count - case.margin), label="at")
    anchored = case.needs_anchor or data.draw(st.booleans(), label="anchored")

    async def main() -> None:
        world = await written(count)
        await case.do(world, at, count)
        verdict = await world.verify(anchored=anchored)
        assert not verdict.is_intact
        found = blamed(verdict.problems)
        first = 1 if case.do is cut_head else at
        assert found[0] == (first, case.kind), found
        assert str(first) in verdict.problems[0].text

    asyncio.run(main())


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.data())
def test_one_edit_is_one_problem(count: int, data: st.DataObject) -> None:
    """An edited entry does not drag its neighbours into it."""
    at = data.draw(st.integers(1, count))

    async def main() -> None:
        world = await written(count)
        await edit(world, at, count)
        assert blamed((await world.verify()).problems) == [(at, "changed")]

    asyncio.run(main())


def test_a_copied_entry_is_named() -> None:
    """An entry copied after the last one stands in a place that is not its own."""

    async def main() -> None:
        world = await written(3)
        await copy(world, 2, 3)
        assert blamed((await world.verify(anchored=False)).problems) == [(4, "moved")]

    asyncio.run(main())


def test_without_an_anchor_a_cut_end_is_not_seen() -> None:
    """What the documentation says: only the anchor knows of entries that were cut off the end."""

    async def main() -> None:
        world = await written(4)
        await world.remove(3, 4)
        assert (await world.verify(anchored=False)).is_intact
        problems = (await world.verify()).problems
        assert blamed(problems) == [(3, "missing")]
        assert "entries 3 to 4" in problems[0].text

    asyncio.run(main())


def test_an_old_key_does_not_come_back() -> None:
    """Anybody who has a key that the log has left can append nothing that is believed."""

    async def main() -> None:
        world = await written(4, rotations=(3,))
        last = read(world.data(4))
        forged = sign(
            type(last)(
                chain=last.chain,
                sequence=5,
                previous=last.hash,
                time=last.time,
                kind="result",
                facts={},
                nonce="x",
                key="",
            ),
            key_of(KEYS[0]),
        )
        world.put(5, forged.data)
        problems = (await world.verify(anchored=False)).problems
        assert blamed(problems) == [(5, "foreign")]
        assert "had been left" in problems[0].text

    asyncio.run(main())


def test_a_holder_of_the_key_is_seen_by_the_anchor() -> None:
    """A log rewritten with the right key is consistent in itself; the anchor in the other cloud says otherwise."""

    async def main() -> None:
        world = await written(5)
        anchor, world.anchor = world.anchor, None
        await world.remove(3, 4, 5)
        await world.write(3)
        world.anchor = anchor
        assert (await world.verify(anchored=False)).is_intact
        assert blamed((await world.verify()).problems) == [(3, "replaced"), (4, "replaced"), (5, "replaced")]

    asyncio.run(main())


def test_strays_and_broken_anchors_are_named() -> None:
    """An object that is not an entry is named by its address, and an anchor that was edited by its number."""

    async def main() -> None:
        world = await written(3)
        world.log.add("notes.txt", b"hello")
        world.log.add(name_of(0), b"{}")
        assert world.anchor
        world.anchor.add(name_of(2), edited(world.anchor.objects[name_of(2)].data, previous="0" * 64))
        problems = (await world.verify()).problems
        assert blamed(problems) == [(0, "stray"), (0, "stray"), (2, "anchor")]
        assert any("notes.txt" in problem.text for problem in problems)

    asyncio.run(main())


def test_an_entry_of_another_past_is_named_alone() -> None:
    """An entry that continues another one, and that its follower does not continue, is the only one to blame."""

    async def main() -> None:
        world, other = await written(5), World(anchor=None)
        await other.write(5)
        world.put(3, other.data(3))
        assert blamed((await world.verify(anchored=False)).problems) == [(3, "replaced")]

    asyncio.run(main())


def test_a_log_begins_with_nothing_before_it() -> None:
    """A first entry that continues another one is not the first that was written."""

    async def main() -> None:
        world = await written(1)
        first = read(world.data(1))
        world.put(1, sign(replace(first, previous="0" * 64), key_of(KEYS[0])).data)
        problems = (await world.verify(anchored=False)).problems
        assert blamed(problems) == [(1, "replaced")]
        assert "not the first" in problems[0].text

    asyncio.run(main())


def test_an_anchor_stands_in_its_own_place() -> None:
    """An anchor copied to another number holds nothing there, and is named."""

    async def main() -> None:
        world = await written(3)
        assert world.anchor
        world.anchor.add(name_of(3), world.anchor.objects[name_of(2)].data)
        assert blamed((await world.verify()).problems) == [(3, "anchor")]

    asyncio.run(main())


def test_a_fresh_job_is_empty() -> None:
    """A log without an entry: nothing has been rotated yet. With an anchor that holds entries it was deleted."""

    async def main() -> None:
        verdict = await World().verify()
        assert verdict.is_intact and verdict.is_empty
        assert verdict.words == "empty: nothing has been rotated yet"
        world = await written(2)
        await world.remove(1, 2)
        assert blamed((await world.verify()).problems) == [(1, "missing")]

    asyncio.run(main())


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_an_anchor_that_is_cut_off(kept: int) -> None:
    """An anchor that is empty or ends before the log: the log says that it is anchored, so it is broken."""

    async def main() -> None:
        world = await written(4)
        assert world.anchor
        await world.anchor.delete([name_of(sequence) for sequence in range(kept + 1, 5)])
        verdict = await world.verify()
        assert blamed(verdict.problems) == [(4, "unanchored")]
        assert not verdict.is_anchored and verdict.anchored == kept

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 4])
def test_the_last_anchor_alone_is_missing(count: int) -> None:
    """Its writer may have been killed before it: not certain, never called intact or anchored, and no problem.

    An entry that is missing or edited is found as ever, and the next entry makes the log anchored.
    """

    async def main() -> None:
        world = await written(count)
        assert world.anchor
        await world.anchor.delete([name_of(count)])
        verdict = await world.verify()
        assert verdict.problems == [] and not verdict.is_certain and not verdict.is_intact
        assert not verdict.is_anchored and verdict.words.startswith("not certain")
        assert f"entry {count} is not in the anchor yet" in verdict.notes[0]
        kept = world.data(count)
        world.put(count, edited(kept, kind="forged"))
        assert blamed((await world.verify()).problems) == [(count, "changed")]
        world.put(count, kept)
        await world.write(1)
        verdict = await world.verify()
        assert verdict.is_intact and verdict.is_anchored
        await world.remove(count + 1)
        assert blamed((await world.verify()).problems) == [(count + 1, "missing")]

    asyncio.run(main())


def test_an_anchor_that_the_log_does_not_know() -> None:
    """A log that was written without an anchor and is compared with an empty one is not called anchored."""

    async def main() -> None:
        world = World(anchor=None)
        await world.write(2)
        world.anchor = MemoryStore("anchor")
        verdict = await world.verify()
        assert verdict.is_intact and not verdict.is_anchored
        assert "not anchored: the anchor is empty" in verdict.notes[0]

    asyncio.run(main())


async def forged(world: World, old: str, *, later: bool) -> None:
    """The tail is cut where the key changed, and the log carried on with the old key."""
    world.anchor = None
    await world.remove(4, 5)
    before = read(world.data(3))
    time = world.clock.now() if later else before.time
    entry = replace(before, sequence=4, previous=before.hash, time=time + timedelta(minutes=10 * later), former="")
    world.put(4, sign(entry, key_of(old)).data)


@pytest.mark.parametrize("later", [True, False])
def test_a_log_carried_on_with_the_old_key(later: bool) -> None:
    """Entries of a time after the key's are foreign; with times before it the log is not certain, never intact."""

    async def main() -> None:
        world = await written(5, rotations=(4,))
        await forged(world, KEYS[0], later=later)
        verdict = await world.verify(anchored=False)
        assert not verdict.is_intact
        if later:
            assert blamed(verdict.problems) == [(4, "foreign")]
        else:
            assert not verdict.is_certain and verdict.words.startswith("not certain, 4 entries")

    asyncio.run(main())


def test_a_new_key_before_its_first_entry() -> None:
    """The key was rotated after the last entry: not certain without an anchor, and intact with one."""

    async def main() -> None:
        world = await written(3)
        world.rotate_key(KEYS[1])
        assert not (await world.verify(anchored=False)).is_certain
        assert (await world.verify()).is_intact
        await world.writer().append("intent", facts(4))
        assert (await world.verify(anchored=False)).is_intact

    asyncio.run(main())


def test_a_change_of_keys_is_signed_by_both() -> None:
    """Who has the new key alone cannot carry a log on: the key before has to have signed the change."""

    async def main() -> None:
        world = await written(3)
        world.rotate_key(KEYS[1])
        before = read(world.data(3))
        entry = replace(before, sequence=4, previous=before.hash, time=world.clock.now())
        for former in (None, key_of("a third key that is neither")):
            world.put(4, sign(entry, key_of(KEYS[1]), former).data)
            assert blamed((await world.verify(anchored=False)).problems) == [(4, "foreign")]
        world.put(4, sign(entry, key_of(KEYS[1]), key_of(KEYS[0])).data)
        assert (await world.verify(anchored=False)).is_intact

    asyncio.run(main())


def test_logs_are_found_beneath_a_folder() -> None:
    """Each job has a folder; what is not an entry makes none."""
    store = MemoryStore("root")
    for key in (
        "a/0000000001.json",
        "a/0000000002.json",
        "b/0000000009.json",
        "c/notes.txt",
        "d/e/0000000001.json",
    ):
        store.add(key, b"")
    assert asyncio.run(chains_in(store)) == {"a", "b"}
    store.add("0000000001.json", b"")
    assert asyncio.run(chains_in(store)) == {"a", "b", ""}
