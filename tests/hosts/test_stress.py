"""The daemon under stress: full disks, floods, freezes, clocks that differ, work shared by three."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from keepstep.errors import NotFound
from keepstep.hosts.children import Child, Launch
from keepstep.runs.history import History
from keepstep.state.place import place_of
from tests.cutter import Cutter
from tests.hosts.fixtures import COPY, Place, Service, service, until
from tests.hosts.test_daemon import EVERY_SECOND, is_running
from tests.servers import free_port, program
from tests.state.postgres import Server, postgres_server


@contextlib.contextmanager
def daemon_with(place: Place, *, stderr: Path, limit: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon whose log goes there, with so many descriptors."""

    def lower() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with stderr.open("ab") as out:
        process = subprocess.Popen(place.command("run"), stdout=out, stderr=out, preexec_fn=lower)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def get(port: int, path: str) -> tuple[int, str]:
    with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        return answer.status, answer.read().decode()


def done(place: Place, job: str) -> int:
    """How many runs of the job ended well."""
    if not place_of(place.state_url).path or (place.folder / "state/state.db").exists():
        with contextlib.suppress(NotFound), contextlib.closing(place_of(place.state_url).look()) as database:
            return int(History(database).totals().get((job, "runs", "done"), 0))
    return 0


def listening_at(place: Place, text: str) -> int:
    """Configures a fixed port, for a daemon whose log cannot be read."""
    port = free_port()
    place.configure(text)
    place.config.write_text(place.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    return port


def test_a_full_disk_under_the_log_costs_lines_not_runs(place: Place) -> None:
    """No line of the log can be written: runs go on, readiness says ok, and metrics count the missing lines."""
    port = listening_at(place, EVERY_SECOND)
    place.source(a="1")
    with daemon_with(place, stderr=Path("/dev/full")):
        until(lambda: done(place, "copy") >= 2, place.config)
        assert get(port, "readyz") == (200, "ok\n")
        _, metrics = get(port, "metrics")
    [dropped] = [line for line in metrics.splitlines() if line.startswith("keepstep_log_lines_dropped_total")]
    assert int(dropped.split()[1]) >= 4


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_under_the_state_is_told(place: Place) -> None:
    """While the state cannot grow nothing starts, and readiness says why; with space, jobs go on."""
    state = place.folder / "small"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=700", "none", state], check=True)
    try:
        place.state_url = f"sqlite:///{state}/state.db"
        place.configure(EVERY_SECOND)
        place.source(a="1")
        with place.daemon() as daemon:
            daemon.wait("run ended", job="copy", outcome="done")
            filler = state / "filler"
            with contextlib.suppress(OSError), filler.open("wb") as out:
                while True:
                    out.write(b"x" * 512)
                    out.flush()
            until(lambda: daemon.get("readyz")[0] == 503, daemon.log)
            why = daemon.get("readyz")[1]
            assert "state" in why
            filler.unlink()
            until(lambda: daemon.get("readyz")[0] == 200, daemon.log, 90)
            ended = len(daemon.events("run ended", outcome="done"))
            daemon.wait("run ended", ended + 1, outcome="done")
            assert daemon.stop() == 0
        assert b"Traceback" not in daemon.log.read_bytes()
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def flooded(place: Place, connections: int) -> None:
    """Half-open requests without a token, while jobs go on and probes are answered within seconds."""
    port = listening_at(place, EVERY_SECOND)
    place.source(a="1")
    log = place.folder / "daemon.log"
    with daemon_with(place, stderr=log, limit=200) as daemon, contextlib.ExitStack() as stack:
        until(lambda: done(place, "copy") >= 1, log)
        for number in range(connections):
            line = socket.create_connection(("127.0.0.1", port), 30)
            stack.callback(line.close)
            with contextlib.suppress(OSError):
                line.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            if number % 200 == 0:
                assert get(port, "healthz") == (200, "ok\n")
        before = done(place, "copy")
        until(lambda: done(place, "copy") >= before + 2, log)
        assert get(port, "readyz") == (200, "ok\n")
        assert len(os.listdir(f"/proc/{daemon.pid}/fd")) < 150
    assert b"Too many open files" not in log.read_bytes()


def test_a_flood_of_half_open_requests_stops_no_job(place: Place) -> None:
    """Many more of them than the daemon has descriptors."""
    flooded(place, 600)


@pytest.mark.long
def test_a_great_flood_of_half_open_requests_stops_no_job(place: Place) -> None:
    """Five thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        flooded(place, 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_request_that_does_not_arrive_is_given_up(place: Place) -> None:
    """A header, or the body of a form, that drips: the connection is closed after ten seconds."""
    place.configure(COPY)
    with place.daemon() as daemon:
        port = int(daemon.wait("serving")["address"].rstrip("/").rpartition(":")[2])
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 30) as line:
            line.send(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ntoken=")
            with contextlib.suppress(ConnectionError):
                assert line.recv(1) == b""
        assert 5 < time.monotonic() - begun < 25


def test_a_deadline_ends_everything_that_a_run_started(tmp_path: Path) -> None:
    """A program in the background of the run is gone with it, though it ignores SIGTERM."""
    (tmp_path / "map.csv").write_text("# nothing\n")
    script = "(trap '' TERM; exec sleep 1000) & echo started $!; wait"
    words = ["exec", "--map", str(tmp_path / "map.csv"), "--", "sh", "-c", script]
    said: list[str] = []

    async def scene() -> Child:
        child = await Child.start(Launch(words=words, deadline=timedelta(seconds=4), grace=0.5), {})
        await child.ended(said.append)
        return child

    child = asyncio.run(scene())
    assert child.was_overdue
    [line] = [each for each in said if each.startswith("started ")]
    until(lambda: not is_running(int(line.split()[1])), tmp_path / "map.csv")


def test_process_1_reaps(tmp_path: Path) -> None:
    """As the first process of a container: no zombies of orphans, signals are passed on, the exit code is told."""
    code = (
        "import os, sys, time, signal\n"
        "from keepstep.hosts.init import be_init\n"
        "be_init()\n"
        "assert os.getpid() != 1\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "if os.fork() == 0:\n"
        "    orphan = os.fork()\n"
        "    os._exit(0) if orphan else os.execvp('true', ['true'])\n"
        "os.wait(); time.sleep(0.5)\n"
        "stats = [open(f'/proc/{p}/stat').read() for p in os.listdir('/proc') if p.isdecimal()]\n"
        "states = [stat.rpartition(')')[2].split()[0] for stat in stats]\n"
        "print('zombies', states.count('Z'), flush=True)\n"
        "os.kill(1, signal.SIGTERM); time.sleep(30)\n"
    )
    command = [
        program("unshare", "unshare (util-linux)"),
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        "-c",
        code,
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (7, "zombies 0\n"), result.stderr


# on PostgreSQL, long


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres_server() as server:
        yield server


def jobs(count: int, schedule: str) -> str:
    return "".join(
        COPY.replace("job.copy", f"job.job{n:03}")
        .replace("{folder}/out", f"{{folder}}/out{n}")
        .replace("@hourly", schedule)
        for n in range(count)
    )


def started(*daemons: Service) -> list[Counter[str]]:
    """How often each daemon started each time of each job."""
    return [Counter(f"{each['job']} {each['due']}" for each in daemon.events("run started")) for daemon in daemons]


def assert_each_once_and_even(daemons: list[Service], share: float = 0.2) -> None:
    counts = started(*daemons)
    together = sum(counts, Counter())
    assert set(together.values()) == {1}
    even = len(together) / len(daemons)
    assert all(abs(sum(count.values()) - even) <= share * even + 1 for count in counts), counts


@pytest.mark.long
@pytest.mark.timeout(600)
def test_three_daemons_share_the_work_evenly(place: Place, shared_url: str) -> None:
    """Twenty jobs of every thirty seconds: each time is started once, by daemons that have a third each."""
    place.state_url = shared_url
    place.configure(jobs(20, "@every 30s"), drain="60s")
    place.source(a="1")
    with place.daemon("one") as one, place.daemon("two") as two, place.daemon("three") as three:
        daemons = [one, two, three]
        until(lambda: sum(map(len, started(*daemons))) >= 60, one.log, 300)
        for daemon in daemons:
            assert daemon.stop() == 0
    assert_each_once_and_even(daemons)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_five_hundred_jobs_at_once(place: Place, shared_url: str) -> None:
    """All due in the same minute: each is started once, by three daemons that have a third each."""
    place.state_url = shared_url
    soon = datetime.now(UTC) + timedelta(minutes=2)
    schedule = f"{soon.minute} {soon.hour} * * *"
    place.configure(jobs(500, schedule), drain="60s")
    place.config.write_text(place.config.read_text().replace("[daemon]", "[daemon]\nmax_runs = 3"))
    place.source(a="1")
    with contextlib.ExitStack() as stack:
        daemons = [stack.enter_context(place.daemon(name, TZ="UTC")) for name in ("one", "two", "three")]
        until(lambda: sum(map(len, ended(*daemons))) >= 500, daemons[0].log, 1500)
        for daemon in daemons:
            assert daemon.stop() == 0
    assert_each_once_and_even(daemons)


def ended(*daemons: Service) -> list[list[str]]:
    """The runs of each daemon that ended well."""
    return [[each["run"] for each in daemon.events("run ended", outcome="done")] for daemon in daemons]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_frozen_daemon_does_no_dead_run(place: Place, shared_url: str) -> None:
    """A daemon with a queued run is frozen beyond the limit of silence: another one does the job, and only it."""
    place.state_url = shared_url
    hang = '[job.hang]\nkind = "secrets"\nmap = "{folder}/pipe"\nstartup = true\n'
    os.mkfifo(place.folder / "pipe")
    place.source(a="1")
    place.configure(f"{hang}{COPY.replace('@hourly', '@every 300s')}startup = true\n", drain="5s")
    alone = place.config.read_text().replace("[daemon]", "[daemon]\nmax_runs = 1")
    place.config.write_text(alone)
    with place.daemon("one") as one:
        one.wait("run started", job="hang")
        until(lambda: any(run.job == "copy" for run in place.history.open()), one.log)
        [queued] = [run for run in place.history.open() if run.job == "copy"]
        one.process.send_signal(signal.SIGSTOP)
        place.configure(COPY.replace("@hourly", "@every 300s"), drain="5s")
        with place.daemon("two") as two:
            resumed = two.wait("run started", job="copy", timeout=200)
            two.wait("run ended", job="copy", outcome="done")
            assert resumed["run"] != queued.id
            one.process.send_signal(signal.SIGCONT)
            (place.folder / "pipe").write_text("# nothing\n")
            ended = one.wait("run ended", job="copy", run=queued.id, timeout=90)
            assert (ended["outcome"], ended["exit_code"]) == ("lost", 6)
            known = place.history.get(queued.id)
            assert known and known.outcome == "lost" and known.started is None
            assert [run for run in place.history.open() if run.job == "copy"] == []


@pytest.mark.long
@pytest.mark.timeout(300)
def test_clocks_that_differ_by_an_hour(place: Place, shared_url: str) -> None:
    """The daemon whose clock is ahead takes nothing before its time, which is that of the state."""
    place.state_url = shared_url
    place.configure(jobs(6, "@every 10s"), drain="20s")
    place.source(a="1")
    ahead = [program("faketime", "faketime"), "-f", "+1h"]
    with place.daemon("one") as one, service([*ahead, *place.command("run")], place.folder / "two.log") as two:
        daemons = [one, two]
        until(lambda: sum(map(len, started(*daemons))) >= 36, one.log, 200)
        runs = [run for name in place.history.jobs() for run in place.history.recent(name, 1000)]
        for run in runs:
            assert run.due is None or timedelta(0) <= run.queued - run.due < timedelta(seconds=60)
            assert run.started is None or abs(run.started - run.queued) < timedelta(minutes=5)
        for daemon in daemons:
            daemon.stop()
    assert_each_once_and_even(daemons, share=0.35)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["cut", "silent", "restarted"])
def test_the_way_to_the_state_is_lost(place: Place, server: Server, how: str) -> None:
    """By a network that refuses, one that swallows, a server that restarts: each time once, and all go on."""
    with contextlib.closing(psycopg.connect(server.url, autocommit=True)) as connection:
        connection.execute("DROP SCHEMA IF EXISTS keepstep CASCADE")
    with Cutter(server.port) as cutter:
        far = Place(place.folder / "far", server.url.replace(str(server.port), str(cutter.port)))
        far.folder.mkdir()
        place.state_url = server.url
        for each in (place, far):
            each.configure(jobs(4, "@every 5s").replace("{folder}", str(place.folder)), drain="20s")
        place.source(a="1")
        with place.daemon("one") as one, far.daemon("two") as two:
            until(lambda: min(map(len, started(one, two))) >= 2, two.log, 120)
            {"cut": cutter.cut, "silent": cutter.silence, "restarted": server.restart}[how]()
            if how != "restarted":
                until(lambda: two.get("readyz")[0] == 503, two.log, 120)
                before = len(one.events("run ended", outcome="done"))
                one.wait("run ended", before + 4, outcome="done", timeout=120)
                cutter.mend()
            until(lambda: two.get("readyz")[0] == 200, two.log, 120)
            before = len(two.events("run ended", outcome="done"))
            two.wait("run ended", before + 3, outcome="done", timeout=120)
            for daemon in (one, two):
                assert daemon.stop() == 0
        assert set(sum(started(one, two), Counter()).values()) == {1}
        for daemon in (one, two):
            assert b"Traceback" not in daemon.log.read_bytes()
