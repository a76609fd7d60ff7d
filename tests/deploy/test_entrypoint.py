"""What the image starts, in a folder that somebody else can write to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.images import CONTAINERFILE, REPOSITORY
from tests.servers import program

ENTRYPOINT = CONTAINERFILE.parent / "entrypoint"
TAKEN = "somebody else's code ran"
_DECOYS = ("keepstep/__init__.py", "keepstep/__main__.py", "click.py", "json.py", "asyncio.py", "pydantic.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with modules in it that are called as those that are imported."""
    for name in _DECOYS:
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"raise SystemExit({TAKEN!r})\n")
    (tmp_path / "bin").mkdir()
    for name in ("python", "keepstep", "oci-secretsync"):
        (tmp_path / "bin" / name).symlink_to(sys.executable if name == "python" else program(name, name))
    return tmp_path / "work"


def started(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """The command with nothing configured, so that it ends by itself, and with nothing on the module path."""
    env = {"PATH": f"{Path(sys.executable).parent}:{folder.parent / 'bin'}:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", [(), ("keepstep", "--version"), ("--version",), ("oci-secretsync", "--help")])
def test_the_entrypoint_imports_nothing_of_the_working_folder(folder: Path, words: tuple[str, ...]) -> None:
    """Neither the drop-in container nor a command runs a module that lies where it is started."""
    result = started(folder, "sh", ENTRYPOINT, *words)
    assert TAKEN not in result.stdout + result.stderr
    assert result.returncode == (0 if words else 5), result.stderr


def test_without_the_option_it_would(folder: Path) -> None:
    """The decoys are such that the test above can fail."""
    result = started(folder, sys.executable, "-m", "keepstep.hosts.container")
    assert TAKEN in result.stderr


def test_every_command_that_is_shown_has_the_option() -> None:
    """Wherever deployments and documents start a module of keepstep, they say -P, or -I."""
    found = []
    for place in ("deploy", "docs", "README.md", "SECURITY.md", "src"):
        root = REPOSITORY / place
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".json") and os.access(path, os.R_OK):
                text = path.read_text(errors="replace")
                found += re.findall(
                    r"python3?[\"']?,?(?: +[^\n]{0,20}?)? [\"']?-m[\"']?,? [\"']?keepstep[\w.]*", text
                )
    assert len(found) >= 4
    shown = [each for each in found if not re.search(r"-[PI]\b", each)]
    assert shown == []
