"""As process 1 of a container every command is an init: it reaps orphans and passes signals on."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import Aws, program

_LEAVES_A_CHILD = """#!/bin/sh
(sh -c 'echo $$ > {folder}/orphan; exec sleep 0.2' >/dev/null 2>&1 &)
tries=0
until [ -s {folder}/orphan ]; do sleep 0.05; done
while [ -e /proc/$(cat {folder}/orphan) ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
[ $tries -lt 100 ] && echo reaped >> {folder}/verdict || echo zombie >> {folder}/verdict
echo '{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}"}}'
"""
_DAEMON = """
[state]
url = "sqlite:///{folder}/state.db"
[dashboard]
listen = "127.0.0.1:0"
[job.copy]
kind = "sync"
source = "{folder}/in/"
target = "s3://{bucket}/"
startup = true
"""


def as_first(*words: str) -> list[str]:
    """The command of a process that is the first one of a PID namespace."""
    unshare = program("unshare", "unshare (util-linux)")
    return [unshare, "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-P", *words]


@pytest.fixture
def place(moto: Aws, tmp_path: Path) -> Path:
    """A folder with a file to sync, and credentials by a program that leaves a child behind."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("1")
    helper = tmp_path / "credentials"
    key, secret = moto.env["AWS_ACCESS_KEY_ID"], moto.env["AWS_SECRET_ACCESS_KEY"]
    helper.write_text(_LEAVES_A_CHILD.format(folder=tmp_path, key=key, secret=secret))
    helper.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {helper}\n")
    moto.client("s3").create_bucket(Bucket=tmp_path.name.replace("_", "-").lower())
    return tmp_path


def environment(moto: Aws, place: Path, **more: str) -> dict[str, str]:
    given = {name: value for name, value in {**os.environ, **moto.env}.items() if "KEY" not in name}
    files = {"AWS_CONFIG_FILE": f"{place}/config", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    return {**given, **files, **more}


def bucket(place: Path) -> str:
    return place.name.replace("_", "-").lower()


@pytest.mark.parametrize("words", [("-m", "keepstep", "sync"), ("-m", "keepstep.hosts.container")])
def test_one_run_reaps(moto: Aws, place: Path, words: tuple[str, ...]) -> None:
    """A single run as process 1: what its ``credential_process`` left behind is no zombie, and the run succeeds."""
    source, target = f"{place}/in/", f"s3://{bucket(place)}/"
    env = environment(moto, place, SYNC_MODE="STARTUP", SYNC_FROM=source, SYNC_TO=target)
    more = (source, target) if "sync" in words else ()
    ran = subprocess.run(as_first(*words, *more), env=env, capture_output=True, text=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stderr
    assert set((place / "verdict").read_text().split()) == {"reaped"}


def test_the_daemon_reaps(moto: Aws, place: Path) -> None:
    """So does the daemon, whose runs are its children; SIGTERM is passed on to it, and it ends with 0."""
    config = place / "keepstep.toml"
    config.write_text(_DAEMON.format(folder=place, bucket=bucket(place)))
    command = as_first("-m", "keepstep", "--config", str(config), "run")
    with subprocess.Popen(
        command, env=environment(moto, place), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as daemon:
        assert daemon.stderr
        try:
            said = []
            for line in daemon.stderr:
                said.append(line)
                if "run ended" in line:
                    break
            assert '"done"' in said[-1], "".join(said)
            [first] = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            subprocess.run(["kill", "-TERM", first], check=True)
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
    assert set((place / "verdict").read_text().split()) == {"reaped"}


def test_a_program_of_others_is_watched_over() -> None:
    """``python -m keepstep.hosts.init PROGRAM``, for OCI's fdk: orphans are reaped, the exit code is passed on."""
    script = "(sh -c 'exec sleep 0.1' &); sleep 1; grep -c '^State:.Z' /proc/[0-9]*/status | grep -c ':1$'; exit 7"
    ran = subprocess.run(
        as_first("-m", "keepstep.hosts.init", "sh", "-c", script), capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (7, "0\n"), ran.stderr


_COUNTS = """
import signal, sys, time
from keepstep.hosts.init import be_init
be_init()
got = []
signal.signal(signal.SIGINT, lambda *_: got.append(1))
print("ready", flush=True)
while not got:
    time.sleep(0.05)
time.sleep(0.5)
print("interrupts", len(got), flush=True)
"""


def test_an_interrupt_at_the_terminal_comes_once() -> None:
    """Ctrl-C reaches every process of the terminal; the init does not send it a second time."""
    ours, theirs = pty.openpty()
    command = as_first("-c", _COUNTS)
    words = ["setsid", "--ctty", "--wait", *command]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            assert "ready" in read_until(ours, "ready")
            os.write(ours, b"\x03")
            assert "interrupts 1" in read_until(ours, "interrupts ")
        finally:
            process.kill()
            os.close(ours)


def read_until(terminal: int, word: str) -> str:
    said, deadline = "", time.monotonic() + 30
    while word not in said or not said.endswith("\n"):
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, said
        said += os.read(terminal, 4096).decode()
    return said
