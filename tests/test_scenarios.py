"""Runs the scenarios beside this file: shell sessions that show what a user sees.

A scenario is a text file. Lines that start with ``$ `` are commands, run by bash one after the other in an empty
folder of the scenario's own (of a pipe, the last command that fails counts); the lines behind a command are what it
must print, stdout and stderr together. ``...`` within a line stands for any text, a line that is only ``...`` for
any number of lines. ``[exit N]`` ends what is expected of a command that must end with N instead of 0. Lines that
start with ``#`` explain.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCENARIOS = sorted(Path(__file__).with_name("scenarios").glob("*.txt"))
_EXIT = re.compile(r"\[exit (\d+)\]\Z")


@dataclass
class Step:
    """One command, and what is expected of it."""

    line: int
    command: str
    output: list[str] = field(default_factory=list)
    code: int = 0

    @property
    def is_refusal(self) -> bool:
        return self.code != 0 and self.command.startswith("keepstep sync")

    @property
    def looks(self) -> bool:
        """Whether it shows what is in the folder."""
        return self.command.startswith(("find", "ls", "cat", "diff", "test", "! test"))


def parsed(path: Path) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("$ "):
            steps.append(Step(number, line[2:]))
        elif line.startswith("#") or (not line and (not steps or not steps[-1].output)):
            continue
        elif found := _EXIT.match(line):
            steps[-1].code = int(found[1])
        else:
            steps[-1].output.append(line)
    for step in steps:
        while step.output and not step.output[-1]:
            step.output.pop()  # the blank line before the next command
    return steps


def matches(expected: list[str], got: list[str]) -> bool:
    """Line by line; ``...`` as the module's docstring says."""
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + "\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in got)) is not None


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path, nobodys_machine: Path) -> None:
    """Each command of the scenario prints what stands behind it, and ends as it says."""
    folder = tmp_path / "scenario"
    folder.mkdir()
    binaries = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": binaries, "COLUMNS": "100", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    for step in parsed(path):
        result = subprocess.run(
            ["bash", "-c", f"umask 022; set -o pipefail; {step.command}"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
        )
        got = result.stdout.splitlines()
        where = f"{path.name}:{step.line}: {step.command}"
        assert matches(step.output, got), f"{where}\nexpected:\n{_shown(step.output)}\ngot:\n{_shown(got)}"
        assert result.returncode == step.code, (
            f"{where}\nexit {result.returncode}, expected {step.code}\n{_shown(got)}"
        )


def _shown(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def test_every_refusal_looks_at_what_it_left() -> None:
    """After a run that must fail, each scenario shows with an ordinary command what is there, and what is not."""
    for path in SCENARIOS:
        steps = parsed(path)
        for n, step in enumerate(steps):
            if step.is_refusal:
                assert any(later.looks for later in steps[n + 1 :]), f"{path.name}:{step.line}: {step.command}"


@pytest.mark.parametrize(
    ("expected", "got", "does"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        (["a", "..."], ["a"], True),
        (["...", "b"], ["a", "x", "b"], True),
        (["...", "b"], ["a", "x"], False),
        (["a ... c"], ["a b b c"], True),
        (["a ... c"], ["a b", "c"], False),
        (["1.5 (x) [y]"], ["1.5 (x) [y]"], True),
        ([], [], True),
        ([], ["a"], False),
    ],
)
def test_expectations_mean_what_they_say(expected: list[str], got: list[str], does: bool) -> None:
    """Text is text, and dots stand for what is between."""
    assert matches(expected, got) is does
