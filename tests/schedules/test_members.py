"""Daemons share the work evenly by load."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.runs.history import History
from keepstep.runs.run import Run
from keepstep.schedules.members import Load, Members, hold, shares
from keepstep.schedules.schedule import parse_schedule
from keepstep.schedules.scheduler import Scheduler, Timing
from keepstep.state.place import place_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOURLY = Timing(kind="sync", schedule=parse_schedule("0 * * * *", UTC))


@pytest.mark.parametrize(
    ("jobs", "loads", "counts"),
    [
        (20, {"a": Load(), "b": Load(), "c": Load()}, [7, 7, 6]),
        (1, {"a": Load(3), "b": Load(2), "c": Load(5)}, [1]),
        (1, {"a": Load(0, 9), "b": Load(0, 8)}, [1]),
        (4, {"a": Load(4), "b": Load()}, [4]),
        (6, {"a": Load(4), "b": Load()}, [5, 1]),
        (3, {"a": Load()}, [3]),
    ],
)
def test_who_has_the_least_to_do_is_next(jobs: int, loads: dict[str, Load], counts: list[int]) -> None:
    """Open runs count first, then those of the last hour."""
    turns = shares([(f"job{n}", NOON) for n in range(jobs)], loads)
    found = Counter(turns.values())
    assert sorted(found.values(), reverse=True) == counts
    assert found.most_common(1)[0][0] == min(loads, key=lambda each: loads[each]) or len(set(loads.values())) == 1


@given(
    jobs=st.lists(st.text(max_size=5), unique=True, max_size=60),
    loads=st.dictionaries(st.text(max_size=3), st.builds(Load, st.integers(0, 9), st.integers(0, 9)), min_size=1),
)
def test_shares_are_everybodys_and_even(jobs: list[str], loads: dict[str, Load]) -> None:
    """Every daemon comes to the same answer, whatever the order; who took something has no more than others."""
    due = [(job, NOON) for job in jobs]
    turns = shares(due, loads)
    assert turns == shares(due[::-1], dict(reversed(loads.items())))
    assert turns.keys() == set(jobs)
    after = {name: load.open + list(turns.values()).count(name) for name, load in loads.items()}
    taken = [after[name] for name in set(turns.values())]
    assert not taken or max(taken) <= min(after.values()) + 1


class Daemon:
    def __init__(self, url: str, name: str) -> None:
        self.history = History(place_of(url).open())
        self.members = Members(self.history.database, name, "host")
        self.scheduler = Scheduler(self.history, "host", lambda run: True, self.members)
        self.runs: list[Run] = []

    def begin(self, jobs: int) -> None:
        self.members.sign(NOON)
        self.scheduler.set_jobs({f"job{n:02}": HOURLY for n in range(jobs)}, NOON)

    def tick(self, now: datetime) -> list[Run]:
        found = self.scheduler.tick(now)
        self.runs += found
        return found


def test_three_daemons_share_twenty_jobs(state_url: str) -> None:
    """Seven, seven and six, each time once, hour after hour, though one of them is always first."""
    daemons = [Daemon(state_url, name) for name in "abc"]
    for daemon in daemons:
        daemon.begin(20)
    for hour in range(1, 4):
        now = NOON + timedelta(hours=hour)
        for daemon in daemons:
            daemon.members.sign(now)
        for daemon in daemons:
            daemon.tick(now)
        for daemon in daemons:
            daemon.tick(now + hold(20))
        runs = [run for daemon in daemons for run in daemon.runs]
        assert len({(run.job, run.due) for run in runs}) == len(runs) == 20 * hour
        for daemon in daemons:
            for run in daemon.runs:
                if run.due == now:
                    daemon.history.end(_done(run, now))
    counts = sorted(len(daemon.runs) for daemon in daemons)
    assert counts[-1] - counts[0] <= 3


def _done(run: Run, now: datetime) -> Run:
    return replace(run, outcome="done", started=now, finished=now + timedelta(seconds=1))


def test_the_share_of_a_daemon_that_is_frozen_is_taken(state_url: str) -> None:
    """The others wait a moment, no longer."""
    frozen, living = (Daemon(state_url, name) for name in "ab")
    for daemon in (frozen, living):
        daemon.begin(10)
    now = NOON + timedelta(hours=1)
    for daemon in (frozen, living):
        daemon.members.sign(now)
    assert len(living.tick(now)) == 5
    assert living.scheduler.wake() == now + hold(10)
    assert len(living.tick(now + hold(10))) == 5
    assert frozen.tick(now + timedelta(minutes=3)) == []


def test_a_daemon_alone_waits_for_nobody(state_url: str) -> None:
    """Also when others were here a while ago."""
    gone, here = (Daemon(state_url, name) for name in "ab")
    gone.begin(3)
    here.begin(3)
    gone.members.leave()
    assert len(here.tick(NOON + timedelta(hours=1))) == 3
