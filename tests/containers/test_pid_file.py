"""Processes told by their pid file, and the files that are not trusted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep.containers.interface import Kind, Notice
from keepstep.containers.pid_file import PidFiles
from keepstep.errors import Denied, Error, NotFound

PROGRAM = (
    "import signal, time; signal.signal(signal.SIGHUP, lambda *_: print('told', flush=True));"
    "print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout and running.stdout.readline() == "ready\n"
        yield running
        running.kill()


@pytest.fixture
def pid_file(tmp_path: Path, process: subprocess.Popen[str]) -> Path:
    path = tmp_path / "server.pid"
    path.write_text(f"{process.pid}\n")
    return path


def notify(path: Path) -> None:
    asyncio.run(PidFiles().notify(Notice(Kind.PID_FILE, str(path), "SIGHUP"), []))


def test_the_process_is_told(pid_file: Path, process: subprocess.Popen[str]) -> None:
    """The process whose number is in the file gets the signal."""
    notify(pid_file)
    assert process.stdout and process.stdout.readline() == "told\n"


def test_nobody_is_there(tmp_path: Path, pid_file: Path, process: subprocess.Popen[str]) -> None:
    """A file that is missing, and one whose process has ended, are NotFound: the notice stays due."""
    with pytest.raises(NotFound, match="no pid file"):
        notify(tmp_path / "other.pid")
    process.kill()
    process.wait()
    with pytest.raises(NotFound, match="gone"):
        notify(pid_file)


def test_a_number_that_was_given_to_another(pid_file: Path) -> None:
    """A process that began after the file was written is not the one that is meant."""
    then = time.time() - 3600
    os.utime(pid_file, (then, then))
    with pytest.raises(NotFound, match="began later"):
        notify(pid_file)


@pytest.mark.parametrize("text", ["", "1", "0", "-1", "abc", "12x"])
def test_what_is_no_process(tmp_path: Path, text: str) -> None:
    """No number, and the numbers that mean everybody, are refused."""
    path = tmp_path / "x.pid"
    path.write_text(text)
    with pytest.raises(Error, match="no number"):
        notify(path)


def test_what_others_could_have_written(pid_file: Path, process: subprocess.Popen[str]) -> None:
    """A file or folder that others can write, and a link, choose nobody for us."""
    pid_file.chmod(0o666)
    with pytest.raises(Denied, match="not trusted"):
        notify(pid_file)
    pid_file.chmod(0o644)
    pid_file.parent.chmod(0o777)
    with pytest.raises(Denied, match="not trusted"):
        notify(pid_file)
    pid_file.parent.chmod(0o755)
    link = pid_file.with_name("link.pid")
    link.symlink_to(pid_file)
    with pytest.raises(Error):
        notify(link)
    fifo = pid_file.with_name("fifo.pid")
    os.mkfifo(fifo)
    with pytest.raises(Error, match="regular"):
        notify(fifo)
    assert process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_somebody_elses_file_names_their_process_only(pid_file: Path) -> None:
    """A file that belongs to a user cannot make root signal a process of root's."""
    os.chown(pid_file, 65534, 65534)
    with pytest.raises(Denied, match="does not own"):
        notify(pid_file)
