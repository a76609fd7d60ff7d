"""A run and its record while the state is away, is full, or has given the run up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keepstep.errors import ConfigError, Error, ExitCode, Locked, Transient
from keepstep.runs import recording as module
from keepstep.runs.history import History
from keepstep.runs.recording import CAUSE, RUN, Recording
from keepstep.runs.report import Report
from keepstep.schedules.claims import Claim, claim
from keepstep.state.place import place_of
from tests.runs.test_history import NOW, a_run
from tests.state.flaky import Flaky


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[Flaky]:
    state = Flaky(place_of(f"sqlite:///{tmp_path}/state.db").open())
    yield state
    state.is_away = state.loses_answers = False
    state.close()


def claimed(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that a daemon has claimed, and whose process begins now."""
    run = replace(a_run(outcome="queued", cause="schedule", due=NOW), started=None)
    assert claim(flaky, run) is Claim.OURS
    monkeypatch.setenv(RUN, run.id)
    monkeypatch.setenv(CAUSE, "schedule")
    return run.id


def soon(flaky: Flaky) -> None:
    """The state comes back in a moment."""

    def come_back() -> None:
        flaky.is_away = flaky.loses_answers = False

    threading.Timer(0.3, come_back).start()


def work(recording: Recording) -> None:
    recording.report = Report("sync", "a", "b", NOW)


@pytest.mark.parametrize("fault", ["is_away", "loses_answers"])
def test_a_claimed_run_waits_for_its_start(flaky: Flaky, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Away, or its answer lost: the run starts once the state says that it is still expected."""
    key = claimed(flaky, monkeypatch)
    setattr(flaky, fault, True)
    soon(flaky)
    with Recording("reports", "sync", History(flaky)) as recording:
        work(recording)
    run = History(flaky).get(key)
    assert run and (run.outcome, run.cause) == ("done", "schedule")


def test_a_claimed_run_does_nothing_without_the_states_word(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot know whether it is expected ends without a step; it stays queued, and is made up for."""
    key = claimed(flaky, monkeypatch)
    monkeypatch.setattr(module, "_patiently", lambda: iter([_Once()]))
    flaky.is_away = True
    with pytest.raises(Transient), Recording("reports", "sync", History(flaky)):
        pytest.fail("it must not begin")
    flaky.is_away = False
    run = History(flaky).get(key)
    assert run and run.outcome == "queued"


class _Once:
    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return


def test_a_run_that_was_given_up_does_nothing(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its daemon was frozen, another one has given it up: exit code 6, and no record is changed."""
    key = claimed(flaky, monkeypatch)
    history = History(flaky)
    run = history.get(key)
    assert run and history.lose(run, at=NOW)
    with pytest.raises(Locked), Recording("reports", "sync", history):
        pytest.fail("it must not begin")
    again = history.get(key)
    assert again and again.outcome == "lost" and again.started is None


def test_a_run_that_is_given_up_under_way_ends_itself(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its next beat it is told, and asks itself to stop; the outcome stays."""
    monkeypatch.setattr(module, "_BEAT", 0.05)
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        key = claimed(flaky, monkeypatch)
        history = History(flaky)
        with Recording("reports", "sync", history) as recording:
            work(recording)
            lost = False
            while not lost:
                run = history.get(key)
                lost = bool(run and history.lose(run, at=NOW))
            deadline = time.monotonic() + 30
            while not told.is_set() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert told.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
    run = history.get(key)
    assert run and run.outcome == "lost"


@pytest.mark.parametrize("moment", ["begin", "beat", "end"])
def test_a_run_by_hand_goes_on_whatever_the_state_does(
    flaky: Flaky, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It matters more than its record; a state that comes back is told how it ended."""
    monkeypatch.setattr(module, "_BEAT", 0.02)
    history, has_worked = History(flaky), False
    flaky.is_away = moment == "begin"
    with Recording("reports", "sync", history) as recording:
        flaky.is_away = moment != "begin" or flaky.is_away
        time.sleep(0.1)
        work(recording)
        has_worked = True
        if moment == "beat":
            flaky.is_away = False
        elif moment == "end":
            soon(flaky)
    assert has_worked
    flaky.is_away = False
    assert [run.outcome for run in history.recent("reports")] == ([] if moment == "begin" else ["done"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_is_an_error_that_passes(tmp_path: Path) -> None:
    """What SQLite says of a full disk is worth another attempt, and names what to do."""
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "none", small], check=True)
    try:
        history = History(place_of(f"sqlite:///{small}/state.db").open())
        with pytest.raises(Error) as caught:
            for _ in range(2000):
                history.begin(a_run())
        assert isinstance(caught.value, Transient) and "free space" in (caught.value.hint or "")
        history.database.close()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_an_error_that_passes_by_a_fresh_report_is_the_runs_end(tmp_path: Path) -> None:
    """A report that was begun, and knows of nothing yet, does not make a success of a run that an error ended."""
    history = History(place_of(f"sqlite:///{tmp_path}/state.db").open())
    cases: list[tuple[BaseException, str, int]] = [
        (ConfigError("there is no map file"), "misconfigured", 5),
        (Error("refused"), "failed", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (RuntimeError("a bug"), "crashed", -1),
        (SystemExit(0), "done", 0),
    ]
    for error, outcome, code in cases:
        with pytest.raises(type(error)), Recording("a", "secrets", history) as recording:
            work(recording)
            raise error
        run = history.get(recording.run.id)
        assert run and (run.outcome, run.exit_code) == (outcome, code)
    with pytest.raises(Error), Recording("a", "secrets", history) as recording:
        work(recording)
        assert recording.report
        recording.report.exit_code = ExitCode.MISCONFIGURED
        raise Error("refused")
    assert recording.run.outcome == "misconfigured"
    history.database.close()
