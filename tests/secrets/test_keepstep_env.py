"""``keepstep-env``: files into the environment, by every POSIX shell that is here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from keepstep.secrets.environment import variable_of

SCRIPT = Path(__file__).parents[2] / "deploy" / "keepstep-env"
SHELLS = [
    [name, *words] for name, *words in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(name)
]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


def start(
    shell: list[str], *words: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [*shell, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=20, check=False, env=env)


def variables(output: bytes) -> dict[bytes, bytes]:
    """What ``env -0`` printed."""
    return dict(line.split(b"=", 1) for line in output.split(b"\0") if line)


def test_there_is_a_shell() -> None:
    """The script is tried on at least one shell."""
    assert SHELLS


def test_values_are_exact(shell: list[str], root: Path) -> None:
    """Newlines at the end, quotes, expansions and bytes that are not text arrive as they are."""
    values = {
        "plain": b"x",
        "empty": b"",
        "lines": b"\n a\n\n",
        "nasty": b"'\"$(id) `id` \\ * \xff=",
        "db.pass-word": b"v",
    }
    for name, value in values.items():
        (root / name).write_bytes(value)
    (root / ".hidden").write_bytes(b"no")
    (root / "folder").mkdir()
    ran = start(shell, root, "--", "env", "-0")
    assert ran.returncode == 0, ran.stderr
    found = variables(ran.stdout)
    names = {
        b"PLAIN": "plain",
        b"EMPTY": "empty",
        b"LINES": "lines",
        b"NASTY": "nasty",
        b"DB_PASS_WORD": "db.pass-word",
    }
    assert {name: found[name] for name in names} == {name: values[file] for name, file in names.items()}
    assert not [
        name for name in found if name.startswith(b"KEEPSTEP") or name in (b"HIDDEN", b"FOLDER", b"_HIDDEN")
    ]


def test_single_files_and_the_environment_that_was(shell: list[str], root: Path) -> None:
    """Files can be named one by one; what was in the environment stays."""
    (root / "a").write_bytes(b"1")
    (root / "b").write_bytes(b"2")
    ran = start(shell, root / "b", "--", "env", "-0", env={**os.environ, "LC_ALL": "C.UTF-8"})
    found = variables(ran.stdout)
    assert (found[b"B"], found[b"LC_ALL"], b"A" in found) == (b"2", b"C.UTF-8", False)


@pytest.mark.parametrize("name", ["2fa", "path", "ifs", "LD_PRELOAD", "env"])
def test_names_that_would_do_harm(shell: list[str], root: Path, name: str) -> None:
    """What no shell can name, and what would change how the program itself is found or loaded, is refused."""
    (root / name).write_bytes(b"S3cr3t")
    ran = start(shell, root, "--", "true")
    assert ran.returncode == 5
    assert str(root / name).encode() in ran.stderr
    assert b"S3cr3t" not in ran.stderr


def test_what_cannot_be_had_stops_the_program(shell: list[str], root: Path) -> None:
    """A missing file, a NUL, and a missing command: the program does not start."""
    (root / "nul").write_bytes(b"a\0b")
    started = root / "started"
    for path in (root / "missing", root / "nul", root):
        ran = start(shell, path, "--", "touch", started)
        assert ran.returncode == 5
        assert not started.exists()
    (root / "nul").unlink()
    wrong: list[list[object]] = [[root, "--"], [root], []]
    for words in wrong:
        ran = start(shell, *words)
        assert (ran.returncode, b"usage" in ran.stderr) == (5, True)


def test_names_are_those_of_exec(shell: list[str], root: Path) -> None:
    """A file is the same variable here and in ``keepstep exec``, letters beyond ASCII and odd bytes included."""
    names = ["db-pass.word", "caf\u00e9", "stra\u00dfe\U0001f986", "x\udce9y", "a b"]
    for name in names:
        (root / name).write_text("x")
    found = variables(start(shell, root, "--", "env", "-0", env={"PATH": os.environ["PATH"]}).stdout)
    assert {variable_of(f"{root}/{name}").encode() for name in names} <= found.keys()


def test_the_program_takes_its_place(shell: list[str], root: Path) -> None:
    """Exit codes are the program's, signals reach it, and there is no process in between."""
    (root / "a").write_bytes(b"1")
    assert start(shell, root, "--", "sh", "-c", "exit 42").returncode == 42
    assert start(shell, root, "--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    command = [
        *shell,
        str(SCRIPT),
        str(root),
        "--",
        "sh",
        "-c",
        "trap 'exit 7' USR1; echo $$; while :; do sleep 0.05; done",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout and int(running.stdout.readline()) == running.pid
        running.send_signal(signal.SIGUSR1)
        assert running.wait(10) == 7
