"""Streams that are full, closed or read no further: the work is done, and the exit code tells how it went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_options_own import contents

KEEPSTEP = f"{sys.executable} -m keepstep"
STREAMS = [
    ">/dev/full",
    ">&-",
    "2>&-",
    "<&-",
    "2>/dev/full",
    ">/dev/full 2>&1",
    "<&- >&- 2>&-",
    "> >(head -1 >/dev/null)",
    "2> >(true)",
    "> >(exit 0) 2>&1",
]
WORST = [">/dev/full 2>&1", "<&- >&- 2>&-", "> >(exit 0) 2>&1"]


def _shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    for number in range(600):  # more lines than a pipe and every buffer hold
        (tmp_path / "src" / f"{number}-{'x' * 200}").write_text(str(number))
    return tmp_path


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        *((streams, "") for streams in STREAMS),
        *((streams, "--json") for streams in WORST),
        (">/dev/full 2>&1", "--explain --progress-multiline"),
    ],
)
def test_a_sync_goes_on(folder: Path, streams: str, options: str) -> None:
    """All files arrive, whole, and nothing else is written into them; nothing is a traceback."""
    ran = _shell(f"{KEEPSTEP} sync src dst {options} {streams}", folder)
    assert ran.returncode == 0, ran.stderr
    assert contents(folder / "dst") == contents(folder / "src")
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    (folder / "dst" / "other").touch()
    (folder / "src" / "gone").symlink_to("nowhere")
    ran = _shell(f"{KEEPSTEP} sync src dst --delete {options} {streams}", folder)
    assert ran.returncode == 2, "a link that leads nowhere"
    assert not (folder / "dst" / "other").exists()


@pytest.mark.parametrize("streams", WORST)
def test_a_verification_keeps_its_exit_code(folder: Path, streams: str) -> None:
    """0 and 1 tell what is equal and what is not, whether or not anybody can read the lines."""
    assert _shell(f"cp -r src dst && {KEEPSTEP} verify src dst {streams}", folder).returncode == 0
    (folder / "dst" / "other").touch()
    assert _shell(f"{KEEPSTEP} verify src dst --explain {streams}", folder).returncode == 1


def test_other_commands(folder: Path) -> None:
    """The same for commands that look or check: their codes are those that they have on a terminal."""
    (folder / "keepstep.toml").write_text(
        f'[state]\nurl = "sqlite:///{folder}/state.db"\n[job.a]\nkind = "sync"\nsource = "src"\ntarget = "dst"\n'
    )
    (folder / "map.csv").write_text("not-an-address,file\n")
    os.chmod(folder, 0o755)
    for words in (
        "config check",
        "sync a",
        "status a --json",
        "sync none",
        "secrets apply ./map.csv",
        "audit verify nowhere",
    ):
        plain = _shell(f"{KEEPSTEP} {words}", folder)
        for streams in WORST[:2]:
            ran = _shell(f"{KEEPSTEP} {words} {streams}", folder)
            assert ran.returncode == plain.returncode, (words, streams, ran.stderr, plain)
            assert "Traceback" not in ran.stderr, words


def test_it_is_said_that_nothing_can_be_said(folder: Path) -> None:
    """A full standard output is told once on standard error; a reader who has gone is no news."""
    ran = _shell(f"{KEEPSTEP} sync src dst >/dev/full", folder)
    assert ran.stderr == "warning: standard output cannot be written: No space left on device\n"
    assert _shell(f"{KEEPSTEP} sync src other > >(exit 0)", folder).stderr == ""


def test_a_slow_reader_gets_everything(folder: Path) -> None:
    """Also through a pipe that does not block its writers."""
    script = (
        "import os, subprocess, sys, time\n"
        "read, write = os.pipe()\n"
        "os.set_blocking(write, False)\n"
        f"words = [{sys.executable!r}, '-m', 'keepstep', 'sync', 'src', 'dst', '--json']\n"
        "run = subprocess.Popen(words, stdout=write)\n"
        "os.close(write)\n"
        "time.sleep(1)\n"
        "sys.stdout.write(os.fdopen(read).read())\n"
        "sys.exit(run.wait())\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["actions"]) == 600


def test_names_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    """A terminal that knows ASCII alone gets the rest escaped."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "ü").touch()
    ran = _shell(f"{KEEPSTEP} sync src dst", tmp_path, PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stdout) == (0, "upload: src/\\xfc to dst/\\xfc\n".replace("upload", "copy"))


@pytest.mark.parametrize(("unbuffered", "said"), [("1", "at once\n"), ("", "")])
def test_unbuffered_output(tmp_path: Path, unbuffered: str, said: str) -> None:
    """PYTHONUNBUFFERED means what it means to Python: a process that ends without a word has said its lines."""
    script = "import os; from keepstep.streams import secure; secure(); print('at once'); os._exit(0)"
    ran = _shell(f'{sys.executable} -c "{script}"', tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert ran.stdout == said
