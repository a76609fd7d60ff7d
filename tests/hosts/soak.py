"""Real daemons under faults, for hours: ``python -m tests.hosts.soak --minutes 120``.

Two daemons share a real PostgreSQL; one of them reaches it through a proxy. Jobs copy folders, fail, hang until
their deadlines. Meanwhile one daemon is frozen beyond the limit of silence, the other is killed, the database is
restarted, the network is cut or silent, thousands of connections are opened to the status page, the configuration
is reloaded. What is measured (memory, descriptors, threads) is of the daemon that is never killed. Everything
random comes from a seed, which is printed. The daemons' logs are in ``--folder``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from keepstep.runs.run import Run
from tests.cutter import Cutter
from tests.hosts.fixtures import Place, Service
from tests.state.postgres import Server, postgres_server

_LOOK = 15.0
_FREEZE = 140.0
"""Seconds: longer than a daemon may be silent."""
_FLOOD = 2000
_STEADY = 1800.0
"""Seconds after which what was loaded for the first alert and page is no growth."""
_WARM = 0.2
"""Share of the time after which memory and descriptors may grow no more."""

_JOBS = """
[alerts]
urls = ["json://127.0.0.1:{alerts}/"]
[job.first]
kind = "sync"
source = "{folder}/in"
target = "{folder}/first"
schedule = "@every 30s"
[job.second]
kind = "sync"
source = "{folder}/in"
target = "{folder}/second"
schedule = "@every 40s"
jitter = "10s"
[job.third]
kind = "sync"
source = "{folder}/in"
target = "{folder}/third"
schedule = "* * * * *"
[job.fails]
kind = "sync"
source = "{folder}/none"
target = "{folder}/fails"
schedule = "@every 60s"
[job.hangs]
kind = "secrets"
map = "{folder}/pipe"
schedule = "@every 90s"
deadline = "20s"
"""


@dataclass(frozen=True)
class Sample:
    """One daemon at one moment."""

    at: float
    memory: int
    """KiB that are resident."""
    descriptors: int
    threads: int


@dataclass
class Soak:
    """What goes on, and what was seen."""

    server: Server
    cutter: Cutter
    one: Place
    two: Place
    rng: random.Random
    until: float
    stack: contextlib.ExitStack
    daemons: dict[str, Service] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def start(self, name: str) -> None:
        place = self.one if name == "one" else self.two
        self.daemons[name] = self.stack.enter_context(place.daemon())

    def run(self) -> None:
        for name in ("one", "two"):
            self.start(name)
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        choices: dict[str, Callable[[], None]] = {
            "frozen": self._freeze,
            "killed": self._kill,
            "restarted": self.server.restart,
            "away": self._away,
            "cut": self._cut,
            "silent": self._silent,
            "flooded": self._flood,
            "reloaded": self._reload,
        }
        order: list[str] = []
        while time.monotonic() < self.until - _FREEZE - 60:
            order = order or self.rng.sample(sorted(choices), len(choices))
            name = order.pop()
            say("fault", fault=name)
            self.faults[name] += 1
            choices[name]()
            self._rest(self.rng.uniform(20, 60))
        self._rest(self.until - time.monotonic())

    def _rest(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self.until - time.monotonic())))

    def _freeze(self) -> None:
        daemon = self.daemons[self.rng.choice(["one", "two"])].process
        daemon.send_signal(signal.SIGSTOP)
        self._rest(_FREEZE)
        daemon.send_signal(signal.SIGCONT)

    def _kill(self) -> None:
        daemon = self.daemons["two"].process
        daemon.kill()
        daemon.wait()
        self._rest(self.rng.uniform(1, 100))
        self.start("two")

    def _away(self) -> None:
        self.server.stop()
        self._rest(self.rng.uniform(5, 100))
        self.server.start()

    def _cut(self) -> None:
        self.cutter.cut()
        self._rest(self.rng.uniform(5, 100))
        self.cutter.mend()

    def _silent(self) -> None:
        self.cutter.silence()
        self._rest(self.rng.uniform(5, 100))
        self.cutter.mend()

    def _flood(self) -> None:
        """Half-open requests, while the probes go on being answered."""
        daemon = self.daemons["one"]
        port = int(daemon.wait("serving")["address"].rstrip("/").rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for number in range(_FLOOD):
                with contextlib.suppress(OSError):
                    line = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                    line.send(b"GET / HTTP/1.1\r\n")
                if number % 500 == 0:
                    assert daemon.get("healthz")[0] == 200

    def _reload(self) -> None:
        for daemon in self.daemons.values():
            daemon.process.send_signal(signal.SIGHUP)

    def _watch(self) -> None:
        process = self.daemons["one"].process.pid
        while time.monotonic() < self.until:
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{process}/status").read_text().splitlines()
                if ":\t" in line
            )
            memory, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
            self.samples.append(Sample(time.monotonic(), memory, len(os.listdir(f"/proc/{process}/fd")), threads))
            say("sample", memory=memory, descriptors=self.samples[-1].descriptors, threads=threads)
            time.sleep(_LOOK)


def say(event: str, **fields: object) -> None:
    print(json.dumps({"at": time.strftime("%H:%M:%S"), "event": event, **fields}), flush=True)


@contextlib.contextmanager
def alert_box() -> Iterator[tuple[int, list[str]]]:
    """A webhook, and the titles that it was sent."""
    titles: list[str] = []

    class Box(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            titles.append(str(body["title"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Box) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], titles
        server.shutdown()


def judged(soak: Soak, runs: list[Run], titles: list[str]) -> list[str]:
    """What was not as promised."""
    faults = []
    taken = Counter((run.job, run.due) for run in runs if run.due and run.outcome != "overlapped")
    faults += [f"{job}: {due} was taken {count} times" for (job, due), count in taken.items() if count > 1]
    for job in ("first", "second", "third"):
        last = max((run.finished for run in runs if run.job == job and run.is_good and run.finished), default=None)
        if last is None or time.time() - last.timestamp() > 180:
            faults.append(f"{job} succeeded last at {last}")
        began = sorted(
            (run.started, run.finished) for run in runs if run.job == job and run.started and run.finished
        )
        overlaps = sum(second[0] < first[1] for first, second in pairwise(began))
        faults += [f"{job}: {overlaps} runs overlapped"] * bool(overlaps)
    faults += [f"{run.job}: run {run.id} has been {run.outcome} since {run.queued}" for run in runs if _is_old(run)]
    for name in ("one", "two"):
        log = (soak.one if name == "one" else soak.two).folder / "daemon.log"
        faults += [f"a traceback in the log of {name}"] * (b"Traceback" in log.read_bytes())
    told = Counter(title for title in titles if "reminder" not in title)
    for job in {run.job for run in runs}:
        failures = _failures([run for run in runs if run.job == job])
        faults += [
            f"{failures} failures, told {count} times: {title}"
            for title, count in told.items()
            if f" {job}: " in title and count > failures
        ]
    return faults + (_growth(soak.samples) if len(soak.samples) * _LOOK > _STEADY else [])


def _failures(runs: list[Run]) -> int:
    """How often one job began to fail. A run that starts while the state is away fails; the next one recovers."""
    ended = sorted((run.finished, run.is_good) for run in runs if run.finished and run.outcome != "overlapped")
    return sum(not is_good and was_good for (_, was_good), (_, is_good) in pairwise([(None, True), *ended]))


def _is_old(run: Run) -> bool:
    return run.is_open and time.time() - run.queued.timestamp() > 240


def _growth(samples: list[Sample]) -> list[str]:
    """Medians, as single samples fall into the midst of work."""
    warm = samples[int(len(samples) * _WARM) :]
    third = max(1, len(warm) // 3)
    faults = []
    for what, slack in (("memory", 8 * 1024), ("descriptors", 3), ("threads", 3)):
        values = [getattr(sample, what) for sample in warm]
        early, late = (sorted(part)[len(part) // 2] for part in (values[:third], values[-third:]))
        say("growth", what=what, early=early, late=late, most=max(values))
        if late > early + slack:
            faults.append(f"{what} grew from {early} to {late}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, help="for logs; a new one if not given")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="keepstep-soak-"))
    say("soak", minutes=given.minutes, seed=given.seed, folder=str(folder))
    faults = soaked(folder, given.minutes, given.seed)
    for fault in faults:
        say("not as promised", fault=fault)
    say("end", faults=len(faults))
    sys.exit(bool(faults))


def soaked(folder: Path, minutes: float, seed: int) -> list[str]:
    """What was not as promised, after so many minutes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        cutter = stack.enter_context(Cutter(server.port))
        box, titles = stack.enter_context(alert_box())
        one = _place(folder / "one", server.url, box)
        two = _place(folder / "two", server.url.replace(str(server.port), str(cutter.port)), box)
        until_ = time.monotonic() + minutes * 60
        soak = Soak(server, cutter, one, two, random.Random(seed), until_, stack)
        soak.run()
        history = one.history
        runs = [run for job in history.jobs() for run in history.recent(job, 10**6)]
        outcomes = Counter(f"{run.job} {run.outcome}" for run in runs)
        say("runs", total=len(runs), outcomes=dict(outcomes), faults=dict(soak.faults), alerts=Counter(titles))
        shares = Counter(run.cause for run in runs)
        say("causes", **shares)
        faults = judged(soak, runs, titles)
        codes = [daemon.stop() for daemon in soak.daemons.values()]
        return faults + [f"daemons ended with {codes}"] * any(codes)


def _place(folder: Path, url: str, box: int) -> Place:
    folder.mkdir(parents=True)
    place = Place(folder, url)
    place.source(a="1", b="2")
    os.mkfifo(folder / "pipe")
    place.configure(_JOBS.replace("{alerts}", str(box)).replace("{folder}", str(folder)), drain="5s")
    return place


if __name__ == "__main__":
    main()
