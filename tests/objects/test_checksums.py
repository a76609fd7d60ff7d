"""Contents decide: what is read to find out, how often, and what becomes of what cannot be read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import uuid
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import Conflict, Denied, NotFound
from keepstep.objects.budget import Budget
from keepstep.objects.checksums_read import read_through
from keepstep.objects.journal import SyncJournal
from keepstep.objects.plan import Direction, Reason, Rules
from keepstep.objects.sync import Sync
from keepstep.objects.wiring import SyncOptions
from keepstep.runs.report import Report
from keepstep.stores.address import Address
from keepstep.stores.checksums import ALGORITHMS, MIB, PartsDigest, checksum, hasher, part_sizes, text_of
from keepstep.stores.interface import Entry
from keepstep.stores.local import LocalStore
from keepstep.stores.options import TransferOptions
from keepstep.testing.stores import MemoryStore
from tests.objects.worlds import FaultyStore, Watcher, contents, examples, memory, raising

CHECKSUM = Rules(Direction.COPY, contents=True)
OLD = 1_600_000_000


class World:
    """A source and a target that are compared by contents, run after run, with one state folder."""

    def __init__(self, tmp: Path, make: Callable[[], tuple[Any, Any]]) -> None:
        self._tmp = tmp
        self._make = make
        self.opened: list[str] = []
        """What was read in the latest run: ``source`` or ``target`` and the key."""
        self.asked: list[str] = []
        """Likewise, for which keys checksums were asked for."""

    def sync(self, **changed: Any) -> Report:
        """One run; :attr:`opened` and :attr:`asked` begin again."""
        self.opened, self.asked = [], []
        return asyncio.run(self._sync(**changed))

    async def _sync(self, **changed: Any) -> Report:
        sides = [FaultyStore(store) for store in self._make()]
        for name, side in zip(("source", "target"), sides, strict=True):
            faults = changed.pop(name, {})
            side.before = {"open": _noting(self.opened, name), "checksums": _noting(self.asked, name)} | faults
        options = SyncOptions(
            changed.pop("rules", CHECKSUM),
            transfer=TransferOptions(tells_contents=True),
            keep_actions=True,
            **changed,
        )
        journal = SyncJournal(self._tmp / "state", "source", "target")
        try:
            source, target = sides
            return await Sync(source, target, options, Watcher(), journal=journal).run()
        finally:
            journal.close()
            for side in sides:
                await side.close()


def _noting(log: list[str], name: str) -> Callable[..., Awaitable[None]]:
    async def note(entry: Entry, *_: Any) -> None:
        log.append(f"{name} {entry.key}")

    return note


class Folders(World):
    """Two folders."""

    def __init__(self, tmp: Path) -> None:
        self.source, self.target = tmp / "a", tmp / "b"
        super().__init__(tmp, self._stores)

    def _stores(self) -> tuple[LocalStore, LocalStore]:
        places = [Address("local", path=str(path)) for path in (self.source, self.target)]
        return (
            LocalStore(places[0], tells_states=True),
            LocalStore(places[1], writable=True, tells_states=True),
        )


def write(path: Path, data: bytes) -> None:
    """A file with an old time; written again until its change time is another one, if it was there before."""
    path.parent.mkdir(exist_ok=True, parents=True)
    before = path.stat().st_ctime_ns if path.exists() else 0
    while not path.exists() or path.stat().st_ctime_ns == before:
        path.write_bytes(data)
        os.utime(path, (OLD, OLD))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    world = Folders(tmp_path)
    for n in range(3):
        write(world.source / f"d/{n}", b"contents %d" % n)
    write(world.source / "empty", b"")
    return world


def reasons(report: Report) -> dict[str, str]:
    assert report.actions is not None
    return {Path(action.target or "").name: action.reason for action in report.actions}


def test_a_change_that_shows_in_neither_size_nor_time_is_found(folders: Folders) -> None:
    """At the source or at the target: the object moves again, and the others stay."""
    assert folders.sync().counts["copy"] == 4
    write(folders.source / "d/1", b"CONTENTS 1")
    assert reasons(folders.sync()) == {"1": Reason.CONTENTS_DIFFER.value}
    write(folders.target / "d/2", b"CONTENTS 2")
    assert reasons(folders.sync()) == {"2": Reason.CONTENTS_DIFFER.value}
    assert [(folders.target / f"d/{n}").read_bytes() for n in range(3)] == [
        b"contents 0",
        b"CONTENTS 1",
        b"contents 2",
    ]
    assert reasons(folders.sync()) == {}


def test_what_a_run_has_moved_is_not_read_by_the_next_one(folders: Folders) -> None:
    """The states of both files are noted when one is written from the other."""
    folders.sync()
    assert reasons(folders.sync()) == {}
    assert folders.opened == []


def test_what_was_equal_before_is_read_once(folders: Folders) -> None:
    """The first comparison reads both sides, the second nothing; times play no role, and nothing moves."""
    for n in range(3):
        write(folders.target / f"d/{n}", b"contents %d" % n)
        os.utime(folders.target / f"d/{n}", (OLD - n, OLD - n))
    write(folders.target / "empty", b"")
    report = folders.sync()
    assert (reasons(report), report.counts["unchanged"]) == ({}, 4)
    assert sorted(folders.opened) == sorted(f"{side} d/{n}" for side in ("source", "target") for n in range(3))
    report = folders.sync()
    assert (reasons(report), report.counts["unchanged"]) == ({}, 4)
    assert folders.opened == []


def test_a_file_that_stays_is_read_once_whatever_becomes_of_the_other(folders: Folders) -> None:
    """Its MD5 is kept: when the target is touched, only the target is read."""
    folders.sync()
    write(folders.target / "d/0", b"contents 0")
    folders.sync()
    assert sorted(folders.opened) == ["source d/0", "target d/0"], "its MD5 was not needed before"
    write(folders.target / "d/0", b"contents 0")
    assert reasons(folders.sync()) == {}
    assert folders.opened == ["target d/0"]


def test_a_file_that_has_just_been_written_is_not_relied_on(folders: Folders) -> None:
    """It could change once more within the tick of the file system's clock: it is read again by the next run."""
    folders.sync()
    (folders.target / "d/0").write_bytes(b"contents 0")
    for _ in range(2):
        os.utime(folders.target / "d/0")
        assert reasons(folders.sync()) == {}
        assert "target d/0" in folders.opened


