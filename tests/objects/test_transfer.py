"""One object on its way: whole, bounded in memory, sent again when it changes, and nothing left behind."""

from __future__ import annotations

import asyncio
import mimetypes
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import Conflict, Corrupt, Denied, Error, NotFound, Transient
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.objects.transfer import MIB, PART_SIZE, Mover, Vanished, first_of, parts_in_flight
from keepstep.stores.address import Address
from keepstep.stores.interface import Buffer, Entry, Properties
from keepstep.stores.options import TransferOptions, type_of
from keepstep.testing.stores import MemorySource, MemoryStore, MemoryUpload
from tests.objects.worlds import FaultyStore, contents, examples, memory

PART = 10


class Meter:
    """A budget that remembers the most that was held."""

    def __init__(self, size: int) -> None:
        self.budget = Budget(size)
        self.size = size
        self.most = 0

    def hold(self, size: int) -> Any:
        return self.budget.hold(size)

    def look(self) -> None:
        self.most = max(self.most, self.size - self.budget._free)


async def move(source: Any, target: Any, key: str = "key", *, budget: int = 1000) -> tuple[int, int]:
    """Moves one object in parts of 10 bytes; its size, and the bytes that were told of."""
    told: list[int] = []
    shared = Budget(budget)
    mover = Mover(source, target, shared, told.append, part_size=PART)
    page = await anext(aiter(source.list()))
    entry = page.entry(page.keys.index(key))
    try:
        return await mover.move(entry), sum(told)
    finally:
        assert shared._free == budget
        assert not shared._waiters


@examples
@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(-1, 4)), min_size=1, max_size=20),
)
def test_the_budget_is_never_exceeded_and_never_leaks(size: int, jobs: list[tuple[int, int, int]]) -> None:
    """Whatever is asked for, and whoever is cancelled when, no more than the budget is held, and all comes back."""
    budget = Budget(size)
    held = 0
    order: list[int] = []

    async def job(number: int, want: int, turns: int) -> None:
        nonlocal held
        async with budget.hold(want):
            order.append(number)
            held += min(want, size)
            assert held <= size
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                held -= min(want, size)

    async def main() -> None:
        tasks = [asyncio.create_task(job(n, want, turns)) for n, (want, turns, _) in enumerate(jobs)]
        for turn in range(5):
            await asyncio.sleep(0)
            for task, (_, _, cancelled_at) in zip(tasks, jobs, strict=True):
                if cancelled_at == turn:
                    task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert order == sorted(order), "first come, first served"
        for task in tasks:
            assert task.cancelled() or task.exception() is None
        assert (budget._free, held, len(budget._waiters)) == (size, 0, 0)

    asyncio.run(main())


def test_a_waiter_cancelled_in_the_moment_of_its_turn_loses_nothing() -> None:
    """Bytes that were granted to somebody who is being cancelled go to the next in the queue."""

    async def main() -> None:
        budget = Budget(10)
        async with budget.hold(10):
            first = asyncio.create_task(_take(budget, 10))
            second = asyncio.create_task(_take(budget, 10))
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 5)
        assert budget._free == 10

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_makes_room_at_once() -> None:
    """A large wish at the head of the queue that is given up no longer holds back the small one behind it."""

    async def main() -> None:
        budget = Budget(10)
        async with budget.hold(5):
            large = asyncio.create_task(_take(budget, 10))
            small = asyncio.create_task(_take(budget, 5))
            await asyncio.sleep(0)
            large.cancel()
            await asyncio.wait_for(small, 5)

    asyncio.run(main())


async def _take(budget: Budget, size: int) -> None:
    async with budget.hold(size):
        pass


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25, 101])
def test_objects_of_any_size_arrive_whole(size: int) -> None:
    """Below, at and above the size of a part, what arrives is what was sent, and its bytes are told once."""
    data = random.Random(size).randbytes(size)
    source, target = memory({"key": data}), MemoryStore()
    assert asyncio.run(move(source, target)) == (size, size)
    assert contents(target) == {"key": data}


