"""Runs that are killed or asked to end: nothing partial under a final name, ever, and the next run finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from keepstep.stores.local_paths import TEMPORARY
from tests.servers import program

KILLS = 9
MIB = 1024 * 1024


class World:
    """A source with many small files and two of 40 MB, and a target that begins with older versions of some."""

    def __init__(self, root: Path) -> None:
        self.source, self.target = root / "source", root / "target"
        self.rng = random.Random(20260101)
        for n in range(300):
            self._write(f"small/{n % 7}/{n}", self.rng.randbytes(self.rng.randrange(20_000)))
        for n in range(2):
            self._write(f"large{n}", self.rng.randbytes(MIB) * 40)

    def _write(self, key: str, data: bytes) -> None:
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def start(self) -> subprocess.Popen[bytes]:
        command = [program("keepstep", "keepstep"), "sync", str(self.source), str(self.target), "--delete"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def age(self, count: int) -> None:
        """Puts old contents under some names of the target, the large ones among them, and a file that is to go."""
        small = [path for path in self.source.rglob("*") if path.is_file() and path.parent != self.source]
        for path in [*self.rng.sample(small, count), self.source / "large0", self.source / "large1"]:
            old = self.target / path.relative_to(self.source)
            old.parent.mkdir(parents=True, exist_ok=True)
            old.write_bytes(b"old")
        (self.target / f"gone{count}").write_bytes(b"old")

    def wait_for_work(self, process: subprocess.Popen[bytes]) -> None:
        """Returns once the run has a file in hand, or has ended."""
        deadline = time.monotonic() + 30
        while process.poll() is None and not self.litter():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def litter(self) -> list[Path]:
        folders = [self.target, self.target / "small", *(self.target / "small" / str(n) for n in range(7))]
        names = (Path(folder, name) for folder in folders if folder.is_dir() for name in os.listdir(folder))
        return [path for path in names if TEMPORARY.match(path.name)]

    def check(self) -> int:
        """Every file under a final name is whole: the source's, or as old as it was. How many are the source's."""
        new = 0
        for path in self.target.rglob("*"):
            if path.is_dir() or TEMPORARY.match(path.name):
                continue
            data = path.read_bytes()
            if data != b"old":
                assert data == (self.source / path.relative_to(self.target)).read_bytes(), path
                new += 1
        return new

    def is_equal(self) -> bool:
        ours, theirs = (
            {p.relative_to(r) for r in [root] for p in r.rglob("*") if p.is_file()}
            for root in (self.source, self.target)
        )
        return ours == theirs and self.check() == len(ours)


def finish(process: subprocess.Popen[bytes], timeout: float = 60) -> int:
    _, errors = process.communicate(timeout=timeout)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode


def test_killed_at_any_moment_nothing_is_torn(tmp_path: Path) -> None:
    """SIGKILL at random moments: every file is whole; one clean run makes the target equal, with no litter."""
    world = World(tmp_path)
    assert finish(world.start()) == 0
    assert world.is_equal()
    killed = unfinished = 0
    for attempt in range(4 * KILLS):
        world.age(100 + attempt)
        process = world.start()
        world.wait_for_work(process)
        time.sleep(world.rng.uniform(0, 0.15))
        process.kill()
        killed += finish(process) == -signal.SIGKILL
        unfinished += world.check() < 302
        if killed == KILLS:
            break
    assert killed == KILLS
    assert unfinished > KILLS // 3, "the kills came in the middle of the work"
    assert finish(world.start()) == 0
    assert world.is_equal()
    assert finish(world.start()) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_end(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """SIGTERM, SIGINT: what is in flight is finished, nothing else started, no litter; the next run does the
    rest."""
    world = World(tmp_path)
    for n in range(1500):
        world._write(f"many/{n}", b"x")
    process = world.start()
    world.wait_for_work(process)
    process.send_signal(number)
    assert finish(process, timeout=10) == code
    assert world.check() < 1802
    assert not world.litter()
    assert finish(world.start()) == 0
    assert world.is_equal()
