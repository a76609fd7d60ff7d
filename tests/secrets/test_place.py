"""One target brought in step, on a real file system."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import stat
from pathlib import Path

import pytest

from keepstep.containers.interface import Kind, Notice
from keepstep.errors import ConfigError, Error
from keepstep.secrets.content import Whole
from keepstep.secrets.delivery import Delivery, FileAttributes, Target
from keepstep.secrets.diff import FileChange, Is
from keepstep.secrets.place import delivered, observe_target, place, preview, still_due, tidy
from keepstep.vaults.address import parse

CONTENT = Whole(parse("aws-sm:x"))
HUP = Notice(Kind.CONTAINER, "web", "SIGHUP")


def one(path: Path, mode: int = 0o600, *notices: Notice) -> Target:
    return Target(
        deliveries=(Delivery(path=str(path), content=CONTENT, attributes=FileAttributes(mode)),), notices=notices
    )


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("content", [b"", b"value", b"\n\n", b"\0nul\0", random.Random(1).randbytes(65536)])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o000])
def test_bytes_and_mode_arrive(root: Path, content: bytes, mode: int) -> None:
    """Any bytes, with the mode that was asked for whatever the umask; and nothing else is left behind."""
    old = os.umask(0o777)
    try:
        placed = place(one(root / "x", mode), [content])
    finally:
        os.umask(old)
    assert [decision.verdict for _, decision in placed.decisions] == [FileChange.CREATE]
    assert (root / "x").read_bytes() == content
    assert stat.S_IMODE((root / "x").stat().st_mode) == mode
    assert names(root) == ["x"]


def test_what_is_equal_is_not_touched(root: Path) -> None:
    """A second time nothing happens: the same inode, the same times, no notice."""
    target = one(root / "x", 0o640, HUP)
    place(target, [b"value"])
    delivered(target, [HUP])
    before = (root / "x").stat()
    placed = place(target, [b"value"])
    after = (root / "x").stat()
    assert not placed.changed
    assert not placed.due
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def test_a_change_is_a_new_file(root: Path) -> None:
    """Anybody who has the old file open keeps reading it, to the end."""
    target = one(root / "x")
    place(target, [b"old value"])
    with (root / "x").open("rb") as reader:
        assert reader.read(3) == b"old"
        place(target, [b"new"])
        assert reader.read() == b" value"
    assert (root / "x").read_bytes() == b"new"


def test_a_wrong_mode_is_a_change(root: Path) -> None:
    """A file that others could read is replaced, also when its content is right."""
    target = one(root / "x")
    place(target, [b"value"])
    (root / "x").chmod(0o644)
    [(_, decision)] = place(target, [b"value"]).changed
    assert decision.reason == "its mode was 0644"
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_owner_and_group(root: Path) -> None:
    """The file belongs to whom it should; one that was given to somebody else is given back."""
    attributes = FileAttributes(0o440, 1234, 4321)
    target = Target(deliveries=(Delivery(path=str(root / "x"), content=CONTENT, attributes=attributes),))
    place(target, [b"value"])
    state = (root / "x").stat()
    assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (1234, 4321, 0o440)
    os.chown(root / "x", 0, 0)
    assert place(target, [b"value"]).changed
    assert (root / "x").stat().st_uid == 1234


def test_the_last_link_is_never_followed(root: Path) -> None:
    """A link under the file's own name is replaced; what it led to is not touched, wherever that is."""
    victim = root / "victim"
    victim.write_bytes(b"precious")
    (root / "s").mkdir()
    (root / "s" / "x").symlink_to(victim)
    place(one(root / "s" / "x"), [b"value"])
    assert victim.read_bytes() == b"precious"
    assert not (root / "s" / "x").is_symlink()
    assert (root / "s" / "x").read_bytes() == b"value"