def test_parts_are_numbered_without_gaps_and_of_one_size() -> None:
    """Every part but the last has the size of a part; their numbers begin at 0."""
    source, target = memory({"key": bytes(35)}), MemoryStore()
    seen: dict[int, int] = {}
    _tap(target, lambda number, data: seen.__setitem__(number, len(data)))
    asyncio.run(move(source, target))
    assert dict(sorted(seen.items())) == {0: 10, 1: 10, 2: 10, 3: 5}


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (0, PART_SIZE),
        (PART_SIZE * 10_000, PART_SIZE),
        (PART_SIZE * 10_000 + 1, 2 * PART_SIZE),
        (5 * 1024**4, 53 * PART_SIZE),
    ],
)
def test_no_object_needs_more_than_10000_parts(size: int, part: int) -> None:
    """Parts grow in whole multiples, so that the largest object either cloud holds fits into 10,000 of them."""
    mover = Mover(MemoryStore(), MemoryStore(), Budget(1), lambda size: None)
    assert mover.part_size_for(size) == part
    assert -(-size // part) <= 10_000


@pytest.mark.parametrize(
    ("size", "chunksize", "threshold", "at_once"),
    [
        (16 * MIB, None, None, 16 * MIB),
        (16 * MIB + 1, None, None, PART_SIZE),
        (16 * MIB, 5 * MIB, None, 5 * MIB),
        (16 * MIB, None, 12 * MIB, PART_SIZE),
        (32 * MIB, None, 64 * MIB, 32 * MIB),
    ],
)
def test_what_travels_in_one_piece(size: int, chunksize: int | None, threshold: int | None, at_once: int) -> None:
    """Up to 16 MiB, as parts cost requests; a threshold or another size of parts that is asked for decides."""
    options = TransferOptions(multipart_chunksize=chunksize, multipart_threshold=threshold)
    mover = Mover(MemoryStore(), MemoryStore(), Budget(1), lambda size: None, options=options)
    assert mover.most_at_once(size) == at_once


def test_many_objects_share_the_budget() -> None:
    """Large and small objects at once hold no more than the budget, even one larger than all of it."""
    meter = Meter(25)
    source, target = memory({f"k{n}": bytes(7 * n) for n in range(12)}), MemoryStore()
    _tap(target, lambda number, data: meter.look())

    async def main() -> None:
        mover = Mover(source, target, meter, lambda size: meter.look(), part_size=PART)  # type: ignore[arg-type]
        page = await anext(aiter(source.list()))
        await asyncio.gather(*(mover.move(page.entry(n)) for n in range(len(page))))

    asyncio.run(main())
    assert contents(target) == contents(source)
    assert 10 <= meter.most <= 25
    assert meter.budget._free == 25


def test_an_object_larger_than_listed_stays_within_what_was_set_aside() -> None:
    """What has grown since it was listed is read in parts, never in one piece that nobody made room for."""
    source, target = memory({"key": b"12345"}), MemoryStore()
    limits: list[int] = []

    async def grow(entry: Entry, limit: int) -> None:
        limits.append(limit)
        source.add("key", bytes(range(33)))

    faulty = FaultyStore(source)
    faulty.before["open"] = grow
    size, told = asyncio.run(move(faulty, target))
    assert (size, told, limits) == (33, 33, [5])
    assert contents(target) == {"key": bytes(range(33))}


@pytest.mark.parametrize(("size", "looked"), [(399_999, 100_000), (400_000, 65_536), (5_000_001, 65_536)])
def test_an_object_of_many_parts_is_opened_at_a_glance(size: int, looked: int) -> None:
    """Its first part comes with the others, not before them; an object of few parts costs no request more."""
    data = random.Random(size).randbytes(size)
    faulty, target = FaultyStore(memory({"key": data})), MemoryStore()
    limits: list[int] = []

    async def look(entry: Entry, limit: int) -> None:
        limits.append(limit)

    faulty.before["open"] = look
    mover = Mover(faulty, target, Budget(10**6), lambda size: None, part_size=100_000)
    assert asyncio.run(mover.move(Entry("key", size, 0, "v1"))) == size
    assert limits == [looked]
    assert contents(target) == {"key": data}


@pytest.mark.parametrize(("size", "charged"), [(1000, 1000), (399_999, 399_999), (500_000, 565_536)])
def test_bytes_wait_for_their_turn_once(size: int, charged: int) -> None:
    """What is charged to the bandwidth is what is read: the object, and the glance at one of many parts."""
    taken: list[int] = []

    class Recorded(Bandwidth):
        async def take(self, size: int) -> None:
            taken.append(size)

    source, target = memory({"key": bytes(size)}), MemoryStore()
    mover = Mover(source, target, Budget(10**6), lambda size: None, part_size=100_000, bandwidth=Recorded(10**9))
    assert asyncio.run(mover.move(Entry("key", size, 0, "v1"))) == size
    assert sum(taken) == charged


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (3, 3), (100, 8), (None, 8)])
def test_parts_in_flight(jobs: int | None, most: int) -> None:
    """They are as many as pay, eight at most, and no more than ``--jobs``."""
    source, target = memory({"key": bytes(3000)}), MemoryStore()
    active = peak = 0

    class Slow(MemoryUpload):
        async def write(self, number: int, data: Buffer) -> None:
            nonlocal active, peak
            active += 1
            peak = max(peak, active)
            await asyncio.sleep(0.001)
            active -= 1
            await super().write(number, data)

    async def begin(key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
        return Slow(target, key, properties)

    target.begin = begin  # type: ignore[method-assign]

    async def main() -> None:
        parts = parts_in_flight(jobs, lambda: 0)
        mover = Mover(source, target, Budget(10**6), lambda size: None, part_size=PART, parts=parts)
        await mover.move(Entry("key", 3000, 0, "v1"))

    asyncio.run(main())
    assert contents(target) == contents(source)
    assert min(4, most) <= peak <= most


@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize("size", [25, 100])
def test_what_changes_while_it_is_read_is_sent_again(changes: int, size: int) -> None:
    """One state of the object arrives, never a mixture; bytes that were sent for nothing are not counted."""
    source, target = memory({"key": b"0" * size}), MemoryStore()
    writes = 0

    def change(number: int, data: bytes) -> None:
        nonlocal writes
        writes += number == 1
        if number == 1 and writes <= changes:
            source.add("key", str(writes).encode() * size)

    _tap(target, change)
    assert asyncio.run(move(source, target)) == (size, size)
    assert contents(target) == {"key": str(changes).encode() * size}
    assert writes == changes + 1


@pytest.mark.parametrize("error", [Conflict("changed"), Corrupt("not what was promised")])
def test_an_object_that_keeps_changing_is_given_up_after_three_attempts(error: Error) -> None:
    """Three attempts, then the error; no fourth one, and nothing at the target."""
    faulty, target = FaultyStore(memory({"key": b"1"})), MemoryStore()
    attempts = _failing(faulty, "open", error)
    with pytest.raises(type(error)):
        asyncio.run(move(faulty, target))
    assert len(attempts) == 3
    assert contents(target) == {}


@pytest.mark.parametrize("error", [Denied("no"), Transient("later"), Error("what")])
def test_other_errors_are_not_repeated(error: Error) -> None:
    """Stores repeat what helps to repeat; the mover does not do it again."""
    faulty, target = FaultyStore(memory({"key": b"1"})), MemoryStore()
    attempts = _failing(faulty, "open", error)
    with pytest.raises(type(error)):
        asyncio.run(move(faulty, target))
    assert len(attempts) == 1


def test_what_is_gone_at_the_source_has_vanished() -> None:
    """An object that was listed and is gone is reported apart from a target that is missing."""
    faulty = FaultyStore(memory({"key": b"1"}))
    _failing(faulty, "open", NotFound("gone", hint="look"))
    with pytest.raises(Vanished, match="gone") as caught:
        asyncio.run(move(faulty, MemoryStore()))
    assert caught.value.hint == "look"
    target = FaultyStore(MemoryStore())
    _failing(target, "put", NotFound("no such bucket"))
    with pytest.raises(NotFound, match="no such bucket") as other:
        asyncio.run(move(memory({"key": b"1"}), target))
    assert not isinstance(other.value, Vanished)


@pytest.mark.parametrize("at", ["begin", "write 0", "write 2", "read", "close", "commit"])
def test_nothing_is_left_behind_when_a_large_object_fails(at: str) -> None:
    """Whichever step fails, the upload is aborted, the source closed, the budget whole, the count back at zero."""
    source, target = memory({"key": bytes(35)}), MemoryStore()
    told: list[int] = []
    held = _recorded(source, target, at)
    mover = Mover(source, target, budget := Budget(100), told.append, part_size=PART)
    with pytest.raises(Denied, match=at):
        asyncio.run(mover.move(Entry("key", 35, 0, "v1")))
    assert contents(target) == {}
    assert sum(told) == 0
    assert budget._free == 100
    assert held == set()


@pytest.mark.parametrize("turns", range(1, 30))
def test_nothing_is_left_behind_when_it_is_cancelled(turns: int) -> None:
    """Cancelled at any moment, a transfer ends with the object whole at the target or not there at all."""
    source, target = memory({"key": bytes(95)}), MemoryStore()
    held = _recorded(source, target, "")
    budget = Budget(30)

    async def main() -> None:
        mover = Mover(source, target, budget, lambda size: None, part_size=PART)
        task = asyncio.create_task(mover.move(Entry("key", 95, 0, "v1")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert budget._free == 30
    assert not budget._waiters
    assert held == set()
    assert contents(target) in ({"key": bytes(95)}, {})


def test_properties_travel() -> None:
    """What a cloud says of an object goes with it, at the listing's exact time; a file's type is guessed."""
    said = Properties(content_type="x/y", metadata=(("owner", "us"),))
    cloud = MemoryStore(address=Address("s3", bucket="b"))
    cloud.add("a.csv", b"1", time_us=1_700_000_000_123_456, properties=said)
    got: list[Properties] = []
    target = FaultyStore(MemoryStore())

    async def look(key: str, data: bytes, properties: Properties, _: object) -> None:
        got.append(properties)

    target.before["put"] = look
    asyncio.run(move(cloud, target, "a.csv"))
    asyncio.run(move(memory({"a.csv.gz": b"1"}, time_us=5), target, "a.csv.gz"))
    asyncio.run(move(memory({"a": b"1"}, time_us=5), target, "a"))
    assert got[0].content_type == "x/y"
    assert got[0].metadata == (("owner", "us"),)
    assert got[0].time == 1_700_000_000_123_456
    assert [(p.content_type, p.time) for p in got[1:]] == [("text/csv", 5), ("", 5)]


def test_an_object_that_was_replaced_since_it_was_listed_brings_its_own_time() -> None:
    """The listing's time is that of a state which is no more; what travels is what the opened object says."""
    cloud = MemoryStore(address=Address("s3", bucket="b"))
    cloud.add("a", b"old", time_us=5)
    target = FaultyStore(MemoryStore())
    got: list[int | None] = []

    async def replace(*_: object) -> None:
        cloud.add("a", b"new", time_us=7)

    async def look(key: str, data: bytes, properties: Properties, _: object) -> None:
        got.append(properties.time)

    source = FaultyStore(cloud)
    source.before["open"], target.before["put"] = replace, look
    asyncio.run(move(source, target, "a"))
    assert got == [7]


def test_a_store_that_copies_by_itself_moves_no_bytes_through_here() -> None:
    """When the target can copy from the source on its own, nothing is opened and the size is counted."""
    source, target = FaultyStore(memory({"key": b"12345"})), _Copying()
    opened = _failing(source, "open", Denied("must not be opened"))
    assert asyncio.run(move(source, target)) == (5, 5)
    assert not opened


class _Copying(MemoryStore):
    async def copy(self, source: Any, entry: Entry) -> str | None:
        return ""


@given(
    st.lists(
        st.sampled_from(["a", "b c", "txt", "gz", "Z", "js", "tar", "HTML", "", "x/y", "tgz", "csv"]), min_size=1
    )
)
def test_a_type_is_guessed_by_the_ending_alone(words: list[str]) -> None:
    """What is remembered by ending is what the library says of the whole name."""
    key = ".".join(words)
    assert type_of(key) == (mimetypes.guess_type(key)[0] or "")


def test_the_first_cause_of_a_group_is_found() -> None:
    """Groups within groups give up their first error."""
    cause = Denied("no")
    group = BaseExceptionGroup("", [BaseExceptionGroup("", [cause]), Transient("x")])
    assert first_of(group) is cause


def _failing(store: FaultyStore, method: str, error: Error) -> list[int]:
    """Makes a method fail; a list with an item for each attempt."""
    attempts: list[int] = []

    async def fail(*_: object) -> None:
        attempts.append(1)
        raise error

    store.before[method] = fail
    return attempts


def _tap(store: MemoryStore, look: Callable[[int, Any], None]) -> None:
    """Shows every part that is written."""

    class Tapped(MemoryUpload):
        async def write(self, number: int, data: Any) -> None:
            await asyncio.sleep(0)
            await super().write(number, data)
            look(number, data)

    async def begin(key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
        return Tapped(store, key, properties)

    store.begin = begin  # type: ignore[method-assign]


def _recorded(source: MemoryStore, target: MemoryStore, fails_at: str) -> set[str]:
    """Fails at one step of a large transfer; the set shows what is held open."""
    held: set[str] = set()

    async def step(name: str) -> None:
        await asyncio.sleep(0)
        if name == fails_at:
            raise Denied(name)

    class Upload(MemoryUpload):
        async def write(self, number: int, data: Any) -> None:
            await step(f"write {number}")
            await super().write(number, data)

        async def commit(self) -> str:
            await step("commit")
            held.discard("upload")
            return await super().commit()

        async def abort(self) -> bool:
            await asyncio.sleep(0)
            held.discard("upload")
            return True

    class Source(MemorySource):
        async def read(self, offset: int, length: int) -> Any:
            await step("read")
            return await super().read(offset, length)

        async def close(self) -> None:
            is_first = "source" in held
            held.discard("source")
            if is_first:
                await step("close")

    async def begin(key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
        await step("begin")
        held.add("upload")
        return Upload(target, key, properties)

    async def open_source(entry: Entry, limit: int) -> MemorySource:
        held.add("source")
        return Source(source, entry.key, source.objects[entry.key], limit)

    target.begin, source.open = begin, open_source  # type: ignore[method-assign]
    return held


def test_parts_of_an_earlier_run_are_compared_before_they_are_used() -> None:
    """Between clouds a part that is there is read, and sent again where it is not what the source has."""
    written: list[int] = []

    class Upload(MemoryUpload):
        async def write(self, number: int, data: Any) -> None:
            written.append(number)
            await super().write(number, data)

    class Target(MemoryStore):
        async def begin(self, key: str, size: int, part_size: int, properties: Properties) -> MemoryUpload:
            upload = Upload(self, key, properties)
            upload._parts = {0: bytes(PART), 1: b"x" * PART}  # as if they were there already
            return upload

    source = MemoryStore(address=Address("s3", bucket="b"))
    source.add("key", b"0" * PART + b"x" * PART + b"2" * PART)
    target = Target()
    asyncio.run(move(source, target))
    assert target.objects["key"].data == source.objects["key"].data
    assert sorted(written) == [0, 2]
