"""A run that is told to end when it is nearly done: its report and its exit code are not lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keepstep.cli import running
from keepstep.cli.running import Interruption, late_signal
from keepstep.errors import ExitCode

CODES = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}


@pytest.fixture(autouse=True)
def _signals_as_before() -> object:
    before = {number: signal.getsignal(number) for number in CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", CODES)
def test_the_end_that_was_set_does_not_come_after_the_end(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """What remains to be done after a run that ended in time, such as closing stores, is not cut off."""
    monkeypatch.setattr(running, "_GRACE", 0.05)
    stopped: list[bool] = []

    async def main() -> ExitCode | None:
        with Interruption(lambda: stopped.append(True)) as interruption:
            os.kill(os.getpid(), number)
            while not stopped:
                await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        return interruption.code

    assert running.run(main()) == CODES[number]


@pytest.mark.parametrize("number", CODES)
def test_a_signal_after_the_work(number: signal.Signals) -> None:
    """It is remembered; the next run in the same process begins without it."""

    async def main() -> None:
        with Interruption(lambda: None):
            pass

    running.run(main())
    assert late_signal() is None
    os.kill(os.getpid(), number)
    assert late_signal() == CODES[number]
    running.run(main())
    assert late_signal() is None


@pytest.mark.parametrize("number", CODES)
def test_a_report_that_is_being_written(tmp_path: Path, number: signal.Signals) -> None:
    """A signal while somebody still reads the report cuts nothing off."""
    (tmp_path / "source").mkdir()
    for each in range(2000):
        (tmp_path / "source" / f"{each}").touch()
    words = [sys.executable, "-m", "keepstep", "sync", str(tmp_path / "source"), str(tmp_path / "target"), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as run:
        assert run.stdout
        first = run.stdout.read(1)  # more than a pipe holds: it waits for us
        run.send_signal(number)
        time.sleep(0.2)
        report = json.loads(first + run.stdout.read())
    assert len(report["actions"]) == 2000
    assert run.returncode == report["exit_code"]


def test_whenever_it_comes(tmp_path: Path) -> None:
    """At any moment of a run: there is a whole report that says what the exit code says, or it had not begun."""
    (tmp_path / "source").mkdir()
    for each in range(300):
        (tmp_path / "source" / f"{each}").touch()
    codes = set()
    for turn in range(8):
        target = tmp_path / f"target{turn}"
        words = ["sync", str(tmp_path / "source"), str(target), "--json", "--chmod", "0644"]
        with subprocess.Popen([sys.executable, "-m", "keepstep", *words], stdout=subprocess.PIPE) as run:
            assert run.stdout
            while not target.exists() and run.poll() is None:
                time.sleep(0.001)
            time.sleep(turn * 0.01)
            run.send_signal(signal.SIGTERM)
            out = run.stdout.read()
        assert json.loads(out)["exit_code"] == run.returncode
        codes.add(run.returncode)
    assert codes <= {0, 143}
