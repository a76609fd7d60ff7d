"""How many objects are in flight: near what is best, soon, whatever the stores can take."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.objects.concurrency import FIRST, MOST, Concurrency, Pacer
from tests import virtual_time


def simulate(
    pacer: Pacer, latency: float, capacity: float, windows: int, *, noise: float = 0, seed: int = 1
) -> float:
    """Objects a second in the last windows, of a store with this latency that has room for ``capacity`` of them."""
    rng = random.Random(seed)
    rates = []
    for _ in range(windows):
        rate = min(pacer.limit / latency, capacity)
        pacer.next(rate * (1 + noise * (2 * rng.random() - 1)), is_strained=False)
        rates.append(rate)
    return sum(rates[-20:]) / 20


@pytest.mark.parametrize("latency", [0.002, 0.02, 0.1])
@pytest.mark.parametrize("capacity", [100, 1_000, 2_000])
def test_it_grows_to_what_a_store_can_take(latency: float, capacity: float) -> None:
    """Soon nine tenths of what is possible are reached, and not many more are in flight than needed."""
    pacer = Pacer()
    reached = simulate(pacer, latency, capacity, 60)
    possible = min(capacity, MOST / latency)
    assert reached >= 0.9 * possible
    assert pacer.limit <= max(2 * FIRST, 2.6 * capacity * latency)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 0.2), st.floats(50, 5_000), st.integers(0, 1000))
def test_noise_does_not_strand_it(latency: float, capacity: float, seed: int) -> None:
    """With measurements that are a tenth off, at least three fifths of what is possible are reached."""
    reached = simulate(Pacer(), latency, capacity, 200, noise=0.1, seed=seed)
    assert reached >= 0.6 * min(capacity, MOST / latency)


def test_a_strained_store_gets_less_at_once_and_is_tried_again_later() -> None:
    """A window with a 503 shrinks the number; it rests, and then grows again."""
    pacer = Pacer()
    simulate(pacer, 0.1, 10_000, 12)
    before = pacer.limit
    pacer.next(1, is_strained=True)
    low = pacer.limit
    assert low <= 0.6 * before
    for _ in range(5):
        assert pacer.next(low / 0.1, is_strained=False) == low
    simulate(pacer, 0.1, 10_000, 40)
    assert pacer.limit > low


def test_endless_strain_leaves_two() -> None:
    """However much a store objects, the work goes on."""
    pacer = Pacer()
    for _ in range(50):
        pacer.next(1, is_strained=True)
    assert pacer.limit == 2


def test_where_each_step_is_dear_one_that_does_not_pay_is_enough() -> None:
    """With ``misses=1`` it goes back at once, and no step beyond is tried."""
    pacer = Pacer(first=4, most=16, gain=1.25, misses=1)
    assert [pacer.next(rate, is_strained=False) for rate in (100, 120)] == [8, 4]


def test_two_steps_that_do_not_pay_lead_back_to_the_fastest() -> None:
    """One slow window may be chance; after a second one it goes back to the fastest, for longer each time."""
    pacer = Pacer()
    seen = [pacer.next(rate, is_strained=False) for rate in (100, 190, 150, 360, 350, 340)]
    assert seen == [16, 32, 64, 128, 256, 64]
    rests = []
    for _ in range(4):
        rest = 0
        while pacer.next(350, is_strained=False) == 64:
            rest += 1
        rests.append(rest + 1)
        assert pacer.next(300, is_strained=False) == 256
        assert pacer.next(300, is_strained=False) == 64
    assert rests == [6, 12, 24, 24]


def test_what_is_in_flight_when_the_number_changes_is_not_measured() -> None:
    """A server that is full gives no less when more is asked of it, nor more when less is: no window may say so."""
    rates: list[float] = []

    class Recorded(Pacer):
        def next(self, rate: float, *, is_strained: bool) -> int:
            rates.append(rate / (32 * 1024))
            return super().next(rate, is_strained=is_strained)

    async def main() -> None:
        slots = Concurrency(None, lambda: 0)
        slots._pacer = Recorded()
        full = asyncio.Semaphore(4)

        async def job() -> None:
            async with slots.slot(), full:
                await asyncio.sleep(0.004)
            slots.done(0)

        await asyncio.gather(*(job() for _ in range(1500)))

    virtual_time.run(main())
    assert len(rates) > 5
    assert all(0.9 * 1000 <= rate <= 1.1 * 1000 for rate in rates), "four at a time, 4 ms each"


def test_one_storm_is_one_retreat() -> None:
    """Objects that were in flight when the number fell, and meet the same trouble, do not make it fall again."""

    async def main() -> list[int]:
        throttle_count = 0
        slots = Concurrency(None, lambda: throttle_count, Pacer(first=100))
        limits = []
        for number in range(400):
            await asyncio.sleep(0.001)
            if 150 <= number < 290:  # a store objects, and those that it objected to are still coming in
                throttle_count += 1
            slots.done(1)
            limits.append(slots._limit)
        return sorted(set(limits))

    assert virtual_time.run(main()) == [60, 100]


def test_nobody_overtakes_those_who_wait() -> None:
    """Who leaves and comes again at once stands behind those who wait; a lower rank goes before a higher one."""

    async def main() -> list[str]:
        slots = Concurrency(1, lambda: 0)
        order: list[str] = []

        async def job(name: str, rank: int, times: int) -> None:
            for _ in range(times):
                async with slots.slot(rank):
                    order.append(name)
                    await asyncio.sleep(0)

        async with asyncio.timeout(5):
            await asyncio.gather(job("a", 1, 3), job("b", 1, 3), job("c", 0, 2))
        return order

    assert virtual_time.run(main()) == [*"acbcabab"]


def test_who_is_cancelled_in_the_moment_of_its_turn_gives_it_on() -> None:
    """A slot that was handed to somebody who is being cancelled goes to the next."""

    async def main() -> None:
        slots = Concurrency(1, lambda: 0)

        async def take() -> None:
            async with slots.slot():
                pass

        async with slots.slot():
            first, second = asyncio.create_task(take()), asyncio.create_task(take())
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 5)
        assert slots._active == 0

    virtual_time.run(main())


def test_a_fixed_number_is_kept() -> None:
    """Whoever says how many gets as many, never more."""

    async def main() -> int:
        slots = Concurrency(3, lambda: 0)
        active = most = 0

        async def job() -> None:
            nonlocal active, most
            async with slots.slot():
                active += 1
                most = max(most, active)
                await asyncio.sleep(0.001)
                active -= 1
            slots.done(1)

        await asyncio.gather(*(job() for _ in range(50)))
        return most

    assert virtual_time.run(main()) == 3


def test_slots_grow_while_that_pays() -> None:
    """Work that only waits is soon done many at a time; cancelled waiters lose no slot."""

    async def main() -> int:
        slots = Concurrency(None, lambda: 0)
        active = most = 0

        async def job() -> None:
            nonlocal active, most
            async with slots.slot():
                active += 1
                most = max(most, active)
                try:
                    await asyncio.sleep(0.01)
                finally:
                    active -= 1
            slots.done(1)

        jobs = [asyncio.ensure_future(job()) for _ in range(4000)]
        await asyncio.sleep(0.05)
        for each in jobs[2000:2500]:
            each.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert active == 0
        async with slots.slot():
            pass
        return most

    assert virtual_time.run(main()) >= 4 * FIRST


def test_a_slot_that_is_left_early() -> None:
    """Who waits for a device alone makes room at once, and only once."""

    async def main() -> list[str]:
        slots = Concurrency(1, lambda: 0)
        said: list[str] = []
        device = asyncio.Event()

        async def first() -> None:
            async with slots.slot() as leave:
                leave()
                leave()
                await device.wait()
                said.append("first is on the device")

        async def later(name: str) -> None:
            async with slots.slot():
                said.append(f"{name} begins")
                await asyncio.sleep(0.01)
                said.append(f"{name} ends")
                device.set()

        async with asyncio.timeout(5):
            await asyncio.gather(first(), later("second"), later("third"))
        return said

    said = virtual_time.run(main())
    assert "first is on the device" in said
    said.remove("first is on the device")
    assert said == ["second begins", "second ends", "third begins", "third ends"]
