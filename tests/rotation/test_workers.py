"""Several workers at once, on the real engine: any order of their calls, and deaths anywhere.

The model (``test_model.py``) goes through every order of a small world; here the engine itself goes through many
orders of its own calls, each drawn from a seed, so that a failure can be reproduced.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from keepstep.errors import ExitCode
from keepstep.rotation.changes import Strategy
from keepstep.runs.report import Report
from tests.rotation.fixture import Scene
from tests.rotation.memory import Died, Gate, MemoryScene, Turns

FULL = bool(os.environ.get("FULL"))
SEEDS = range(1000 if FULL else 5)
SEAMLESS = (Strategy.ALTERNATING, Strategy.DUAL, Strategy.ROLLOVER)
Real = Callable[..., Scene]


def workers(scene: MemoryScene, count: int) -> list[Callable[[Gate], Coroutine[Any, Any, Report]]]:
    def one(gate: Gate) -> Coroutine[Any, Any, Report]:
        return scene.ticked(gate=gate, is_forced=True)

    return [one] * count


def nobody_is_locked_out(scene: MemoryScene) -> None:
    assert not list(scene.locked_out())


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("strategy", SEAMLESS)
def test_workers_at_once_rotate_once(strategy: Strategy, count: int) -> None:
    """Two and four workers that all find it due make one rotation of it, and nobody is locked out meanwhile."""
    for seed in SEEDS:
        scene = MemoryScene(strategy)
        turns = Turns(seed, check=partial(nobody_is_locked_out, scene))
        reports = asyncio.run(turns.run(workers(scene, count)))
        assert all(report.exit_code is ExitCode.DONE for report in reports), seed
        scene.tick()
        assert scene.is_in_step(2), seed


@pytest.mark.parametrize("strategy", [*SEAMLESS, Strategy.SINGLE])
def test_workers_that_die_anywhere(strategy: Strategy) -> None:
    """Workers die at any call of theirs; one clean tick finishes what they began, or leaves what they did not."""
    for seed in SEEDS:
        scene = MemoryScene(strategy)
        check = partial(nobody_is_locked_out, scene) if strategy in SEAMLESS else lambda: None
        results = asyncio.run(Turns(seed, deaths=0.05, check=check).run(workers(scene, 2)))
        assert all(isinstance(result, Report | Died) for result in results), (seed, results)
        assert scene.tick().exit_code is ExitCode.DONE, seed
        assert scene.is_in_step(1) or scene.is_in_step(2), seed


@pytest.mark.parametrize("strategy", [*SEAMLESS, Strategy.SINGLE])
def test_one_worker_that_dies_at_each_call_in_turn(strategy: Strategy) -> None:
    """At every call of a whole rotation, reads too: the next tick converges."""
    for moment in itertools.count():
        scene = MemoryScene(strategy)
        gate = _dies_at(moment)
        died = asyncio.run(_whether_died(scene, gate))
        assert scene.tick().exit_code is ExitCode.DONE, moment
        assert scene.is_in_step(1) or scene.is_in_step(2), moment
        if not died:
            break
    assert moment > 30


def _dies_at(moment: int) -> Gate:
    calls = itertools.count()

    async def gate(name: str) -> None:
        if next(calls) == moment:
            raise Died

    return gate


async def _whether_died(scene: MemoryScene, gate: Gate) -> bool:
    try:
        await scene.ticked(gate=gate, is_forced=True)
    except Died:
        return True
    return False


@pytest.mark.parametrize("count", [2, 4])
def test_real_workers_at_once(real: Real, count: int) -> None:
    """The same on real databases and both local clouds: one rotation, everybody ends well."""
    scene = real()

    async def all_at_once() -> list[Report]:
        return list(await asyncio.gather(*(scene.ticked(now=True) for _ in range(count))))

    reports = asyncio.run(all_at_once())
    assert [report.exit_code for report in reports] == [ExitCode.DONE] * count
    scene.tick()
    assert scene.is_in_step(2)
