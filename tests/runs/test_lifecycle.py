"""A run's life: each step from each outcome, and a model check with freezes, clocks that jump, and outages."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keepstep.errors import Error
from keepstep.runs import lifecycle
from keepstep.runs.history import History
from keepstep.runs.liveness import LOOKS
from keepstep.runs.run import MEANINGS, OPEN, Run
from keepstep.schedules.members import Members, hold
from keepstep.schedules.schedule import parse_schedule
from keepstep.schedules.scheduler import Scheduler, Timing
from keepstep.state.place import place_of
from tests.runs.test_history import NOW, a_run, ended
from tests.state.flaky import Flaky

STEPS: dict[str, tuple[tuple[str, ...], Callable[[History, Run], bool]]] = {
    "start": (("queued",), lambda history, run: history.start(replace(run, started=NOW))),
    "keep": (("queued",), lambda history, run: history.database.write(lambda q: lifecycle.keep(q, run.id, NOW))),
    "beat": (("running",), lambda history, run: history.beat(run.id, at=NOW)),
    "end": (OPEN, lambda history, run: history.end(ended(run))),
    "lose": (OPEN, lambda history, run: history.lose(run, at=NOW)),
}
"""Each step, the outcomes that it leads away from, and how it is taken."""


@pytest.fixture
def history(state_url: str) -> History:
    return History(place_of(state_url).open())


@pytest.mark.parametrize("outcome", ["queued", "running", "done", "failed", "lost", "overlapped"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_taken_from_where_the_table_says(history: History, step: str, outcome: str) -> None:
    """From any other outcome it is refused, and changes nothing."""
    run = a_run(outcome=outcome)
    history.begin(run if outcome in OPEN else ended(run, outcome))
    before = history.get(run.id)
    sources, take = STEPS[step]
    assert take(history, run) == (outcome in sources)
    if outcome not in sources:
        assert history.get(run.id) == before


def test_a_sign_of_life_saves_a_run(history: History) -> None:
    """A run that gave a sign of life after the reaper's look is not lost."""
    run = a_run()
    history.begin(run)
    assert history.beat(run.id, at=NOW + timedelta(seconds=1))
    assert not history.lose(run, at=NOW + timedelta(minutes=2))
    assert [each.id for each in history.open()] == [run.id]


def test_every_outcome_but_the_open_ones_is_final() -> None:
    """No word for an outcome is taken for one that is open."""
    assert set(OPEN) == {"queued", "running"} and set(OPEN) <= set(MEANINGS)


START = datetime(2026, 3, 2, 12, tzinfo=UTC)
JOBS = ("a", "b")
TIMING = Timing(kind="sync", schedule=parse_schedule("@every 10m"))


@dataclass
class Process:
    """What carries a run out: it takes the lock, starts, works, and ends; it may be frozen or lose its session."""

    run: Run
    stage: str = "new"
    is_frozen: bool = False
    holds: bool = False


@dataclass
class Daemon:
    """A scheduler, its clock's error, and its runs, which wait or have a process."""

    name: str
    flaky: Flaky
    scheduler: Scheduler
    members: Members
    skew: timedelta = timedelta(0)
    is_frozen: bool = False
    queued: list[Run] = field(default_factory=list)


