"""Modes and owners of a whole folder: what chmod and chown would do."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from keepstep.errors import Error, Misuse
from keepstep.stores.local_modes import apply, mode_change, owner

MODES = (
    "0644", "755", "4755", "u=rwX,go=rX", "+x", "-w", "a=r", "u+x,g-w", "o=", "g=u", "o=g", "a+X", "u=rw,g=u,o=",
    "+t", "u+s", "g+s", "ug+rw,o-rwx", "=", "go=", "a=rwx", "u-s", "+rw-x", "og+rX-w",
)  # fmt: skip


@pytest.mark.parametrize("text", MODES)
@pytest.mark.parametrize("before", [0o600, 0o755, 0o4711, 0o2770, 0o000])
def test_modes_mean_what_they_mean_to_chmod(tmp_path: Path, text: str, before: int) -> None:
    """For files and folders of any mode the result is that of chmod."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    for side in ("ours", "theirs"):
        (tmp_path / side / "file").touch()
        (tmp_path / side / "folder").mkdir()
        for name in ("file", "folder"):
            (tmp_path / side / name).chmod(before)
    subprocess.run(
        ["chmod", text, "file", "folder"], cwd=tmp_path / "theirs", check=False, stderr=subprocess.DEVNULL
    )
    apply(str(tmp_path / "ours"), mode_change(text), None)
    for name in ("file", "folder"):
        modes = [oct(stat.S_IMODE((tmp_path / side / name).stat().st_mode)) for side in ("ours", "theirs")]
        assert modes[0] == modes[1], name


@pytest.mark.parametrize("text", ["", "rwx", "999", "u~x", "u=rwz", "u=r,", "07777777"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    """A mode that chmod would not take is named, and nothing happens."""
    with pytest.raises(Misuse, match="not a mode"):
        mode_change(text)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither a link's target nor anything behind a linked folder changes."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (outside / "folder").mkdir(parents=True)
    inside.mkdir()
    (outside / "file").touch(0o600)
    (outside / "folder" / "file").touch(0o600)
    (inside / "file").symlink_to(outside / "file")
    (inside / "folder").symlink_to(outside / "folder")
    apply(str(inside), mode_change("0777"), owner("12345:12345"))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (outside / "file", outside / "folder" / "file")]
    assert modes == [0o600, 0o600]
    assert (outside / "file").stat().st_uid == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owners(tmp_path: Path) -> None:
    """User and group, each alone or both, by name or by number."""
    file = tmp_path / "file"
    file.touch()
    for text, expected in {
        "root": (0, 0),
        "12:34": (12, 34),
        ":56": (12, 56),
        "78": (78, 56),
        "0:0": (0, 0),
    }.items():
        apply(str(tmp_path), None, owner(text))
        assert (file.stat().st_uid, file.stat().st_gid) == expected


@pytest.mark.parametrize("text", ["no-such-user-here", "root:no-such-group-here", ""])
def test_unknown_owners_are_refused(text: str) -> None:
    """A name that this machine does not know is named."""
    with pytest.raises(Misuse, match="--chown"):
        owner(text)


def test_what_cannot_be_set_is_named(tmp_path: Path) -> None:
    """A file system that refuses is an error with the file's name."""
    with pytest.raises(Error, match="mode or owner cannot be set"):
        apply("/proc/self/net", mode_change("0777"), owner("1:1"))
