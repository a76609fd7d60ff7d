"""The scheduler: every time is acted on once, whatever happens to daemons, clocks and configuration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keepstep.errors import Transient
from keepstep.runs.history import History
from keepstep.runs.liveness import LOOKS
from keepstep.runs.run import Run
from keepstep.schedules.schedule import parse_schedule
from keepstep.schedules.scheduler import Scheduler, Timing
from keepstep.state.place import place_of
from tests.state.flaky import Flaky

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def hourly(**changed: object) -> Timing:
    return replace(Timing(kind="sync", schedule=parse_schedule("0 * * * *", UTC)), **changed)  # type: ignore[arg-type]


class Daemon:
    """A scheduler of its own connection, and what it was told to start."""

    def __init__(self, url: str, host: str = "a", is_dead: Callable[[Run], bool] = lambda run: True) -> None:
        self.history = History(place_of(url).open())
        self.scheduler = Scheduler(self.history, host, is_dead)

    def takes(self, now: datetime, *jobs: Timing) -> list[Run]:
        if jobs:
            self.scheduler.set_jobs({f"job{n}": job for n, job in enumerate(jobs)}, now)
        return self.scheduler.tick(now)

    def reaps(self, now: datetime) -> list[Run]:
        """As many looks as are needed."""
        looks = range(LOOKS)
        return [run for n in looks for run in self.scheduler.reap(now + n * timedelta(seconds=15), ())]

    def finishes(self, run: Run, now: datetime) -> None:
        assert self.history.end(replace(run, outcome="done", started=run.queued, finished=now))


@pytest.fixture
def daemon(state_url: str) -> Daemon:
    return Daemon(state_url)


def test_a_job_starts_when_it_is_due(daemon: Daemon) -> None:
    """Not before its time, once at it, and not again until the next."""
    assert daemon.takes(NOON + MINUTE, hourly()) == []
    assert daemon.takes(NOON + 59.9 * MINUTE) == []
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert (run.job, run.cause, run.due) == ("job0", "schedule", NOON + 60 * MINUTE)
    daemon.finishes(run, NOON + 61 * MINUTE)
    assert daemon.takes(NOON + 60 * MINUTE) == []
    assert daemon.scheduler.wake() == NOON + 120 * MINUTE
    assert len(daemon.takes(NOON + 120 * MINUTE)) == 1


def test_two_daemons_start_it_once(state_url: str) -> None:
    """Of two daemons with one state, one starts a run that is due, whoever comes first."""
    ours, theirs = Daemon(state_url, "a"), Daemon(state_url, "b")
    for daemon in (ours, theirs):
        daemon.takes(NOON, hourly())
    for hour in range(1, 6):
        now = NOON + hour * 60 * MINUTE
        found = [run for daemon in (ours, theirs)[:: (-1) ** hour] for run in daemon.takes(now)]
        assert len(found) == 1
        ours.finishes(found[0], now + MINUTE)


def test_runs_do_not_overlap(daemon: Daemon) -> None:
    """A time that comes while the previous run is in progress is written down as overlapped, and starts nothing."""
    daemon.takes(NOON, hourly())
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert daemon.takes(NOON + 120 * MINUTE) == []
    assert [each.outcome for each in daemon.history.recent("job0")] == ["overlapped", "queued"]
    daemon.finishes(run, NOON + 121 * MINUTE)
    assert len(daemon.takes(NOON + 180 * MINUTE)) == 1


def test_missed_times_are_made_up_for_once(state_url: str) -> None:
    """After five hours without a daemon one run makes up for all, at once, and says so."""
    Daemon(state_url).takes(NOON, hourly())
    [run] = Daemon(state_url).takes(NOON + 5.5 * 60 * MINUTE, hourly())
    assert (run.cause, run.due) == ("missed", NOON + 300 * MINUTE)


def test_missed_times_can_be_passed_over(state_url: str) -> None:
    """With ``missed = "skip"`` the next run is the next one of the schedule."""
    Daemon(state_url).takes(NOON, hourly(makes_up=False))
    later = Daemon(state_url)
    assert later.takes(NOON + 5.5 * 60 * MINUTE, hourly(makes_up=False)) == []
    assert len(later.takes(NOON + 6 * 60 * MINUTE)) == 1


def test_a_long_sleep_costs_no_time(daemon: Daemon) -> None:
    """A job of every minute that was away for two years is due once."""
    daemon.takes(NOON, hourly(schedule=parse_schedule("* * * * *", UTC)))
    [run] = daemon.takes(NOON + timedelta(days=730))
    assert run.due == NOON + timedelta(days=730)


def test_jitter_is_bounded_and_everybodys(state_url: str) -> None:
    """A start is at most the jitter late, and every daemon comes to the same moment."""
    jobs = [hourly(jitter=10 * MINUTE) for _ in range(20)]
    ours, theirs = Daemon(state_url), Daemon(state_url)
    ours.takes(NOON, *jobs)
    theirs.takes(NOON, *jobs)
    starts = [ours.scheduler.next(f"job{n}") for n in range(20)]
    assert starts == [theirs.scheduler.next(f"job{n}") for n in range(20)]
    assert all(start and NOON + 60 * MINUTE <= start <= NOON + 70 * MINUTE for start in starts)
    assert len(set(starts)) > 10
    first = min(start for start in starts if start)
    assert len(ours.takes(first)) == 1


def test_startup_runs(daemon: Daemon) -> None:
    """Jobs that ask for it, and ``@reboot``, run when the daemon starts, and not by the clock."""
    jobs = (hourly(at_startup=True), hourly(), hourly(schedule=parse_schedule("@reboot")))
    assert daemon.takes(NOON, *jobs) == []
    assert [(run.job, run.cause) for run in daemon.scheduler.startup(NOON)] == [
        ("job0", "startup"),
        ("job2", "startup"),
    ]
    assert daemon.scheduler.startup(NOON) == []


def test_a_dead_daemons_run_goes_on_elsewhere(state_url: str) -> None:
    """A run that is silent, and whose lock is free, is lost; another daemon runs the job at once, and once."""
    dead, ours, theirs = (Daemon(state_url, host) for host in "abc")
    for daemon in (dead, ours, theirs):
        daemon.takes(NOON, hourly())
    [run] = dead.takes(NOON + 60 * MINUTE)
    assert ours.scheduler.reap(NOON + 60.5 * MINUTE, ()) == []
    [resumed] = ours.reaps(NOON + 62 * MINUTE)
    assert theirs.reaps(NOON + 62 * MINUTE) == []
    assert (resumed.job, resumed.cause) == ("job0", "resumed")
    lost = ours.history.get(run.id)
    assert lost and lost.outcome == "lost"


def test_a_run_that_kills_its_machine_is_not_chased(state_url: str) -> None:
    """What was resumed once and died again waits for its next time."""
    daemon = Daemon(state_url)
    daemon.takes(NOON, hourly())
    daemon.takes(NOON + 60 * MINUTE)
    [resumed] = daemon.reaps(NOON + 62 * MINUTE)
    assert daemon.reaps(NOON + 64 * MINUTE) == []
    lost = daemon.history.get(resumed.id)
    assert lost and lost.outcome == "lost"
    assert len(daemon.takes(NOON + 120 * MINUTE)) == 1


def test_silence_is_counted_in_looks(state_url: str) -> None:
    """Whatever the clocks say, a run is given up only after several looks at the same sign of life."""
    daemon = Daemon(state_url)
    daemon.takes(NOON, hourly())
    [run] = daemon.takes(NOON + 60 * MINUTE)
    for look in range(4 * LOOKS):
        if look % (LOOKS - 1) == 0:
            daemon.history.keep([run.id], at=NOON + look * MINUTE)
        assert daemon.scheduler.reap(NOON + timedelta(days=look), ()) == []
    assert [each.id for each in daemon.history.open()] == [run.id]


def test_a_run_that_holds_its_lock_again_lives(state_url: str) -> None:
    """After an outage every run has been silent; one that holds its lock at the last look is left alone."""
    looks: list[Run] = []

    def is_dead(run: Run) -> bool:
        looks.append(run)
        return False

    daemon = Daemon(state_url, is_dead=is_dead)
    daemon.takes(NOON, hourly())
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert daemon.reaps(NOON + 65 * MINUTE) == []
    assert [each.id for each in looks] == [run.id]
    assert [each.id for each in daemon.history.open()] == [run.id]


@pytest.mark.parametrize("reason", ["ours", "alive", "kept"])
def test_the_living_are_left_alone(state_url: str, reason: str) -> None:
    """A run that its daemon looks after, whose lock is held, or that gives signs of life, is not lost."""
    daemon = Daemon(state_url, is_dead=lambda run: reason != "alive")
    daemon.takes(NOON, hourly())
    [run] = daemon.takes(NOON + 60 * MINUTE)
    for look in range(3 * LOOKS):
        if reason == "kept":
            daemon.history.keep([run.id], at=NOON + timedelta(hours=1, seconds=look))
        assert daemon.scheduler.reap(NOON + 65.5 * MINUTE, [run.id] if reason == "ours" else []) == []
    assert [each.id for each in daemon.history.open()] == [run.id]


def test_a_reload_keeps_what_is_unchanged(daemon: Daemon) -> None:
    """Jobs with the same timing keep their time, changed ones count from now, removed ones are forgotten."""
    daemon.takes(NOON, hourly(), hourly(), hourly())
    daemon.scheduler.set_jobs({"job0": hourly(), "job1": hourly(schedule=parse_schedule("30 * * * *", UTC))}, NOON)
    assert daemon.scheduler.next("job0") == NOON + 60 * MINUTE
    assert daemon.scheduler.next("job1") == NOON + 30 * MINUTE
    assert daemon.scheduler.next("job2") is None


@pytest.mark.parametrize("ahead", [timedelta(days=183), timedelta(days=3), timedelta(hours=2)])
@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_clock_that_was_ahead_blocks_no_job(state_url: str, ahead: timedelta, is_fresh: bool) -> None:
    """A daemon starts, or runs, while the clock is ahead; once it is right, jobs run when they are due."""
    daemon = Daemon(state_url)
    daemon.takes(NOON + ahead, hourly())
    for run in daemon.takes(NOON + ahead + 60 * MINUTE):
        daemon.finishes(run, NOON + ahead + 61 * MINUTE)
    if is_fresh:
        daemon = Daemon(state_url)
        daemon.takes(NOON, hourly())
    assert daemon.takes(NOON + MINUTE) == []
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert run.due == NOON + 60 * MINUTE
    daemon.finishes(run, NOON + 61 * MINUTE)
    assert daemon.takes(NOON + 60 * MINUTE) == []
    assert len(daemon.takes(NOON + 120 * MINUTE)) == 1


def test_a_clock_that_was_ahead_hides_no_failure(state_url: str) -> None:
    """What a wrong clock wrote into the future is not the last run, nor the last success."""
    daemon = Daemon(state_url)
    future = NOON + timedelta(days=183)
    daemon.takes(future, hourly())
    [run] = daemon.takes(future + 60 * MINUTE)
    daemon.finishes(run, future + 61 * MINUTE)
    again = Daemon(state_url)
    again.takes(NOON, hourly())
    [run] = again.takes(NOON + 60 * MINUTE)
    again.finishes(run, NOON + 61 * MINUTE)
    last = again.history.last_ended("job0", NOON + 62 * MINUTE)
    facts = again.history.facts("job0")
    assert last and last.id == run.id
    assert facts and facts.last_success == NOON + 61 * MINUTE


def test_a_reload_while_the_state_is_away_changes_nothing(daemon: Daemon) -> None:
    """Old jobs go on, at their times; the new ones come when they are tried again."""
    flaky = daemon.history.database = Flaky(daemon.history.database)
    daemon.takes(NOON, hourly())
    flaky.is_away = True
    new = {"job0": hourly(schedule=parse_schedule("30 * * * *", UTC)), "job1": hourly()}
    with pytest.raises(Transient):
        daemon.scheduler.set_jobs(new, NOON + MINUTE)
    flaky.is_away = False
    assert daemon.scheduler.next("job0") == NOON + 60 * MINUTE
    assert daemon.scheduler.next("job1") is None
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert run.job == "job0"
    daemon.scheduler.set_jobs(new, NOON + 61 * MINUTE)
    assert daemon.scheduler.next("job1") == NOON + 120 * MINUTE


def test_a_claim_whose_answer_is_lost_is_carried_out(daemon: Daemon) -> None:
    """The state took the claim and its answer did not arrive: the next tick starts the run, once."""
    flaky = daemon.history.database = Flaky(daemon.history.database)
    daemon.takes(NOON, hourly())
    flaky.loses_answers = True
    with pytest.raises(Transient):
        daemon.takes(NOON + 60 * MINUTE)
    flaky.loses_answers = False
    [run] = daemon.takes(NOON + 60 * MINUTE)
    assert [each.id for each in daemon.history.open()] == [run.id]
    assert daemon.takes(NOON + 61 * MINUTE) == []


def test_runs_at_the_start_wait_for_the_state(daemon: Daemon) -> None:
    """A state that goes away between two of them costs neither."""
    flaky = daemon.history.database = Flaky(daemon.history.database)
    daemon.takes(NOON, hourly(at_startup=True), hourly(at_startup=True))
    flaky.loses_answers = True
    with pytest.raises(Transient):
        daemon.scheduler.startup(NOON)
    flaky.loses_answers = False
    assert sorted(run.job for run in daemon.takes(NOON + MINUTE)) == ["job0", "job1"]
    assert daemon.takes(NOON + MINUTE) == []


def test_a_daemon_that_was_held_up_takes_no_time_back(state_url: str) -> None:
    """Frozen after it read the clock, it does not take what others did meanwhile for the future."""
    slow, quick = Daemon(state_url, "a"), Daemon(state_url, "b")
    minutely = hourly(schedule=parse_schedule("* * * * *", UTC))
    for daemon in (slow, quick):
        daemon.takes(NOON, minutely)
    for minute in range(1, 6):
        [run] = quick.takes(NOON + minute * MINUTE)
        quick.finishes(run, NOON + minute * MINUTE)
    assert slow.scheduler.tick(NOON + MINUTE, time.monotonic() - 4 * 60) == []
    facts = slow.history.facts("job0")
    assert facts and facts.due == NOON + 5 * MINUTE
