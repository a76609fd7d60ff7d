"""The daemon as a process: real jobs, real signals, one file or one PostgreSQL of state."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.hosts.fixtures import COPY, HANG, Place, Service, until

pytestmark = pytest.mark.long

EVERY_SECOND = COPY.replace("@hourly", "@every 2s")


def running_pid(place: Place, daemon: Service, job: str) -> int:
    """The process of a job that hangs, once it is there."""
    daemon.wait("run started", job=job)
    marker = f"-- {job}".replace(" ", "\0").encode()

    def pids() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line, parent = path.read_bytes(), path.with_name("stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if marker in line and int(parent) == daemon.process.pid:
                found.append(int(path.parent.name))
        return found

    until(lambda: bool(pids()), daemon.log)
    return pids()[0]


def test_jobs_run_when_they_are_due(place: Place) -> None:
    """A job's times come round: it runs each time, is written down, and the probes say that all is well."""
    place.configure(EVERY_SECOND)
    place.source(a="1")
    with place.daemon() as daemon:
        daemon.wait("run ended", 2, job="copy", outcome="done")
        assert daemon.get("healthz") == (200, "ok\n")
        assert daemon.get("readyz") == (200, "ok\n")
        assert daemon.stop() == 0
    assert (place.folder / "out" / "a").read_text() == "1"
    runs = place.history.recent("copy")
    assert {run.cause for run in runs} == {"schedule"}
    assert len({run.due for run in runs}) == len(runs)
    assert all(run.exit_code == 0 for run in runs if run.outcome == "done")