class Lives(RuleBasedStateMachine):
    """Two daemons, their processes, and a state; each rule is a step of one of them, or something that happens."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keepstep-model-"))
        self.url = f"sqlite:///{self.folder}/state.db"
        self.now = START
        self.processes: list[Process] = []
        self.worked: Counter[tuple[str, datetime]] = Counter()
        self.wronged: list[str] = []
        self.signed: set[str] = set()
        self.daemons = [self._daemon(name) for name in "xy"]
        self.truth = History(place_of(self.url).open())

    def _daemon(self, name: str) -> Daemon:
        flaky = Flaky(place_of(self.url).open())
        members = Members(flaky, name, name)
        history = History(flaky)
        daemon = Daemon(name, flaky, Scheduler(history, name, self._is_dead, members), members)
        daemon.scheduler.set_jobs(dict.fromkeys(JOBS, TIMING), self.now)
        members.sign(self.now)
        return daemon

    def _is_dead(self, run: Run) -> bool:
        """Looks at the lock; a process that lives gives a sign of life right after that."""
        is_free = not any(process.holds and process.run.job == run.job for process in self.processes)
        for process in self.processes:
            if process.run.id == run.id and not process.is_frozen and self.truth.beat(run.id, at=self._moment()):
                self.signed.add(run.id)
        return is_free

    def _moment(self) -> datetime:
        """No two signs of life are the same."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            try:
                self._settle()
            finally:
                for each in [*self.daemons]:
                    each.flaky.close()
                self.truth.database.close()
                shutil.rmtree(self.folder, ignore_errors=True)

    # what happens

    @rule(minutes=st.sampled_from([0, 1, 10, 25]))
    def time_goes_by(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes, seconds=3)

    @rule(which=st.integers(0, 1), hours=st.sampled_from([0, 0, -3, 3, 24 * 183]))
    def a_clock_jumps(self, which: int, hours: int) -> None:
        self.daemons[which].skew = timedelta(hours=hours)

    @rule(which=st.integers(0, 1), fault=st.sampled_from(["", "away", "loses", ""]))
    def the_state_goes_or_comes(self, which: int, fault: str) -> None:
        flaky = self.daemons[which].flaky
        flaky.is_away, flaky.loses_answers = fault == "away", fault == "loses"

    @rule(which=st.integers(0, 1))
    def a_daemon_freezes_or_goes_on(self, which: int) -> None:
        self.daemons[which].is_frozen = not self.daemons[which].is_frozen

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def a_process_freezes_or_goes_on(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.processes))
        process.is_frozen = not process.is_frozen

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def a_session_ends(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.processes)).holds = False

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def a_process_is_killed(self, data: st.DataObject) -> None:
        self.processes.remove(data.draw(st.sampled_from(self.processes)))

    @rule(which=st.integers(0, 1))
    def a_daemon_is_killed(self, which: int) -> None:
        """A new one comes in its place; its processes live on for a while."""
        self.daemons[which].flaky.close()
        self.daemons[which] = self._daemon(f"{self.daemons[which].name}x")

    @rule()
    def the_others_go_on_for_a_while(self) -> None:
        """Long enough for what is silent to be given up."""
        for _ in range(LOOKS + 1):
            self.now += timedelta(seconds=15)
            for which in (0, 1):
                self.a_daemon_looks(which)
                self.a_daemon_ticks(which)
            for process in list(self.processes):
                if process.stage == "started":  # work that takes longer
                    self.truth.beat(process.run.id, at=self._moment()) if not process.is_frozen else None

    # what daemons do

    @rule(which=st.integers(0, 1))
    def a_daemon_ticks(self, which: int) -> None:
        self._asked(self.daemons[which], lambda daemon, now: daemon.scheduler.tick(now))

    @rule(which=st.integers(0, 1))
    def a_daemon_looks(self, which: int) -> None:
        def look(daemon: Daemon, now: datetime) -> list[Run]:
            ours = [run.id for run in daemon.queued]
            History(daemon.flaky).keep(ours, at=now)
            daemon.members.sign(now)
            return daemon.scheduler.reap(now, ours)

        self._asked(self.daemons[which], look)

    def _asked(self, daemon: Daemon, question: Callable[[Daemon, datetime], list[Run]]) -> None:
        if daemon.is_frozen:
            return
        before = self.truth.open()
        self.signed.clear()
        with suppress(Error):
            daemon.queued += question(daemon, self.now + daemon.skew)
        for run in before:
            known = self.truth.get(run.id)
            is_alive = run.id in self.signed or any(p.holds and p.run.id == run.id for p in self.processes)
            if known and known.outcome == "lost" and is_alive:
                self.wronged.append(run.id)

    @rule(which=st.integers(0, 1))
    def a_run_gets_a_process(self, which: int) -> None:
        daemon = self.daemons[which]
        if daemon.queued and not daemon.is_frozen:
            self.processes.append(Process(daemon.queued.pop(0)))

    # what processes do

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def a_process_goes_on(self, data: st.DataObject) -> None:
        self._step(data.draw(st.sampled_from(self.processes)))

    def _step(self, process: Process) -> None:
        """One step: the lock, the start, the work, a beat, the end."""
        if process.is_frozen:
            return
        run = process.run
        if process.stage == "new":
            if not self._is_dead(run):
                self.truth.end(ended(replace(run, started=None), "locked"))
                self.processes.remove(process)
            else:
                process.holds, process.stage = True, "locked"
        elif process.stage == "locked":
            if self.truth.start(replace(run, started=self.now)):
                process.stage = "started"
                if run.due and run.due <= self.now:  # a time that a wrong clock saw come has yet to come
                    self.worked[run.job, run.due] += 1
            else:
                self.processes.remove(process)
        elif not self.truth.beat(run.id, at=self._moment()):
            self.processes.remove(process)
        elif process.stage == "started":
            process.stage = "done"
        else:
            self.truth.end(ended(replace(run, started=self.now)))
            self.processes.remove(process)

    # what holds

    @invariant()
    def each_time_is_acted_on_once(self) -> None:
        if hasattr(self, "worked"):
            assert [key for key, count in self.worked.items() if count > 1] == []

    @invariant()
    def no_run_that_holds_its_lock_is_given_up(self) -> None:
        if hasattr(self, "wronged"):
            assert self.wronged == []

    @invariant()
    def nothing_has_ended_and_is_open(self) -> None:
        if hasattr(self, "truth"):
            assert [run for run in self.truth.open() if run.finished] == []

    def _settle(self) -> None:
        """Once everything works again, no job is blocked: each runs at a time that comes after."""
        for daemon in self.daemons:
            daemon.is_frozen = daemon.flaky.is_away = daemon.flaky.loses_answers = False
            daemon.skew = timedelta(0)
        for process in list(self.processes):
            process.is_frozen = False
            while process in self.processes:
                self._step(process)
        done: set[str] = set()
        for _ in range(3 * LOOKS + 20):
            self.now += timedelta(minutes=2) + hold(2)
            for which in (0, 1):
                self.a_daemon_looks(which)
                self.a_daemon_ticks(which)
                while self.daemons[which].queued:
                    self.a_run_gets_a_process(which)
            for process in list(self.processes):
                while process in self.processes:
                    if process.stage == "started":
                        done.add(process.run.job)
                    self._step(process)
        assert done == set(JOBS)
        self.each_time_is_acted_on_once()
        self.no_run_that_holds_its_lock_is_given_up()


def check(examples: int, steps: int) -> None:
    """The model check, of so many lives."""
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )


def test_the_model_in_short() -> None:
    """Each due time is acted on at most once, no job is blocked, no run that holds its lock is given up."""
    check(25, 40)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_model() -> None:
    """The same, of more and longer lives."""
    check(300, 80)
