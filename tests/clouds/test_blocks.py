"""Large buffers are used again, and never by two at a time."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.clouds.blocks import Blocks
from keepstep.clouds.workers import Workers

MIB = 1024 * 1024


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 3 * MIB), st.sampled_from(["whole", "part", "drop"])), max_size=25))
def test_no_two_users_share_a_block(steps: list[tuple[int, str]]) -> None:
    """What is written into a view stays there until the last view of it is gone, whoever takes memory meanwhile."""
    blocks = Blocks(8 * MIB)
    held: list[tuple[memoryview, bytes]] = []
    for number, (size, what) in enumerate(steps):
        view = blocks.take(size)
        assert len(view) == size
        mark = bytes([number + 1]) * min(size, 64)
        view[-len(mark) :] = mark
        if what == "whole":
            held.append((view, mark))
        elif what == "part":
            held.append((view[-len(mark) :], mark))
        if what == "drop" and held:
            held.pop(number % len(held))
        del view
        assert all(bytes(each[-len(mark) :]) == mark for each, mark in held)


def test_memory_is_used_again() -> None:
    """One after the other they are given the same memory; what fits into a larger block gets that one."""
    blocks = Blocks()
    places = set()
    for size in (16 * MIB, 16 * MIB, 9 * MIB + 1, MIB):
        view = blocks.take(size)
        places.add(ctypes.addressof(ctypes.c_char.from_buffer(view)))
        del view
    assert len(places) == 1
    assert not places.pop() % mmap.PAGESIZE, "begins on a page"


def test_no_more_is_kept_than_was_said() -> None:
    """Blocks that nobody uses make room for new ones; those in use stay, however many they are."""
    blocks = Blocks(8 * MIB)
    for size in range(MIB, 8 * MIB, MIB):
        blocks.take(size)
    assert sum(map(len, blocks._blocks)) <= 8 * MIB
    used = [blocks.take(4 * MIB) for _ in range(5)]
    assert len({ctypes.addressof(ctypes.c_char.from_buffer(view)) for view in used}) == 5
    assert sum(map(len, blocks._blocks)) >= 20 * MIB
    del used
    blocks.take(7 * MIB + 1)
    assert sum(map(len, blocks._blocks)) == 8 * MIB


def test_a_thread_whose_caller_has_gone_keeps_its_memory() -> None:
    """A call in a thread that was cancelled may still write into its block: nobody else has it by then."""
    blocks = Blocks()
    begin, ended = threading.Event(), threading.Event()

    def fill(view: memoryview) -> None:
        begin.wait(10)
        view[:] = b"!" * len(view)
        ended.set()

    async def main() -> bytes:
        workers = Workers()
        call = asyncio.ensure_future(workers.run(fill, blocks.take(2 * MIB)))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        del call
        other = blocks.take(2 * MIB)
        other[:] = b"." * len(other)
        begin.set()
        await asyncio.to_thread(ended.wait, 10)
        workers.close()
        return bytes(other)

    assert asyncio.run(main()) == b"." * (2 * MIB)