def test_a_valid_file_is_taken_and_an_invalid_one_refused(place: Place) -> None:
    """SIGHUP: a file with a mistake is named and changes nothing; a right one brings its jobs and drops others."""
    place.configure(COPY)
    place.source(a="1")
    with place.daemon() as daemon:
        place.configure(COPY.replace("@hourly", "61 * * * *"))
        daemon.process.send_signal(signal.SIGHUP)
        refused = daemon.wait("configuration refused; the old one stays in use")
        assert "job.copy.schedule" in refused["error"]
        assert daemon.get("readyz")[0] == 200
        place.configure(EVERY_SECOND.replace("job.copy", "job.again"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait("configuration reloaded")
        daemon.wait("run ended", job="again", outcome="done")
        assert daemon.events("run started", job="copy") == []


def test_a_mistake_in_the_file_changes_no_run(place: Place) -> None:
    """Between a bad edit and its correction, jobs run with the configuration that was accepted."""
    place.configure(EVERY_SECOND)
    place.source(a="1")
    with place.daemon() as daemon:
        place.config.write_text("[job.copy\n")
        seen = len(daemon.events("run ended"))
        daemon.wait("run ended", seen + 2, outcome="done")


def test_sigterm_lets_runs_end(place: Place) -> None:
    """Draining: nothing new starts, /readyz says so, and what runs is waited for."""
    place.configure(HANG + EVERY_SECOND, drain="60s")
    place.source(a="1")
    os.mkfifo(place.folder / "pipe")
    with place.daemon() as daemon:
        running_pid(place, daemon, "hang")
        daemon.process.terminate()
        daemon.wait("draining")
        assert daemon.get("readyz") == (503, "draining\n")
        assert daemon.get("healthz")[0] == 200
        started = len(daemon.events("run started"))
        (place.folder / "pipe").write_text("# nothing to do\n")
        assert daemon.process.wait(60) == 0
        assert len(daemon.events("run started")) == started
    [run] = place.history.recent("hang")
    assert run.outcome == "done"


def test_what_does_not_end_is_asked_to_and_goes_on_later(place: Place) -> None:
    """After ``drain`` a run is asked to stop; the next daemon starts its job again at once."""
    place.configure(HANG.replace("startup = true", 'schedule = "@every 1s"'), drain="100ms")
    os.mkfifo(place.folder / "pipe")
    with place.daemon() as daemon:
        running_pid(place, daemon, "hang")
        assert daemon.stop() == 0
    [run] = [run for run in place.history.recent("hang") if run.outcome != "overlapped"]
    assert run.outcome == "terminated"
    with place.daemon("later") as later:
        assert later.wait("run started")["cause"] == "resumed"


def test_jobs_do_one_another_no_harm(place: Place) -> None:
    """One job hangs until its deadline, one is killed, one is given no memory: the fourth runs all the while."""
    hungry = HANG.replace("job.hang", "job.hungry").replace("pipe", "none") + 'memory = "5MiB"\n'
    killed = HANG.replace("job.hang", "job.killed").replace("pipe", "other")
    place.configure(HANG + 'deadline = "2s"\n' + killed + hungry + EVERY_SECOND)
    place.source(a="1")
    for name in ("pipe", "other"):
        os.mkfifo(place.folder / name)
    with place.daemon() as daemon:
        os.kill(running_pid(place, daemon, "killed"), signal.SIGKILL)
        assert daemon.wait("run ended", job="killed")["outcome"] == "crashed"
        assert daemon.wait("run ended", job="hang")["outcome"] == "overdue"
        daemon.wait("run ended", job="hungry")
        daemon.wait("run ended", 2, job="copy", outcome="done")
    outcomes = {name: place.history.recent(name)[0].outcome for name in ("hang", "killed")}
    assert outcomes == {"hang": "overdue", "killed": "crashed"}
    assert place.history.recent("hungry")[0].outcome not in ("done", "queued", "running")
    assert place.history.totals()["hang", "runs", "overdue"] == 1


def test_a_run_ends_with_its_daemon(place: Place) -> None:
    """A daemon that is killed leaves no run behind, which nobody would stop at its deadline."""
    place.configure(HANG)
    os.mkfifo(place.folder / "pipe")
    with place.daemon() as daemon:
        run = running_pid(place, daemon, "hang")
        daemon.process.kill()
        daemon.process.wait()
        until(lambda: not is_running(run), daemon.log)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_two_daemons_share_the_work(place: Place, shared_url: str) -> None:
    """On one PostgreSQL every time is taken once; when a daemon and its run die, the other goes on with the job."""
    place.state_url = shared_url
    place.configure(EVERY_SECOND + HANG.replace("startup = true", 'schedule = "@every 1s"'))
    place.source(a="1")
    os.mkfifo(place.folder / "pipe")
    with place.daemon("one") as one, place.daemon("two") as two:
        until(lambda: bool(one.events("run started", job="hang") or two.events("run started", job="hang")), two.log)
        dying, living = (one, two) if one.events("run started", job="hang") else (two, one)
        child = running_pid(place, dying, "hang")
        until(lambda: len(place.history.recent("copy")) > 3, living.log)
        dying.process.kill()
        dying.process.wait()
        os.kill(child, signal.SIGKILL)
        [run] = [run for run in place.history.open() if run.job == "hang"]
        # a minute of silence goes by
        assert living.wait("run started", job="hang", timeout=150)["cause"] == "resumed"
        lost = place.history.get(run.id)
        assert lost and lost.outcome == "lost"
        taken = [each.due for each in place.history.recent("copy", 1000) if each.due]
        assert len(taken) == len(set(taken))


@pytest.fixture
def notify(tmp_path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(60)
    return listening


def test_systemd_is_told(place: Place, notify: socket.socket) -> None:
    """sd_notify: ready, alive, reloading and ready again, stopping; runs do not inherit the socket."""
    place.configure(COPY)
    words: list[str] = []

    def hear(word: str) -> None:
        while not any(word in said for said in words):
            words.append(notify.recv(4096).decode())

    address = str(place.folder / "notify")
    with place.daemon(NOTIFY_SOCKET=address, WATCHDOG_USEC="400000") as daemon:
        hear("READY=1")
        hear("WATCHDOG=1")
        words.clear()
        daemon.process.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        assert daemon.stop() == 0
        hear("STOPPING=1")
    notify.close()


@pytest.mark.parametrize(
    ("text", "complaint"), [("", "has no jobs"), ('[job.x]\nkind = "sync"\n', "job.x.source is missing")]
)
def test_a_wrong_file_starts_nothing(place: Place, text: str, complaint: str) -> None:
    """A daemon with nothing to do, or with a mistake in its file, says so and ends with 5."""
    place.configure(text)
    result = place.keepstep("run")
    assert result.returncode == 5
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
