"""The limit on bytes a second, on a clock that only the test moves."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.objects.bandwidth import Bandwidth
from tests import virtual_time
from tests.objects.worlds import examples

RATE = 1_000_000
WINDOW = 5.0


def most_and_least(passed: list[tuple[float, int]]) -> tuple[int, int]:
    """Bytes in any window of five seconds between the first and the last of them."""
    totals = []
    for start, _ in passed:
        if start + WINDOW <= passed[-1][0]:
            totals.append(sum(size for when, size in passed if start <= when < start + WINDOW))
    return max(totals), min(totals)


@settings(examples, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0, 0.1))
def test_within_five_seconds_the_rate_is_kept(seed: int, jobs: int, pause: float) -> None:
    """However many transfers share it, of whatever sizes, and however long each takes itself: within a tenth."""
    chance, passed = random.Random(seed), []

    async def job(bandwidth: Bandwidth) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 20:
            size = chance.randrange(1, RATE // 5)
            await bandwidth.take(size)
            passed.append((loop.time(), size))
            await asyncio.sleep(chance.random() * pause if jobs > 1 else 0)

    async def main() -> None:
        bandwidth = Bandwidth(RATE)
        await asyncio.gather(*(job(bandwidth) for _ in range(jobs)))

    virtual_time.run(main())
    most, least = most_and_least(passed)
    assert 0.9 * WINDOW * RATE <= least <= most <= 1.1 * WINDOW * RATE


def test_a_single_object_takes_its_time_and_idle_time_is_not_saved_up() -> None:
    """What comes alone waits for itself; after an hour's rest there is no more than a moment's credit."""

    async def main() -> None:
        loop, bandwidth = asyncio.get_running_loop(), Bandwidth(RATE)
        start = loop.time()
        await bandwidth.take(2 * RATE)
        assert abs(loop.time() - start - 2) < 0.01
        await asyncio.sleep(3600)
        before = loop.time()
        await bandwidth.take(5 * RATE)
        assert 4.5 <= loop.time() - before <= 5

    virtual_time.run(main())
