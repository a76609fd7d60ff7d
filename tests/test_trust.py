"""Files that were found, and not asked for, are obeyed only when nobody else could have put them there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.errors import ConfigError
from keepstep.trust import trusted
from tests.servers import program

NOBODY = 65534

BY_OTHERS: dict[str, Callable[[Path], object]] = {
    "the file is another user's": lambda folder: os.chown(folder / "keepstep.toml", NOBODY, NOBODY),
    "the folder is another user's": lambda folder: os.chown(folder, NOBODY, NOBODY),
    "everybody can write the file": lambda folder: (folder / "keepstep.toml").chmod(0o666),
    "everybody can write the folder": lambda folder: folder.chmod(0o777),
    "everybody can put files into the folder": lambda folder: folder.chmod(0o1777),
    "a group can write the folder": lambda folder: _for_users(folder),
    "a link of another user": lambda folder: _as_link(folder, NOBODY),
    "a link to a file of another user": lambda folder: _to_others(folder),
}


def _as_link(folder: Path, owner: int) -> None:
    path = folder / "keepstep.toml"
    path.rename(folder / "real.toml")
    path.symlink_to(folder / "real.toml")
    os.chown(path, owner, owner, follow_symlinks=False)


def _for_users(folder: Path) -> None:
    os.chown(folder, 0, 100)
    folder.chmod(0o775)


def _to_others(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (folder / "keepstep.toml").rename(other / "real.toml")
    os.chown(other, NOBODY, NOBODY)
    (folder / "keepstep.toml").symlink_to(other / "real.toml")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    for name in ("in", "out"):
        (folder / name).mkdir()
    (folder / "in/a").write_text("1")
    job = f'[job.copy]\nkind = "sync"\nsource = "{folder}/in"\ntarget = "{folder}/out"\n'
    (folder / "keepstep.toml").write_text(f'[state]\nurl = "sqlite:///{folder}/state/state.db"\n{job}')
    return folder


def keepstep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepstep", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("how", BY_OTHERS)
def test_what_others_can_write_is_not_obeyed(place: Path, how: str) -> None:
    """Exit code 5, why, and how to name the file explicitly; which works."""
    BY_OTHERS[how](place)
    result = keepstep(place, "sync", "copy")
    assert result.returncode == 5
    assert "is not trusted" in result.stderr and "--config keepstep.toml" in result.stderr
    assert not list((place / "out").iterdir())
    assert keepstep(place, "--config", "keepstep.toml", "sync", "copy").returncode == 0
    assert (place / "out/a").read_text() == "1"


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o750])
def test_what_only_this_user_can_write_is_obeyed(place: Path, mode: int) -> None:
    """Found in the current directory."""
    place.chmod(mode)
    assert keepstep(place, "sync", "copy").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_file_that_root_mounted_is_obeyed(place: Path, tmp_path: Path) -> None:
    """As containers have it: a file of the host's user, mounted at its place."""
    os.chown(place / "keepstep.toml", NOBODY, NOBODY)
    mount = f"mount --bind {place}/keepstep.toml {place}/keepstep.toml"
    words = f"{mount} && cd {place} && {sys.executable} -m keepstep config check"
    command = [program("unshare", "unshare (util-linux)"), "-m", "sh", "-c", words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_a_private_group_is_nobody_else(tmp_path: Path) -> None:
    """Systems on which every user has a group of their own, and files can be written by it."""
    path = tmp_path / "keepstep.toml"
    path.write_text("")
    path.chmod(0o664)
    assert trusted(path, hint="") == path


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Named, not a traceback."""
    with pytest.raises(ConfigError, match="nothing"):
        trusted(tmp_path / "nothing", hint="")