def test_dryrun_compares_and_says(folders: Folders) -> None:
    """It tells contents that differ from contents that do not, and changes nothing."""
    folders.sync()
    write(folders.target / "d/0", b"CONTENTS 0")
    assert reasons(folders.sync(dryrun=True)) == {"0": Reason.CONTENTS_DIFFER.value}
    assert (folders.target / "d/0").read_bytes() == b"CONTENTS 0"


def test_explain_names_what_was_found_equal(folders: Folders) -> None:
    """By the listing, by the journal or by reading, with one reason."""
    folders.sync()
    write(folders.target / "d/0", b"contents 0")
    found = reasons(folders.sync(explain=True))
    assert found == dict.fromkeys(("0", "1", "2", "empty"), Reason.SAME_CONTENTS.value)


def test_a_file_that_changes_while_it_is_compared_is_sent(folders: Folders) -> None:
    """What is read is not what was listed: the object moves, as it then is."""
    folders.sync()
    write(folders.target / "d/0", b"contents 0")

    async def change(entry: Entry, _limit: int) -> None:
        if (folders.source / entry.key).read_bytes() == b"contents 0":
            write(folders.source / entry.key, b"CONTENTS 0")

    assert reasons(folders.sync(source={"open": change})) == {"0": Reason.CONTENTS_UNREADABLE.value}
    assert (folders.target / "d/0").read_bytes() == b"CONTENTS 0"


@pytest.mark.parametrize("error", [Denied("no"), NotFound("gone")])
def test_a_target_that_cannot_be_read_is_written_once(tmp_path: Path, error: Exception) -> None:
    """Whoever may write and not read: what cannot be compared is sent, and what was sent is known."""
    source, target = memory({"key": b"same"}), Kms()
    target.add("key", b"same")
    world = World(tmp_path, lambda: (source, target))
    assert reasons(world.sync(target={"open": raising(error)})) == {"key": Reason.CONTENTS_UNREADABLE.value}
    assert reasons(world.sync(target={"open": raising(error)})) == {}
    assert contents(target) == {"key": b"same"}


class Kms(MemoryStore):
    """Tags look like MD5s and are none, as ETags are where KMS encrypts; ``stored`` are checksums that it keeps."""

    def __init__(self, *stored: str, is_cloud: bool = True) -> None:
        super().__init__(address=Address("s3", bucket="b") if is_cloud else None)
        self._stored = stored

    def add(self, key: str, data: bytes, **more: Any) -> None:
        super().add(key, data, **more)
        self.objects[key].etag = uuid.uuid4().hex

    async def checksums(self, entry: Entry) -> Mapping[str, str]:
        return {name: checksum(name)(self.objects[entry.key].data) for name in self._stored}


def test_etags_that_are_no_md5s_are_resolved_once(tmp_path: Path) -> None:
    """Same contents under different ETags: one request and one reading a side, then nothing; a change is found."""
    source, target = Kms(), Kms()
    source.add("key", b"same")
    target.add("key", b"same")
    world = World(tmp_path, lambda: (source, target))
    assert reasons(world.sync()) == {}
    assert (world.asked, world.opened) == (["source key", "target key"],) * 2
    assert reasons(world.sync()) == {}
    assert (world.asked, world.opened) == ([], [])
    source.add("key", b"SAME")
    assert reasons(world.sync()) == {"key": Reason.CONTENTS_DIFFER.value}
    assert reasons(world.sync()) == {}
    assert (world.asked, world.opened) == ([], [])
    assert contents(target) == {"key": b"SAME"}


