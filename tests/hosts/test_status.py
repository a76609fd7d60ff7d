"""Configured jobs are written down, and ``keepstep status`` reads well."""

from __future__ import annotations

import signal
import subprocess
from datetime import timedelta

import pytest

from keepstep.runs.lifecycle import Line
from tests.hosts.fixtures import COPY, Place
from tests.runs.test_history import NOW, a_run, ended


def test_a_run_is_written_down_and_told(place: Place) -> None:
    """After a run of a job, status names its outcome, what it did and when it is due again."""
    place.configure(COPY)
    place.source(a="1", b="22")
    assert place.keepstep("sync", "copy").returncode == 0
    shown = place.keepstep("status").stdout.splitlines()
    assert shown[0].split() == ["JOB", "KIND", "STATE", "WHEN", "TOOK", "DID", "NEXT"]
    assert shown[1].startswith("copy  sync  done")
    assert "2 transferred (3 B)" in shown[1]
    [run] = place.history.recent("copy")
    assert (run.outcome, run.exit_code, run.bytes, run.cause) == ("done", 0, 3, "hand")
    assert run.source == f"{place.folder}/in"
    assert [line.body["action"] for line in place.history.lines(run.id, "action")] == ["copy", "copy"]


def test_a_failed_run_says_why(place: Place) -> None:
    """The runs of one job come with the words of the last one: what failed, and what to do."""
    place.configure(COPY)
    assert place.keepstep("sync", "copy").returncode == 5
    shown = place.keepstep("status", "copy").stdout
    assert "misconfigured" in shown
    assert "error:" in shown
    assert "in" in shown
    assert "alert: copy failed on" in shown
    document = place.json("status", "copy")
    assert document["jobs"][0]["state"] == "misconfigured"
    assert [alert["condition"] for alert in document["jobs"][0]["alerts"]] == ["failed"]
    assert document["runs"][0]["exit_code"] == 5


def test_a_rehearsal_is_not_written_down(place: Place) -> None:
    """``--dryrun`` is no success of the job."""
    place.configure(COPY)
    place.source()
    assert place.keepstep("sync", "copy", "--dryrun").returncode == 0
    assert place.history.recent("copy") == []


def test_nothing_yet_is_said_plainly(place: Place) -> None:
    """Without a state, and without a job of that name, there is an error with what to do; nothing is made."""
    place.configure(COPY)
    result = place.keepstep("status")
    assert result.returncode == 5
    assert "there is no state" in result.stderr
    assert not (place.folder / "state").exists()
    assert "did you mean copy?" in place.keepstep("status", "cop").stderr


def test_a_killed_run_is_noticed_by_the_next(place: Place) -> None:
    """A run whose process was killed is shown as silent, and the job's next run writes it down as lost."""
    place.configure(COPY)
    place.source()
    place.history.begin(a_run("copy", NOW))
    assert "silent for" in place.keepstep("status").stdout
    assert place.keepstep("sync", "copy").returncode == 0
    assert [run.outcome for run in place.history.recent("copy")] == ["done", "lost"]


def test_an_interrupted_run_is_written_down(place: Place) -> None:
    """A run that is stopped by a signal leaves its end in the history."""
    place.configure(COPY)
    place.source(**{f"f{n}": "x" * 1000 for n in range(200)})
    process = subprocess.Popen(place.command("sync", "copy"), stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    [run] = place.history.recent("copy")
    assert run.outcome in ("terminated", "done")
    assert run.exit_code == process.returncode


def test_a_job_that_runs_again_is_what_its_last_run_was(place: Place) -> None:
    """A failing job is failing while it runs again, for people and for programs."""
    place.configure(COPY)
    history = place.history
    failed, again = a_run("copy"), a_run("copy", at=NOW + timedelta(minutes=1))
    history.begin(failed)
    history.end(ended(failed, "failed"))
    history.begin(again)
    [job] = place.json("status")["jobs"]
    assert job["state"] == "failed" and job["running"]["id"] == again.id
    assert "failed, silent" in place.keepstep("status").stdout


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\rb", "\u202egnp.exe", "a\nerror: forged"])
def test_text_of_others_is_text_on_a_terminal(place: Place, text: str) -> None:
    """A stored failure moves no cursor, turns no words round, begins no line, and is not a megabyte long."""
    place.configure(COPY)
    history, run = place.history, a_run("copy")
    history.begin(run)
    lines = [Line("failure", {"error": each, "target": each, "hint": each}) for each in (text, "x" * 2**20)]
    history.end(ended(run, "failed", source=text), lines)
    for words in (["status"], ["status", "copy"]):
        said = place.keepstep(*words).stdout
        assert said.replace("\n", "").isprintable()
        assert "\nerror: forged" not in said
        assert len(said) < 10_000
