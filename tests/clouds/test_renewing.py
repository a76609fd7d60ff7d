"""A value that is renewed before it expires, by one thread, however many ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keepstep.clouds.renewing import Renewing
from keepstep.errors import ConfigError, Transient

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Ticket:
    number: int
    expires_at: datetime | None


class Desk:
    """Issues numbered tickets; it can be slow, broken or asked who asked."""

    def __init__(self, life: timedelta | None = HOUR) -> None:
        self.life = life
        self.asked: list[bool] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def issue(self, force: bool) -> Ticket:
        self.asked.append(force)
        assert threading.current_thread().daemon
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        end = None if self.life is None else datetime.now(UTC) + self.life
        return Ticket(len(self.asked), end)


def renewing(desk: Desk, clock: Any, **options: Any) -> Renewing[Ticket]:
    return Renewing(desk.issue, what="tickets", early=timedelta(minutes=5), clock=clock, **options)


async def settled(desk: Desk, times: int) -> None:
    async with asyncio.timeout(10):
        while len(desk.asked) < times:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)


def test_many_askers_share_one_fetch(clock: Any, run: Callable[..., Any]) -> None:
    """Thirty-two tasks that ask at once cause one fetch and get the same value."""
    desk = Desk()

    async def work() -> list[Ticket]:
        tickets = renewing(desk, clock)
        return await asyncio.gather(*(tickets.get() for _ in range(32)))

    assert {ticket.number for ticket in run(work())} == {1}
    assert desk.asked == [False]


def test_a_young_value_is_not_looked_at(clock: Any, run: Callable[..., Any]) -> None:
    """Until five minutes before the end nothing is fetched; then once, while the old value serves on."""
    desk = Desk()

    async def work() -> list[int]:
        tickets = renewing(desk, clock)
        seen = [(await tickets.get()).number]
        clock.ahead = 54 * 60
        seen.append((await tickets.get()).number)
        await asyncio.sleep(0.02)
        assert len(desk.asked) == 1
        clock.ahead = 56 * 60
        desk.gate.clear()
        seen += [(await tickets.get()).number for _ in range(5)]
        desk.gate.set()
        await settled(desk, 2)
        return [*seen, (await tickets.get()).number]

    assert run(work()) == [1, 1, 1, 1, 1, 1, 1, 2]
    assert desk.asked == [False, False]


def test_the_last_minute_waits_for_a_new_value(clock: Any, run: Callable[..., Any]) -> None:
    """A value with seconds to live is not given out when a new one can be obtained."""
    desk = Desk()

    async def work() -> int:
        tickets = renewing(desk, clock)
        await tickets.get()
        clock.ahead = 3600 - 30
        return (await tickets.get()).number

    assert run(work()) == 2


def test_a_failed_renewal_is_tried_again(
    clock: Any, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The old value serves as long as it lives, with a warning; once it is dead the error comes out."""
    desk = Desk()

    async def work() -> list[int]:
        tickets = renewing(desk, clock)
        seen = [(await tickets.get()).number]
        desk.error = ConfigError("the desk is closed")
        clock.ahead = 56 * 60
        seen.append((await tickets.get()).number)
        await settled(desk, 2)
        clock.ahead = 3600 - 30
        seen.append((await tickets.get()).number)
        clock.ahead = 3600 + 30
        with pytest.raises(ConfigError, match="the desk is closed"):
            await tickets.get()
        desk.error = None
        return [*seen, (await tickets.get()).number]

    assert run(work()) == [1, 1, 1, 5]
    assert "tickets could not be renewed yet: the desk is closed" in caplog.text


def test_a_source_that_changed_is_read_again(clock: Any, run: Callable[..., Any]) -> None:
    """When the source says that it changed, a new value is fetched behind the scenes."""
    desk = Desk(life=None)

    async def work() -> int:
        tickets = renewing(desk, clock, is_outdated=lambda ticket: ticket.number == 1)
        await tickets.get()
        clock.ahead = 6
        await tickets.get()
        await settled(desk, 2)
        clock.ahead = 12
        await tickets.get()
        await asyncio.sleep(0.02)
        return (await tickets.get()).number

    assert run(work()) == 2
    assert len(desk.asked) == 2


def test_values_without_an_end_live_on(clock: Any, run: Callable[..., Any]) -> None:
    """What never expires is fetched once."""
    desk = Desk(life=None)

    async def work() -> int:
        tickets = renewing(desk, clock)
        await tickets.get()
        clock.ahead = 10**9
        return (await tickets.get()).number

    assert run(work()) == 1


def test_a_refused_value_is_renewed_once(clock: Any, run: Callable[..., Any]) -> None:
    """Refused together, renewed once and by force; refused late, the replacement is handed out."""
    desk = Desk()

    async def work() -> list[int]:
        tickets = renewing(desk, clock)
        old = await tickets.get()
        new = await asyncio.gather(*(tickets.renew(old) for _ in range(32)))
        late = await tickets.renew(old)
        anyway = await tickets.renew()
        return [*sorted({ticket.number for ticket in new}), late.number, anyway.number]

    assert run(work()) == [2, 2, 3]
    assert desk.asked == [False, True, True]


def test_a_renewal_under_way_is_waited_for(clock: Any, run: Callable[..., Any]) -> None:
    """A refusal that meets a renewal in the background takes its value and forces nothing."""
    desk = Desk()

    async def work() -> int:
        tickets = renewing(desk, clock)
        old = await tickets.get()
        clock.ahead = 56 * 60
        desk.gate.clear()
        await tickets.get()
        asyncio.get_running_loop().call_later(0.05, desk.gate.set)
        return (await tickets.renew(old)).number

    assert run(work()) == 2
    assert desk.asked == [False, False]


def test_a_source_that_hangs(clock: Any, run: Callable[..., Any]) -> None:
    """Nobody waits longer than the limit, and the message says for what."""
    desk = Desk()
    desk.gate.clear()

    async def work() -> None:
        tickets = renewing(desk, clock, limit=0.05)
        with pytest.raises(Transient, match="tickets did not come within 0 seconds"):
            await tickets.get()
        desk.gate.set()
        await settled(desk, 1)
        assert (await tickets.get()).number == 1

    run(work())


def test_a_timeout_of_the_source_is_its_own(clock: Any, run: Callable[..., Any]) -> None:
    """A source that raises ``TimeoutError`` is not mistaken for one that hangs."""
    desk = Desk()
    desk.error = TimeoutError("the source's own")

    async def work() -> None:
        with pytest.raises(TimeoutError, match="the source's own"):
            await renewing(desk, clock).get()

    run(work())


def test_a_cancelled_asker_harms_nobody(clock: Any, run: Callable[..., Any]) -> None:
    """When one of two waiting tasks is cancelled the other still gets the value of the same fetch."""
    desk = Desk()
    desk.gate.clear()

    async def work() -> int:
        tickets = renewing(desk, clock)
        one, two = asyncio.create_task(tickets.get()), asyncio.create_task(tickets.get())
        await asyncio.sleep(0.02)
        one.cancel()
        desk.gate.set()
        return (await two).number

    assert run(work()) == 1
    assert desk.asked == [False]