def test_what_was_sent_instead_is_not_taken_for_what_was_listed(tmp_path: Path) -> None:
    """An object that is replaced between listing and reading, and put back later, is sent again."""
    source, target = Kms(), Kms()
    source.add("key", b"listed")
    listed = source.objects["key"]

    async def replace(entry: Entry, _limit: int) -> None:
        source.add("key", b"SENT..")

    world = World(tmp_path, lambda: (source, target))
    world.sync(source={"open": replace})
    assert contents(target) == {"key": b"SENT.."}
    source.objects["key"] = listed
    assert reasons(world.sync()) == {"key": Reason.CONTENTS_DIFFER.value}
    assert contents(target) == {"key": b"listed"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_stored_checksums_spare_the_reading(tmp_path: Path, algorithm: str) -> None:
    """Where both sides keep one of the same kind, a request a side decides, for equal and for different."""
    source, target = Kms(algorithm, "SHA1"), Kms("CRC32", algorithm)
    for key, theirs in (("same", b"same"), ("else", b"ELSE")):
        source.add(key, key.encode())
        target.add(key, theirs)
    world = World(tmp_path, lambda: (source, target))
    assert reasons(world.sync()) == {"else": Reason.CONTENTS_DIFFER.value}
    assert world.opened == ["source else"], "to be moved"


def test_of_a_file_and_an_object_the_file_is_read(tmp_path: Path) -> None:
    """What the store keeps of the object is computed from the file."""
    source, target = Kms(is_cloud=False), Kms("CRC64NVME")
    source.add("key", b"same")
    target.add("key", b"same")
    world = World(tmp_path, lambda: (source, target))
    assert reasons(world.sync()) == {}
    assert set(world.opened) == {"source key"}


def test_a_store_that_is_away_is_a_failure_and_overwrites_nothing(tmp_path: Path) -> None:
    """A passing fault while comparing is reported; the next run finishes."""
    from keepstep.errors import Transient

    source, target = memory({"key": b"1"}), memory({"key": b"2"})
    world = World(tmp_path, lambda: (source, target))
    report = world.sync(target={"checksums": raising(Transient("503"))})
    assert report.exit_code == 1
    assert [failure.action for failure in report.failures] == ["compare"]
    assert contents(target) == {"key": b"2"}
    assert world.sync().exit_code == 0
    assert contents(target) == {"key": b"1"}


@examples
@given(
    st.integers(1, 40),
    st.lists(st.integers(0, 25), min_size=1, max_size=6),
    st.sampled_from(["MD5", *ALGORITHMS]),
)
def test_pieces_add_up(part_size: int, pieces: Sequence[int], algorithm: str) -> None:
    """Whatever pieces the contents come in, checksums are those of the whole, and of its parts."""
    data = random.Random(sum(pieces)).randbytes(sum(pieces))
    parts, running, offset = PartsDigest(part_size), hasher(algorithm), 0
    for length in pieces:
        for each in (parts, running):
            each.update(data[offset : offset + length])
        offset += length
    assert text_of(running) == checksum(algorithm)(data)
    md5s = [hashlib.md5(data[n : n + part_size]).digest() for n in range(0, len(data), part_size)]
    assert parts.digest() == hashlib.md5(b"".join(md5s)).digest()


@examples
@given(st.integers(2, 10_000), st.sampled_from([5, 8, 15, 16, 50, 64, 100, 128, 1024]), st.integers(1, MIB))
def test_the_size_that_was_taken_is_among_those_that_are_tried(parts: int, part: int, tail: int) -> None:
    """Of the sizes that clients use; and no size is tried that would make another number of parts."""
    size = (parts - 1) * part * MIB + tail
    found = part_sizes(size, parts)
    assert part * MIB in found
    assert {-(-size // each) for each in found} == {parts}


def test_reading_holds_no_more_than_the_budget_allows() -> None:
    """A large object is read whole, in pieces that fit."""

    async def main() -> None:
        data = random.Random(1).randbytes(70 * MIB)
        store = memory({"key": data})
        entry = (await anext(aiter(store.list()))).entry(0)
        budget, md5, free = Budget(40 * MIB), hasher("MD5"), set()
        watcher = Watcher()
        watcher.moved = lambda size: free.add(budget._free)  # type: ignore[method-assign]
        await read_through(store, entry, [md5], budget, watcher)
        assert md5.digest() == hashlib.md5(data).digest()
        assert (watcher.planned_bytes, free, budget._free) == (70 * MIB, {8 * MIB}, 40 * MIB)
        store.add("key", data)
        with pytest.raises(Conflict):
            await read_through(store, entry, [md5], budget, watcher)
        assert budget._free == 40 * MIB

    asyncio.run(main())


def test_md5s_as_text_and_as_tags_are_the_same_thing(tmp_path: Path) -> None:
    """An ETag in hex and a stored checksum in base64 are compared with what a file has."""
    source, target = memory({"key": b"same"}), memory({}, page_size=1)
    target.address = Address("s3", bucket="b")
    target.add("key", b"same")
    target.objects["key"].etag = hashlib.md5(b"same").hexdigest()
    world = World(tmp_path, lambda: (source, target))
    assert reasons(world.sync()) == {}
    assert (world.opened, world.asked) == (["source key"], [])
    assert checksum("MD5")(b"same") == b64encode(hashlib.md5(b"same").digest()).decode()
