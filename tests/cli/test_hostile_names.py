"""Names that others chose are shown so that they do nothing, wherever they are shown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from keepstep.cli.output import Terminal
from keepstep.runs.report import Action, Failure
from keepstep.text import printable, printable_lines
from tests.cli.inprocess import keepstep
from tests.unprivileged import run_unprivileged

HOSTILE = {
    "line feed": "\n",
    "carriage return": "\r",
    "escape": "\x1b[2J",
    "C1 control": "\x9b2J",
    "next line": "\x85",
    "bidi override": "\u202e",
    "bidi isolate": "\u2067",
    "line separator": "\u2028",
    "zero width": "\u200b",
    "bell": "\a",
    "delete": "\x7f",
    "tag": "\U000e0041",
}
FORGED = "x\nerror: everything is lost\n\x1b[2K\u202e\x9b\r"


def is_clean(said: str) -> bool:
    """Only line breaks that begin lines of ours, and what can be seen."""
    lines = said.removesuffix("\n").split("\n")
    return all(line.isprintable() and not line.startswith("error: everything") for line in lines)


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_is_done_by_a_name(what: str) -> None:
    """Every character that has no look is escaped; all that has one stays."""
    shown = printable(f"Grüße 日本 a{HOSTILE[what]}b")
    assert shown.startswith("Grüße 日本 a\\x")
    assert shown.isprintable()
    assert printable_lines("one:\n  two" + HOSTILE[what]) == "one:\n  two" + printable(HOSTILE[what])


def test_a_run_over_hostile_names(tmp_path: Path) -> None:
    """Moved, deleted, passed over, skipped or compared: each takes one line, on either stream."""
    for place in ("source", "target"):
        (tmp_path / place).mkdir()
    names = [f"{number} {text}x" for number, text in enumerate(HOSTILE.values())]
    for number, name in enumerate(names):
        (tmp_path / ("source" if number % 2 else "target") / name).touch()
    (tmp_path / "source" / FORGED).symlink_to("nowhere")
    os.close(os.open(os.fsencode(tmp_path / "source") + b"/\n\xff", os.O_CREAT))
    for options in (
        [],
        ["--explain"],
        ["--delete", "--max-delete", "100%"],
        ["--compare", "checksum", "--explain"],
    ):
        ran = keepstep("sync", str(tmp_path / "source"), str(tmp_path / "target"), *options)
        assert is_clean(ran.out), repr(ran.out)
        assert is_clean(ran.err), repr(ran.err)
    ran = keepstep("verify", str(tmp_path / "source"), str(tmp_path / "target"), "--explain")
    assert is_clean(ran.out + ran.err)
    json.loads(keepstep("sync", str(tmp_path / "source"), str(tmp_path / "target"), "--json").out)


def test_failures_over_hostile_names(tmp_path: Path) -> None:
    """What cannot be read or listed is named in one line."""
    folder = tmp_path / "source" / FORGED.replace("/", "")
    folder.mkdir(parents=True)
    (tmp_path / "source" / ("f" + FORGED)).touch()
    (tmp_path / "source" / ("f" + FORGED)).chmod(0)
    folder.chmod(0)
    words = [sys.executable, "-m", "keepstep", "sync", str(tmp_path / "source"), str(tmp_path / "target")]
    ran = run_unprivileged(words)
    folder.chmod(0o700)
    assert ran.returncode == 1
    assert is_clean(ran.stdout + ran.stderr), repr(ran.stderr)
    missing = keepstep("sync", str(tmp_path / FORGED), str(tmp_path / "target"))
    assert (missing.code, is_clean(missing.err)) == (5, True), repr(missing.err)
    for wrong in (f"{FORGED}:bucket", f"gs://{FORGED}", FORGED):
        assert is_clean(keepstep("sync", str(tmp_path), wrong, "--trash", str(tmp_path)).err)
    assert is_clean(keepstep("sync", f"--{FORGED}").err)
    assert is_clean(keepstep(FORGED).err)
    assert is_clean(keepstep("sync", str(tmp_path), "x", "--jobs", FORGED).err)


def test_what_stores_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A store's message, its hint, a warning, a reason: nothing in them begins a line."""
    terminal = Terminal(explain=True)
    for action in ("copy", "list", "run"):
        source, target = f"s3://b/{FORGED}", f"/x/{FORGED}"
        terminal.failed(Failure(action, source, target, f"NoSuchKey: {FORGED}", f"see {FORGED}"))
    terminal.warned(f"skipped {FORGED}")
    terminal.noted(FORGED)
    terminal.did(Action("copy", f"s3://b/{FORGED}", f"/x/{FORGED}", 1, FORGED))
    out, err = capsys.readouterr()
    assert is_clean(out), repr(out)
    assert is_clean(err), repr(err)
    assert len(err.splitlines()) == 3 + 1 + 2
