"""Runs that are stopped, cancelled, no longer watched, or very long."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keepstep.errors import ExitCode
from keepstep.objects.guard import Cap
from keepstep.objects.sync import Sync
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry, Page
from keepstep.testing.stores import MemoryStore
from tests.objects.worlds import (
    FaultyStore,
    FixedListing,
    Watcher,
    contents,
    memory,
    options,
    page_of,
)


class BrokenPipe(Watcher):
    """Somebody who stops watching in the middle: ``keepstep sync ... | head``."""

    def did(self, action: Any) -> None:
        raise BrokenPipeError


def test_an_observer_that_fails_ends_the_run() -> None:
    """When nobody can be told any more, the run ends at once, by that error; nothing hangs."""

    async def main() -> None:
        store = memory({f"k{n}": b"1" for n in range(500)})
        sync = Sync(store, target := MemoryStore(), options(jobs=4), BrokenPipe())
        with pytest.raises(BrokenPipeError):
            await asyncio.wait_for(sync.run(), 10)
        assert len(target.objects) < 500
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


class EndlessListing(FixedListing):
    """Has always another page, with nothing to do in it."""

    async def __aiter__(self) -> AsyncIterator[Page]:
        n = 0
        while True:
            n += 1
            await asyncio.sleep(0.001)
            yield page_of([Entry(f"{n:09}", 1, 1)])


def test_stop_finishes_what_is_in_flight_and_begins_nothing_new() -> None:
    """Objects under way arrive whole, no other is started, nothing is deleted, and the report says interrupted."""
    source = memory({f"k{n:03}": b"1" for n in range(200)})
    target = FaultyStore(memory({"z": b"1"}))
    begun: list[str] = []
    gate = asyncio.Event()

    async def wait(key: str, *_: object) -> None:
        begun.append(key)
        await gate.wait()

    target.before["put"] = wait

    async def main() -> Any:
        sync = Sync(source, target, options(delete=True, cap=Cap.parse("100%"), jobs=5), Watcher())
        task = asyncio.create_task(sync.run())
        while len(begun) < 5:
            await asyncio.sleep(0)
        sync.stop()
        await asyncio.sleep(0.01)
        assert not task.done()
        gate.set()
        return await asyncio.wait_for(task, 5)

    report = asyncio.run(main())
    assert len(begun) == 5
    assert sorted(target.objects) == [*sorted(begun), "z"]
    assert (report.counts["copy"], report.counts["delete"]) == (5, 0)
    assert report.exit_code is ExitCode.INTERRUPTED
    assert report.finished is not None


def test_stop_is_heard_while_listing() -> None:
    """A run that has found nothing to do yet, and lists on, stops at once."""

    async def main() -> Any:
        source, target = FaultyStore(MemoryStore()), FaultyStore(MemoryStore())
        source.list = target.list = lambda *_: EndlessListing([])  # type: ignore[method-assign]
        sync = Sync(source, target, options(delete=True), Watcher())
        task = asyncio.create_task(sync.run())
        await asyncio.sleep(0.05)
        sync.stop()
        return await asyncio.wait_for(task, 1)

    assert asyncio.run(main()).exit_code is ExitCode.INTERRUPTED


def test_stop_before_the_start_does_nothing() -> None:
    """A wish to stop that comes first is honoured."""

    async def main() -> None:
        sync = Sync(memory({"a": b"1"}), target := MemoryStore(), options(), Watcher())
        sync.stop()
        assert (await sync.run()).exit_code is ExitCode.INTERRUPTED
        assert contents(target) == {}

    asyncio.run(main())


def test_a_cancelled_run_leaves_nothing_behind_and_still_has_a_report() -> None:
    """Cancelled in the middle, no task lives on and no upload stays open; the report says interrupted."""
    source, target = memory({f"k{n:03}": bytes(100) for n in range(50)}), FaultyStore(MemoryStore())

    async def wait(*_: object) -> None:
        await asyncio.sleep(3600)

    target.before["put"] = wait

    async def main() -> None:
        sync = Sync(source, target, options(), Watcher())
        task = asyncio.create_task(sync.run())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert sync.report.exit_code is ExitCode.INTERRUPTED
        assert sync.report.finished is not None

    asyncio.run(main())


class Generated:
    """A store of as many keys as one likes, made as they are listed; every 20th page has a name of its own."""

    def __init__(self, count: int, name: str) -> None:
        self.address = Address("s3", bucket="b", prefix="a-prefix/of-some/length/")
        self.requests: dict[str, int] = {}
        self.throttle_count = 0
        self.notices: list[str] = []
        self._count, self._name = count, name

    def admit(self, key: str) -> None:
        return

    def list(self, spans: object = None) -> FixedListing:
        return _GeneratedListing(self._count, self._name)


class _GeneratedListing(FixedListing):
    def __init__(self, count: int, name: str) -> None:
        super().__init__([])
        self._count, self._name = count, name

    async def __aiter__(self) -> AsyncIterator[Page]:
        for number in range(self._count // 1000):
            ending = self._name if number % 20 == 0 else "both"
            keys = [f"folder/{number:06}{n:03}.{ending}" for n in range(1000)]
            yield Page(keys, [1] * 1000, [1] * 1000, [""] * 1000)


class Silent(Watcher):
    def did(self, action: Any) -> None: ...

    def warned(self, text: str) -> None: ...


def dry_run(count: int) -> int:
    """A dry run in which a twentieth is copied and as much deleted; the most memory this process ever had, KiB."""

    async def main() -> None:
        asked = options(delete=True, dryrun=True, keep_actions=True)
        source: Any = Generated(count, "ours")
        target: Any = Generated(count, "theirs")
        report = await Sync(source, target, asked, Silent()).run()
        assert report.counts["delete"] == report.counts["copy"] == count // 20
        with open(os.devnull, "w") as out:
            report.write_json(out)

    asyncio.run(main())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_memory_does_not_grow_with_the_number_of_keys() -> None:
    """A run over 200,000 keys, its deletes and its report included, needs no more than one over 20,000."""
    code = "from tests.objects.test_sync_ending import dry_run as run; print(run(20_000), run(200_000))"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    small, large = map(int, result.stdout.split())
    assert large - small < 4 * 1024
