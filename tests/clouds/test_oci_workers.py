"""Worker threads whose results come back to the event loop in batches."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import uvloop

from keepstep.clouds import oci_workers
from keepstep.clouds.oci_workers import in_worker


def test_results_and_errors_come_back(run: Callable[..., Any]) -> None:
    """Each caller gets the result, or the error, of its own work, and none is lost."""

    def work(number: int) -> int:
        if number % 7 == 0:
            raise ValueError(number)
        return number * number

    async def at_once() -> list[Any]:
        return await asyncio.gather(*(in_worker(partial(work, n)) for n in range(500)), return_exceptions=True)

    for number, result in enumerate(run(at_once())):
        if number % 7 == 0:
            assert isinstance(result, ValueError)
            assert result.args == (number,)
        else:
            assert result == number * number


def test_it_runs_elsewhere(run: Callable[..., Any]) -> None:
    """Work never runs on the loop's thread, and its threads do not keep the process alive."""

    async def where() -> threading.Thread:
        return await in_worker(threading.current_thread)

    thread = run(where())
    assert thread is not threading.main_thread()
    assert thread.daemon


def test_loops_come_and_go() -> None:
    """Several loops, of asyncio and uvloop, one after the other, are served and not held on to."""
    held: list[weakref.ref[Any]] = []

    async def work() -> int:
        held.append(weakref.ref(asyncio.get_running_loop()))
        return await in_worker(lambda: 7)

    assert [runner(work()) for runner in (asyncio.run, uvloop.run, asyncio.run)] == [7, 7, 7]
    gc.collect()
    assert [reference() for reference in held] == [None, None, None]


def test_a_loop_that_closed_meanwhile(run: Callable[..., Any]) -> None:
    """A result that nobody waits for any more harms neither the worker nor the next caller."""
    gate = threading.Event()

    async def abandon() -> None:
        in_worker(lambda: gate.wait(5))
        await asyncio.sleep(0)

    run(abandon())
    gate.set()

    async def next_one() -> int:
        return await in_worker(lambda: 1)

    assert [run(next_one()) for _ in range(20)] == [1] * 20


def test_a_cancelled_caller(run: Callable[..., Any]) -> None:
    """Cancelling one caller leaves the others their results."""

    async def work() -> list[int]:
        gate = threading.Event()
        cancelled = asyncio.ensure_future(in_worker(lambda: gate.wait(5)))
        rest = [in_worker(partial(abs, n)) for n in range(20)]
        cancelled.cancel()
        gate.set()
        return await asyncio.gather(*rest)

    assert run(work()) == list(range(20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_workers_of_its_own(run: Callable[..., Any]) -> None:
    """After a fork the parent's threads are gone in the child, and new ones are started when needed."""

    async def once() -> int:
        return await in_worker(lambda: 7)

    assert run(once()) == 7
    parent = oci_workers._workers
    child = os.fork()
    if child == 0:
        os._exit(run(once()) if oci_workers._workers is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert oci_workers._workers is parent
