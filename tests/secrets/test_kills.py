"""Killed at every step: nothing half, nothing left behind, nobody forgotten.

At each system call that changes something a run is killed; then one clean run has to put everything right. All the
while a reader polls the files.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EVERY = bool(os.environ.get("FULL"))
"""``make test-secrets-full``: killed also at the calls that change nothing."""
OLD, NEW = "old " * 5000, "new " * 6000
LISTENER = """
import os, signal, sys, time
told = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number, letter in ((signal.SIGHUP, b"H"), (signal.SIGUSR1, b"U")):
    signal.signal(number, lambda *_, letter=letter: os.write(told, letter))
print("ready", flush=True)
while True:
    time.sleep(60)
"""


class Killer:
    """Runs of the engine, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, request: dict[str, Any], kill_at: int | None = None) -> int:
        """The exit code; -9 when it was killed, and not when it ended before that step."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request | {"kill_at": kill_at, "every": EVERY}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command = [sys.executable, "-P", str(Path(__file__).with_name("killer.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killer(process)
        assert process.stdin
        process.stdin.close()


class Listener:
    """A process that counts how often it is signalled."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "told"
        command = [sys.executable, "-c", LISTENER, str(self._told)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"
        self.pid_file = folder / "listener.pid"
        self.pid_file.write_text(str(self._process.pid))

    def was_told(self) -> bool:
        """Since the last time we asked or forgot; a signal takes a moment to arrive."""
        was_told = self._has_heard("H")
        os.truncate(self._told, 0)
        return was_told

    def forget(self) -> None:
        """What was sent until now: Python handles signals of a lower number first."""
        self._process.send_signal(signal.SIGUSR1)
        assert self._has_heard("U")
        os.truncate(self._told, 0)

    def _has_heard(self, letter: str) -> bool:
        deadline = time.monotonic() + 10
        while letter not in self._told.read_text():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    (tmp_path / "listener").mkdir(mode=0o700)
    listener = Listener(tmp_path / "listener")
    yield listener
    listener.end()


class Reader(threading.Thread):
    """Polls files; remembers each state that nobody may ever see."""

    def __init__(self, paths: list[Path], mode: int, fit: set[bytes]) -> None:
        super().__init__(daemon=True)
        self._paths = paths
        self._mode = mode
        self._fit = fit
        self._end = threading.Event()
        self.reads = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self._end.wait(0.0005):
            for path in self._paths:
                self._look(path)

    def _look(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self.wrong.append(f"{path.name} is missing")
            return
        state = os.fstat(descriptor)
        content = os.read(descriptor, 1 << 20)
        os.close(descriptor)
        self.reads += 1
        if content not in self._fit:
            self.wrong.append(f"{path.name} has {len(content)} bytes")
        if stat.S_IMODE(state.st_mode) != self._mode:
            self.wrong.append(f"{path.name} has the mode {state.st_mode:o}")

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()


def scene(kind: str, root: Path, listener: Listener, text: str) -> dict[str, Any]:
    """What a run is to bring about: two files with one notice, or a set of two."""
    notify = [{"pid_file": str(listener.pid_file), "signal": "HUP"}]
    secrets = {"a": text, "b": text}
    if kind == "set":
        files = [{"name": name, "secret": f"aws-sm:{name}", "mode": "0640"} for name in ("a", "b")]
        return {"secrets": secrets, "sets": [{"path": str(root / "set"), "file": files, "notify": notify}]}
    plain: list[dict[str, Any]] = [
        {"path": str(root / "deep" / name), "secret": f"aws-sm:{name}", "mode": "0640", "notify": notify}
        for name in ("a", "b")
    ]
    return {"secrets": secrets, "files": plain}


def paths(kind: str, root: Path) -> list[Path]:
    return [root / ("set" if kind == "set" else "deep") / name for name in ("a", "b")]


@pytest.mark.parametrize("kind", ["files", "set"])
def test_a_change_that_is_killed_anywhere(kind: str, root: Path, killer: Killer, listener: Listener) -> None:
    """Readers see old or new, whole, with the right mode, at every moment; one clean run finishes and tells."""
    old, new = scene(kind, root, listener, OLD), scene(kind, root, listener, NEW)
    assert killer.run(old) == 3
    with Reader(paths(kind, root), 0o640, {OLD.encode(), NEW.encode()}) as reader:
        for kill_at in itertools.count():
            assert killer.run(old) in (0, 3)
            listener.forget()
            was_killed = killer.run(new, kill_at) == -9
            assert killer.run(new) in (0, 3), kill_at
            check_clean(kind, root, listener, kill_at)
            if not was_killed:
                break
    assert kill_at > 12
    assert not reader.wrong
    assert reader.reads > kill_at


@pytest.mark.parametrize("kind", ["files", "set"])
def test_a_first_delivery_that_is_killed_anywhere(
    kind: str, root: Path, killer: Killer, listener: Listener
) -> None:
    """Where nothing was before, there is nothing or the whole file; the next run finishes and tells."""
    new = scene(kind, root, listener, NEW)
    for kill_at in itertools.count():
        empty(root)
        listener.forget()
        was_killed = killer.run(new, kill_at) == -9
        for path in paths(kind, root):
            if path.exists():
                assert path.read_text() == NEW
                assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert killer.run(new) in (0, 3), kill_at
        check_clean(kind, root, listener, kill_at)
        if not was_killed:
            break
    assert kill_at > 12


def test_a_mended_name_that_is_killed_anywhere(root: Path, killer: Killer, listener: Listener) -> None:
    """Whoever should have heard of a change hears of it, wherever the run that takes up the right name ends."""
    right = scene("files", root, listener, OLD)
    wrong = json.loads(json.dumps(right).replace(listener.pid_file.name, "nobody.pid"))
    for kill_at in itertools.count():
        empty(root)
        assert killer.run(wrong) == 3
        listener.forget()
        was_killed = killer.run(right, kill_at) == -9
        assert killer.run(right) == 0, kill_at
        assert listener.was_told(), f"nobody was told after a kill at step {kill_at}"
        assert sorted(os.listdir(root / "deep")) == ["a", "b"], kill_at
        if not was_killed:
            break
    assert kill_at > 6


def check_clean(kind: str, root: Path, listener: Listener, kill_at: int) -> None:
    """Everything new, everybody told, and not one file too many."""
    assert [path.read_text() for path in paths(kind, root)] == [NEW, NEW], kill_at
    assert listener.was_told(), f"nobody was told after a kill at step {kill_at}"
    folder = paths(kind, root)[0].parent
    names = sorted(os.listdir(folder))
    if kind == "set":
        generation = os.readlink(folder / "..data")
        assert names == sorted(["a", "b", "..data", generation]), kill_at
    else:
        assert names == ["a", "b"], kill_at


def empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
