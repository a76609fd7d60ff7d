"""The way to a file, and everything on it that must not be trusted."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.errors import ConfigError, Error, NotFound
from keepstep.secrets.delivery import FileAttributes
from keepstep.secrets.folders import opened

OURS = FileAttributes(0o600)
NOBODY = 65534


def enter(path: Path, attributes: FileAttributes = OURS, *, create: bool = True) -> Path:
    """Where the way leads."""
    with opened(str(path), attributes, create=create) as folder:
        return Path(os.readlink(f"/proc/self/fd/{folder}"))


def test_missing_folders_are_made_for_us_alone(root: Path) -> None:
    """What is missing is made with mode 0700 whatever the umask, or 0711 where the file is for others too."""
    old = os.umask(0)
    try:
        assert enter(root / "a" / "b") == root / "a" / "b"
        assert enter(root / "c", FileAttributes(0o640)) == root / "c"
        assert enter(root / "d", FileAttributes(0o600, NOBODY)) == root / "d"
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((root / name).stat().st_mode) for name in ("a", "a/b", "c", "d")]
    assert modes == [0o700, 0o700, 0o711, 0o711]


@pytest.mark.parametrize("umask", [0o077, 0o777])
def test_a_new_folder_has_its_mode_from_the_start(root: Path, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who puts a link or another folder of ours in a new folder's place changes the mode of nothing."""
    ours = root / "ours"
    ours.mkdir(mode=0o700)
    make = os.mkdir

    def swapped(name: str, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        os.rename(name, f"{name}.away", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        if name == "link":
            os.symlink(ours, name, dir_fd=dir_fd)
        else:
            os.rename(ours, name, dst_dir_fd=dir_fd)

    before = os.umask(umask)
    try:
        enter(root / "plain", FileAttributes(0o640))
        monkeypatch.setattr(os, "mkdir", swapped)
        with contextlib.suppress(ConfigError):
            enter(root / "link", FileAttributes(0o640))
        assert stat.S_IMODE(ours.stat().st_mode) == 0o700
        enter(root / "folder", FileAttributes(0o640))
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "folder").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "plain").stat().st_mode) == 0o711


def test_nothing_is_made_unasked(root: Path) -> None:
    """Without ``create`` a missing folder is NotFound, and stays missing."""
    with pytest.raises(NotFound):
        enter(root / "a", create=False)
    assert not (root / "a").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_holds_no_secret(root: Path, mode: int) -> None:
    """Group or others with a right to write, sticky or not, are refused with what to do."""
    folder = root / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="others can write") as refusal:
        enter(folder)
    assert "chmod go-w" in (refusal.value.hint or "")


def test_nor_does_one_beneath_it(root: Path) -> None:
    """A folder on the way counts as much as the last; a sticky one such as /tmp may be passed."""
    way = root / "way"
    (way / "in").mkdir(parents=True)
    way.chmod(0o777)
    with pytest.raises(ConfigError, match="others can write"):
        enter(way / "in")
    way.chmod(0o1777)
    assert enter(way / "in") == way / "in"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_somebody_elses_folder(root: Path) -> None:
    """Another user's folder is refused, unless the file is that user's too."""
    folder = root / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match=f"belongs to the user {NOBODY}"):
        enter(folder)
    assert enter(folder, FileAttributes(0o600, NOBODY)) == folder


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root's links")
def test_roots_links_are_followed(root: Path) -> None:
    """A link like /var/run, root's in a folder of root's alone, is followed, absolute or relative."""
    (root / "real" / "in").mkdir(parents=True)
    (root / "absolute").symlink_to(root / "real")
    (root / "relative").symlink_to("real/../relative2")
    (root / "relative2").symlink_to("absolute")
    assert enter(root / "absolute" / "in") == root / "real" / "in"
    assert enter(root / "relative" / "in") == root / "real" / "in"


@pytest.mark.parametrize("what", ["others' link", "others' folder"])
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give links away")
def test_other_links_are_refused(root: Path, what: str) -> None:
    """A link that is not root's, or that stands where others could have put it, leads nowhere."""
    way = root / "way"
    way.mkdir()
    (root / "real").mkdir()
    (way / "link").symlink_to(root / "real")
    if what == "others' link":
        os.chown(way / "link", NOBODY, NOBODY, follow_symlinks=False)
    else:
        way.chmod(0o1777)
    with pytest.raises(ConfigError, match="leads over the link"):
        enter(way / "link" / "in")
    assert not list((root / "real").iterdir())


def test_links_without_end(root: Path) -> None:
    """A circle of links is an error, not a hang."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(Error):
        enter(root / "a")


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_what_is_no_folder(root: Path, make: Callable[[Path], None]) -> None:
    """A file or pipe on the way is named."""
    make(root / "thing")
    with pytest.raises(ConfigError, match="thing is not a folder"):
        enter(root / "thing" / "in")
