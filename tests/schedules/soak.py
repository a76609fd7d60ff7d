"""Two simulated weeks of fifty jobs, daemons that die, channels that refuse: ``python -m tests.schedules.soak``.

The scheduler, the history and the alerts are the real ones, on a real state; time is simulated, and runs are events
that end after a while, well or not, or never. Everything random comes from a seed, which is printed.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from keepstep.monitoring.alerting import Alerting
from keepstep.monitoring.alerts import RECOVERED, TITLES, Message
from keepstep.monitoring.conditions import Watch
from keepstep.runs.history import History
from keepstep.runs.run import Run
from keepstep.schedules.schedule import parse_schedule
from keepstep.schedules.scheduler import Scheduler, Timing
from keepstep.state.database import Database
from keepstep.state.place import place_of

START = datetime(2026, 3, 22, 12, tzinfo=UTC)
"""The clock is put forward a week later."""
LOOK = timedelta(minutes=15)
REPEAT = timedelta(hours=6)
SCHEDULES = ["*/20 * * * *", "0 */6 * * *", "@hourly", "@every 45m", "30 2 * * *", "15 8 * * mon-fri", "0 3 * * 0"]


@dataclass
class Daemon:
    """One of two that share the state. While it is down it does nothing; its runs die with it."""

    name: str
    scheduler: Scheduler
    is_up: bool = True
    runs: dict[str, Run] = field(default_factory=dict)


class World:
    """Everything that happens, in order of simulated time."""

    def __init__(self, url: str, seed: int, jobs: int, days: float) -> None:
        self.rng = random.Random(seed)
        self.now, self.until = START, START + timedelta(days=days)
        self.database: Database = place_of(url).open()
        self.history = History(self.database)
        self.timings = {f"job{n:02}": self._timing(n) for n in range(jobs)}
        self.broken: dict[str, tuple[datetime, datetime]] = {
            name: self._span() for name in self.rng.sample(sorted(self.timings), jobs // 10)
        }
        self.dead: set[str] = set()
        self.daemons = [Daemon(name, Scheduler(self.history, name, self._is_dead)) for name in "ab"]
        self.sent: list[tuple[datetime, Message]] = []
        self.told: list[tuple[datetime, Message]] = []
        self.refusing = [self._span() for _ in range(3)]
        self.alerting = Alerting(self.database, {"box": self._send}, REPEAT)
        self.events: list[tuple[datetime, int, str, str]] = []
        self.started: Counter[str] = Counter()
        self.overlaps = self.steps = 0
        self.descriptors: list[int] = []
        self.memory: list[int] = []

    def _timing(self, n: int) -> Timing:
        schedule = parse_schedule(SCHEDULES[n % len(SCHEDULES)], _zone(n))
        jitter = timedelta(minutes=5) if n % 3 == 0 else timedelta(0)
        return Timing(kind="sync", schedule=schedule, jitter=jitter)

    def _span(self) -> tuple[datetime, datetime]:
        """A while of trouble, over in good time before the end."""
        length = self.until - START
        begin = START + self.rng.uniform(0.1, 0.6) * length
        return begin, begin + self.rng.uniform(0.05, 0.2) * length

    def _send(self, message: Message) -> str:
        if any(begin <= self.now < end for begin, end in self.refusing):
            return "451 try later"
        self.sent.append((self.now, message))
        return ""

    def _is_dead(self, run: Run) -> bool:
        return run.id in self.dead

    # the course of things

    def run(self) -> None:
        for daemon in self.daemons:
            daemon.scheduler.set_jobs(self.timings, self.now)
        self._plan(self.now + timedelta(hours=9), "crash", "a")
        self._plan(self.now + timedelta(hours=20), "crash", "b")
        looked = self.now
        while self.now < self.until:
            self.steps += 1
            self._happen()
            for daemon in self.daemons:
                if daemon.is_up:
                    self._begin(daemon, daemon.scheduler.tick(self.now))
            if self.now - looked >= LOOK:
                looked = self.now
                self._look_after()
            self.now = self._next(looked)

    def _next(self, looked: datetime) -> datetime:
        wakes = [daemon.scheduler.wake() for daemon in self.daemons if daemon.is_up]
        moments = [wake for wake in wakes if wake] + [self.events[0][0]] * bool(self.events)
        return max(min([*moments, looked + LOOK]), self.now + timedelta(milliseconds=1))

    def _look_after(self) -> None:
        for daemon in self.daemons:
            if daemon.is_up:
                self.history.keep(list(daemon.runs), at=self.now)
                self._begin(daemon, daemon.scheduler.reap(self.now, list(daemon.runs)))
        for run in list(self._alive()):
            self.history.beat(run.id, at=self.now)
        self.told += [(self.now, message) for message in self.alerting.look(self.watches(), self.now)]
        self.alerting.send(self.now)
        self.history.prune(self.now)
        self.descriptors.append(len(os.listdir("/proc/self/fd")))
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]))

    def watches(self) -> list[Watch]:
        return [Watch(job=name, kind="sync", schedule=timing.schedule) for name, timing in self.timings.items()]

    def _alive(self) -> list[Run]:
        return [run for daemon in self.daemons for run in daemon.runs.values()]

    def _plan(self, at: datetime, what: str, whom: str) -> None:
        heapq.heappush(self.events, (at, len(self.events) + self.steps * 1000, what, whom))

    def _begin(self, daemon: Daemon, runs: list[Run]) -> None:
        for run in runs:
            self.overlaps += any(other.job == run.job for other in self._alive())
            self.started[run.cause] += 1
            assert self.history.start(replace(run, host=daemon.name, started=self.now))
            daemon.runs[run.id] = replace(run, started=self.now)
            takes = self.rng.choice([5.0, 20.0, 60.0, 300.0, 3000.0])
            self._plan(self.now + timedelta(seconds=takes), "end", run.id)

    def _happen(self) -> None:
        while self.events and self.events[0][0] <= self.now:
            _, _, what, whom = heapq.heappop(self.events)
            {"end": self._end, "crash": self._crash, "return": self._return}[what](whom)

    def _end(self, key: str) -> None:
        for daemon in self.daemons:
            if run := daemon.runs.pop(key, None):
                begin, end = self.broken.get(run.job, (self.until, self.until))
                outcome = "failed" if begin <= self.now < end else self.rng.choice(["done", "done", "skipped"])
                counts = {"upload": 1} if outcome == "done" else {}
                assert self.history.end(replace(run, outcome=outcome, finished=self.now, counts=counts))

    def _crash(self, name: str) -> None:
        """A daemon and its runs are gone at once."""
        daemon = next(each for each in self.daemons if each.name == name)
        self.dead |= set(daemon.runs)
        daemon.runs.clear()
        daemon.is_up = False
        self._plan(self.now + timedelta(minutes=self.rng.choice([1, 40, 600])), "return", name)

    def _return(self, name: str) -> None:
        daemon = next(each for each in self.daemons if each.name == name)
        daemon.scheduler = Scheduler(self.history, name, self._is_dead)
        daemon.scheduler.set_jobs(self.timings, self.now)
        self._begin(daemon, daemon.scheduler.startup(self.now))
        daemon.is_up = True
        self._plan(self.now + timedelta(hours=self.rng.uniform(10, 40)), "crash", name)


def _zone(n: int) -> tzinfo:
    return ZoneInfo("Europe/Berlin") if n % 2 else UTC


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=float, default=14)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        world = World(f"sqlite:///{folder}/state.db", given.seed, given.jobs, given.days)
        world.run()
        print(summary(world), f"{time.process_time() - began:.1f} s of CPU; seed {given.seed}", sep="\n")
        faults = judged(world)
        print(*(faults or ["all as specified"]), sep="\n")
        sys.exit(bool(faults))


def summary(world: World) -> str:
    return "\n".join(
        [
            f"{world.now - START} simulated, {len(world.timings)} jobs, {sum(world.started.values())} runs",
            f"by cause: {dict(world.started)}; messages: {len(world.sent)}",
            f"descriptors {world.descriptors[0]} to {max(world.descriptors)}, "
            f"memory {world.memory[len(world.memory) // 4] // 256} to {max(world.memory) // 256} MiB",
        ]
    )


def judged(world: World) -> list[str]:
    """What was not as specified."""
    return [*_times(world), *_alerts(world), *_resources(world)]


def _times(world: World) -> list[str]:
    """Every time of every schedule was taken, or made up for by a later run, and none twice."""
    faults = [f"{world.overlaps} runs overlapped"] * bool(world.overlaps)
    for name, timing in world.timings.items():
        rows = [(run.due.timestamp(), run.cause) for run in world.history.recent(name, 10**6) if run.due]
        taken = Counter(due for due, _ in rows)
        faults += [f"{name}: {due} was taken {count} times" for due, count in taken.items() if count > 1]
        made_up = sorted(due for due, cause in rows if cause == "missed")
        moment, limit = START, world.until - timedelta(hours=12)
        while timing.schedule and (due := timing.schedule.after(moment)) and due < limit:
            at = due.timestamp()
            if at not in taken and not any(at < later for later in made_up):
                faults.append(f"{name}: {due} was missed")
            moment = due
    return faults


def _alerts(world: World) -> list[str]:
    """Raised once, reminded after six hours, twelve and so on, ended once; of every job that broke; all sent."""
    faults: list[str] = []
    is_open: dict[tuple[str, str], tuple[datetime, int]] = {}
    for at, message in world.told:
        job, _, words = message.title.partition(": ")
        is_over = words.startswith(RECOVERED)
        name = words.removeprefix(f"{RECOVERED} (").rstrip(")") if is_over else words.partition(" (")[0]
        last = is_open.get((job, name))
        if is_over:
            is_open.pop((job, name), None)
            faults += [f"{job}: {words} at {at}, though nothing was the matter"] * (last is None)
        elif "(reminder" not in words:
            is_open[job, name] = (at, 1)
            faults += [f"{job}: {words} at {at} twice"] * (last is not None)
        elif last is None:
            faults.append(f"{job}: {words} at {at} without an alert")
        else:
            is_open[job, name] = (at, last[1] + 1)
            due = last[0] + min(REPEAT * 2 ** (last[1] - 1), timedelta(days=7))
            faults += [f"{job}: {words} at {at} instead of {due}"] * (not due <= at < due + 2 * LOOK)
    if set(is_open) != {(job, TITLES.get(name, name)) for job, name in world.alerting.active()}:
        faults.append(f"open are {sorted(is_open)}, and in the state {sorted(world.alerting.active())}")
    failed = {
        name for name in world.timings if any(run.outcome == "failed" for run in world.history.recent(name, 10**6))
    }
    silent = failed - {message.title.partition(":")[0] for _, message in world.told}
    faults += [f"{job} failed, and nobody was told" for job in sorted(silent)]
    if Counter(m.title for _, m in world.sent) != Counter(m.title for _, m in world.told):
        faults.append(f"{len(world.told)} messages were to be told, {len(world.sent)} were sent")
    return faults


def _resources(world: World) -> list[str]:
    """Descriptors stay as they are; memory does not grow behind the first quarter."""
    faults = []
    if max(world.descriptors) > world.descriptors[0] + 2:
        faults.append(f"descriptors grew from {world.descriptors[0]} to {max(world.descriptors)}")
    early, late = world.memory[len(world.memory) // 4], max(world.memory)
    if (late - early) * 4 > 16 * 1024:
        faults.append(f"memory grew by {(late - early) // 256} MiB")
    return faults


if __name__ == "__main__":
    main()