def test_a_hard_link_keeps_its_other_name(root: Path) -> None:
    """Another name of the old file still leads to the old file."""
    place(one(root / "x"), [b"old"])
    os.link(root / "x", root / "y")
    place(one(root / "x"), [b"new"])
    assert (root / "y").read_bytes() == b"old"


def test_what_is_no_file_is_refused(root: Path) -> None:
    """Folders, pipes, sockets and devices stay what they are, and nothing is left behind."""
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    kinds = {"folder": "a folder", "pipe": "a named pipe", "socket": "a socket"}
    if os.geteuid() == 0:
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        kinds["device"] = "a device"
    for name, kind in kinds.items():
        with pytest.raises(ConfigError, match=f"{kind} stands there"):
            place(one(root / name), [b"value"])
    assert names(root) == sorted(kinds)


def test_leftovers_of_the_killed_are_swept(root: Path) -> None:
    """A temporary file that nobody holds is removed; one that a run writes is not, nor anybody else's file."""
    for name in (
        ".keepstep-0123456789abcdef.part",
        ".keepstep-fedcba9876543210.part",
        ".keepstep-other",
        "mine.part",
    ):
        (root / name).touch()
    with (root / ".keepstep-fedcba9876543210.part").open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        tidy([one(root / "x"), one(root / "missing" / "x")])
    assert names(root) == [".keepstep-fedcba9876543210.part", ".keepstep-other", "mine.part"]


def test_a_notice_stays_due_until_it_is_delivered(root: Path) -> None:
    """From before the change until it was delivered there is a marker, and every run finds it."""
    target = one(root / "x", 0o600, HUP)
    assert place(target, [b"value"]).due == [HUP]
    assert place(target, [b"value"]).due == [HUP]
    assert still_due(target) == [HUP]
    delivered(target, [HUP])
    assert not place(target, [b"value"]).due
    assert names(root) == ["x"]


def test_markers_are_empty_and_ours(root: Path) -> None:
    """A marker holds nothing, and nobody else may write it."""
    place(one(root / "x", 0o644, HUP), [b"value"])
    [marker] = [path for path in root.iterdir() if path.name != "x"]
    assert marker.read_bytes() == b""
    assert stat.S_IMODE(marker.stat().st_mode) == 0o600


def test_a_planted_marker_is_not_followed(root: Path) -> None:
    """A link under a marker's name leads to no file: the change fails, and the old file stays."""
    target = one(root / "x", 0o600, HUP)
    place(target, [b"old"])
    [marker] = [path for path in root.iterdir() if path.name != "x"]
    marker.unlink()
    marker.symlink_to(root / "elsewhere")
    with pytest.raises(Error):
        place(target, [b"new"])
    assert (root / "x").read_bytes() == b"old"
    assert not (root / "elsewhere").exists()
    assert names(root) == sorted(["x", marker.name])


def test_a_preview_touches_nothing(root: Path) -> None:
    """What would happen is said; no folder, file or marker appears."""
    target = one(root / "a" / "x", 0o600, HUP)
    [(_, decision)] = preview(target, [b"value"]).changed
    assert decision.verdict is FileChange.CREATE
    assert names(root) == []
    place(target, [b"value"])
    delivered(target, [HUP])
    assert preview(target, [b"other"]).changed
    assert not preview(target, [b"value"]).changed
    assert names(root / "a") == ["x"]


def test_observation_without_a_folder(root: Path) -> None:
    """Where the folder is missing the file is."""
    [observed] = observe_target(one(root / "a" / "x"))
    assert observed.kind is Is.NOTHING


def test_two_markers_in_two_folders(root: Path) -> None:
    """One container's files in two folders have a marker in each; delivering for one does not forget the other."""
    first, second = one(root / "a" / "x", 0o600, HUP), one(root / "b" / "x", 0o600, HUP)
    place(first, [b"1"])
    place(second, [b"2"])
    delivered(first, [HUP])
    assert not still_due(first)
    assert still_due(second) == [HUP]
