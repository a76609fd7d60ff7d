"""Threads for calls that block: results come home, threads are few, nothing that is held is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from keepstep.clouds.workers import Workers


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine to its end, within 20 seconds."""

    def run_it(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(work, 20))

    return run_it


def fail(error: BaseException) -> None:
    raise error


def alive() -> int:
    return sum(thread.name == "keepstep-worker" and thread.is_alive() for thread in threading.enumerate())


def wait_for_threads(count: int) -> None:
    """Until there are no more than so many; those of earlier tests may be ending too."""
    deadline = time.monotonic() + 5
    while alive() > count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_results_and_exceptions_come_home(run: Any) -> None:
    """A call's result, or whatever it raises, is what awaiting it gives; StopIteration comes as a RuntimeError."""

    async def main() -> None:
        workers = Workers(2)
        assert await workers.run(divmod, 17, 5) == (3, 2)
        assert await workers.run(int, "ff", base=16) == 255
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 1, 0)
        with pytest.raises(KeyboardInterrupt):
            await workers.run(fail, KeyboardInterrupt())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await workers.run(next, iter(()))
        assert await workers.run(len, "after all that") == 14
        workers.close()

    run(main())


def test_thousands_of_calls_come_home(run: Any) -> None:
    """However many are asked for at once, each gets its own result."""

    async def main() -> None:
        workers = Workers(4)
        results = await asyncio.gather(*(workers.run(lambda n: n * n, n) for n in range(5000)))
        assert results == [n * n for n in range(5000)]
        workers.close()

    run(main())


def test_threads_are_made_when_needed_and_never_too_many(run: Any) -> None:
    """There is none before the first call, and never more than the limit, however many calls wait."""

    async def main() -> None:
        before = alive()
        workers = Workers(3)
        assert alive() <= before
        gate = threading.Event()
        waiting = []
        for _ in range(30):
            waiting.append(workers.run(gate.wait, 10))
            await asyncio.sleep(0.002)
        assert alive() <= before + 3
        gate.set()
        assert all(await asyncio.gather(*waiting))
        assert alive() <= before + 3
        workers.close()

    run(main())


def test_a_call_that_blocks_holds_up_nobody(run: Any) -> None:
    """While one call hangs, the next is done by another thread, also when nothing else is asked for."""

    async def main() -> None:
        workers = Workers(2)
        gate = threading.Event()
        blocked = workers.run(gate.wait, 10)
        assert await asyncio.wait_for(workers.run(len, "abc"), 5) == 3
        assert not blocked.done()
        gate.set()
        assert await blocked
        workers.close()

    run(main())


def test_threads_end_when_closed_after_what_was_asked_for(run: Any) -> None:
    """Closing lets what was asked for be done, ends every thread, and refuses what comes later."""

    async def main() -> None:
        before = alive()
        workers = Workers(4)
        done: list[int] = []

        def work(number: int) -> None:
            time.sleep(0.01)
            done.append(number)

        futures = [workers.run(work, n) for n in range(20)]
        workers.close()
        with pytest.raises(RuntimeError, match="closed"):
            workers.run(len, "x")
        await asyncio.gather(*futures)
        assert sorted(done) == list(range(20))
        await asyncio.to_thread(wait_for_threads, before)

    run(main())


def test_a_cancelled_caller_does_not_disturb_the_others(run: Any) -> None:
    """Its function runs to its end, unheard; other results come home as ever."""

    async def main() -> None:
        workers = Workers(1)
        ran = threading.Event()
        gate = threading.Event()

        def work() -> None:
            gate.wait(5)
            ran.set()

        first = workers.run(work)
        second = workers.run(len, "abc")
        first.cancel()
        gate.set()
        assert await second == 3
        assert ran.is_set()
        workers.close()

    run(main())


@pytest.mark.parametrize("pause", [0, 0.0001, 0.001, 0.01])
def test_what_is_acquired_for_nobody_is_released(run: Any, pause: float) -> None:
    """Each result reaches its caller or its release, exactly one of them, whenever the caller is cancelled."""

    async def main() -> None:
        workers = Workers(3)
        lock = threading.Lock()
        made: list[int] = []
        released: list[int] = []
        heard: list[int] = []

        def make() -> int:
            time.sleep(0.0005)
            with lock:
                made.append(len(made))
                return made[-1]

        async def use() -> None:
            heard.append(await workers.acquire(make, released.append))

        for _ in range(30):
            task = asyncio.create_task(use())
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        workers.close()
        while len(heard) + len(released) < len(made) or len(made) < 30 - 30 * (pause == 0):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert sorted(heard + released) == sorted(made)

    run(main())


def test_what_cannot_be_acquired_raises(run: Any) -> None:
    """A function that fails has nothing to release."""

    async def main() -> None:
        released: list[int] = []
        workers = Workers(1)
        with pytest.raises(ZeroDivisionError):
            await workers.acquire(lambda: 1 // 0, released.append)
        assert released == []
        workers.close()

    run(main())


def test_threads_end_with_their_loop() -> None:
    """A thread whose loop has closed meanwhile ends by itself, without a word."""
    before = alive()
    gate = threading.Event()

    async def main() -> None:
        Workers(1).run(gate.wait, 10)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    gate.set()
    wait_for_threads(before)


def test_calls_stay_in_the_loop_until_they_are_slow(run: Any) -> None:
    """Brief calls need no thread, and a single pause none either; when pauses come close together, the loop stays
    free."""

    async def main() -> None:
        workers = Workers(2)
        here = threading.get_ident()
        try:

            async def pause() -> None:
                await workers.acquire_briefly(lambda: time.sleep(0.05), lambda _: None)

            for _ in range(20):
                await pause()
                for _ in range(20):
                    assert await workers.acquire_briefly(threading.get_ident, lambda _: None) == here
            await pause()
            await pause()
            assert await workers.acquire_briefly(threading.get_ident, lambda _: None) != here
        finally:
            workers.close()

    run(main())


def test_what_is_done_is_let_go(run: Any) -> None:
    """Threads that wait for work hold on to nothing of what they did last: megabytes each, otherwise."""

    class Large:
        pass

    async def main() -> int:
        workers = Workers(4)
        try:
            alive = [weakref.ref(await workers.run(Large)) for _ in range(8)]
            await asyncio.sleep(0.05)
            gc.collect()
            return sum(each() is not None for each in alive)
        finally:
            workers.close()

    assert run(main()) == 0
