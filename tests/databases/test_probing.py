"""Logins that are tried without locking anybody out."""

from __future__ import annotations

import asyncio

import pytest

from keepstep.databases.interface import Answer, Login, Probe
from keepstep.databases.memory import MemoryDatabase
from keepstep.databases.probing import WINDOW, Sparing, probe_all
from keepstep.secret import Secret
from tests.audit.worlds import TickingClock

RIGHT, WRONG = Secret("the right password"), Secret("a wrong password")


class Clock(TickingClock):
    """Stands still until it is told the time."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase(failures_allowed=3)
    database.add("app", RIGHT)
    database.add("other", RIGHT)
    return database


def test_two_failures_in_a_row_are_enough(database: MemoryDatabase) -> None:
    """F8: after two rejected logins of an account no more are tried for an hour: it is never locked."""

    async def main() -> None:
        clock = Clock()
        sparing = Sparing(database, clock)
        answers = [(await sparing.probe(Login("app", WRONG))).answer for _ in range(5)]
        assert answers == [Answer.REJECT] * 2 + [Answer.WITHHELD] * 3
        assert (await sparing.probe(Login("app", RIGHT))).answer is Answer.WITHHELD
        assert (await sparing.probe(Login("other", RIGHT))).answer is Answer.ACCEPT
        clock.seconds = WINDOW.total_seconds()
        assert (await sparing.probe(Login("app", RIGHT))).answer is Answer.ACCEPT
        assert not database.users["app"].locked

    asyncio.run(main())


def test_a_success_starts_the_count_anew(database: MemoryDatabase) -> None:
    """As in the database: after a login that was accepted two more may fail."""

    async def main() -> None:
        sparing = Sparing(database, Clock())
        for _ in range(10):
            assert (await sparing.probe(Login("app", WRONG))).answer is Answer.REJECT
            assert (await sparing.probe(Login("app", RIGHT))).answer is Answer.ACCEPT
        assert not database.users["app"].locked

    asyncio.run(main())


def test_a_series_ends_with_the_likeliest(database: MemoryDatabase) -> None:
    """Several logins are tried the least likely first, so that the last one starts the server's count anew."""

    async def main() -> None:
        probes = await probe_all(database, [Login("app", RIGHT), Login("app", WRONG), Login("app", WRONG)])
        assert [probe.answer for probe in probes] == [Answer.ACCEPT, Answer.REJECT, Answer.REJECT]
        assert database.users["app"].failures == 0

    asyncio.run(main())


def test_a_series_stops_where_nothing_is_learnt(database: MemoryDatabase) -> None:
    """The first login that meets no database, or a locked account, is the last one."""

    async def main() -> None:
        database.users["app"].locked = "LOCKED"
        probes = await probe_all(database, [Login("other", RIGHT), Login("app", RIGHT), Login("other", WRONG)])
        assert [probe.answer for probe in probes] == [Answer.WITHHELD, Answer.LOCKED, Answer.REJECT]

    asyncio.run(main())


def test_a_sparing_database_is_the_same_database(database: MemoryDatabase) -> None:
    """The wrapper has the name, the limits and the sessions of what it wraps, and says how long it waits."""

    async def main() -> None:
        sparing = Sparing(database, Clock())
        assert (sparing.name, sparing.engine, sparing.name_limit) == (
            database.name,
            database.engine,
            database.name_limit,
        )
        assert sparing.remedy("app") == database.remedy("app")
        async with sparing.session(Login("app", RIGHT)) as session:
            assert await session.account("other")
        for _ in range(2):
            await sparing.probe(Login("app", WRONG))
        probe = await sparing.probe(Login("app", WRONG))
        assert probe == Probe(Answer.WITHHELD, "2 logins of app failed; the next may be tried in 60 minutes")

    asyncio.run(main())
