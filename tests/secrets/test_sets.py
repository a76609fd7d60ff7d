"""Files that are switched together."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from keepstep.containers.interface import Kind, Notice
from keepstep.errors import ConfigError
from keepstep.secrets.content import Whole
from keepstep.secrets.delivery import Delivery, FileAttributes, Target
from keepstep.secrets.place import delivered, place
from keepstep.vaults.address import parse

HUP = Notice(Kind.CONTAINER, "web", "SIGHUP")


def pair(folder: Path, *names: str, notices: tuple[Notice, ...] = ()) -> Target:
    deliveries = tuple(
        Delivery(
            path=f"{folder}/{name}",
            content=Whole(parse(f"aws-sm:{name}")),
            attributes=FileAttributes(0o644 if name == "crt" else 0o600),
        )
        for name in names or ("crt", "key")
    )
    return Target(deliveries=deliveries, notices=notices, folder=str(folder))


def generations(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith("..keepstep-")]


def test_the_layout(root: Path) -> None:
    """Names lead through one link to this generation's folder; files have modes of their own, it lets pass."""
    folder = root / "tls"
    placed = place(pair(folder), [b"C1", b"K1"])
    assert len(placed.changed) == 2
    assert os.readlink(folder / "crt") == "..data/crt"
    [generation] = generations(folder)
    assert os.readlink(folder / "..data") == generation
    assert sorted(os.listdir(folder)) == sorted(["crt", "key", "..data", generation])
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("crt", "key", ".", "..data/.")]
    assert modes == [0o644, 0o600, 0o711, 0o711]


def test_equal_sets_are_not_touched(root: Path) -> None:
    """A second time the generation stays the same."""
    place(pair(root), [b"C1", b"K1"])
    before = generations(root)
    assert not place(pair(root), [b"C1", b"K1"]).changed
    assert generations(root) == before


def test_one_changed_file_makes_a_new_generation(root: Path) -> None:
    """Only what changed is reported, all of it is new, and nothing of the old generation stays."""
    place(pair(root), [b"C1", b"K1"])
    before = generations(root)
    [(delivery, _)] = place(pair(root), [b"C1", b"K2"]).changed
    assert delivery.path.endswith("/key")
    assert len(generations(root)) == 1
    assert generations(root) != before


def test_a_reader_never_sees_halves(root: Path) -> None:
    """While the set is switched a hundred times a reader of the link's folder sees pairs that belong together."""
    target = pair(root)
    place(target, [b"0", b"0"])
    torn: list[tuple[bytes, bytes]] = []
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            folder = os.open(root / "..data", os.O_RDONLY | os.O_DIRECTORY)
            try:
                halves = [_read(folder, name) for name in ("crt", "key")]
            except FileNotFoundError:
                continue  # the generation was swept in the middle of our reading: we read again
            finally:
                os.close(folder)
            seen.add(halves[0])
            if halves[0] != halves[1]:
                torn.append((halves[0], halves[1]))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 100):
        place(target, [b"%d" % number] * 2)
    done.set()
    reader.join()
    assert not torn
    assert len(seen) > 1


def _read(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_names_come_and_go(root: Path) -> None:
    """A file more, a file less: names appear with the switch, and disappear when the set has them no more."""
    place(pair(root, "crt"), [b"C1"])
    place(pair(root, "crt", "key"), [b"C1", b"K1"])
    assert (root / "key").read_bytes() == b"K1"
    place(pair(root, "key"), [b"K1"])
    assert not os.path.lexists(root / "crt")
    assert (root / "key").read_bytes() == b"K1"


def test_plain_files_become_a_set_and_back(root: Path) -> None:
    """Files that stood there before are replaced by the set's names, and a set's name by a plain file."""
    (root / "crt").write_bytes(b"old")
    place(pair(root), [b"C1", b"K1"])
    assert (root / "crt").is_symlink()
    assert (root / "crt").read_bytes() == b"C1"
    plain = Target(deliveries=(Delivery(path=str(root / "crt"), content=Whole(parse("aws-sm:x"))),))
    place(plain, [b"plain"])
    assert not (root / "crt").is_symlink()
    assert (root / "crt").read_bytes() == b"plain"


def test_a_link_that_somebody_bent_is_mended(root: Path) -> None:
    """Names and the switch lead where they should after the next run; what they led to meanwhile is not touched."""
    place(pair(root), [b"C1", b"K1"])
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "crt").write_bytes(b"precious")
    for name, bent in (("..data", "elsewhere"), ("crt", "elsewhere/crt")):
        (root / name).unlink()
        (root / name).symlink_to(bent)
        place(pair(root), [b"C1", b"K1"])
        assert (root / "crt").read_bytes() == b"C1"
        assert os.readlink(root / "crt") == "..data/crt"
    assert (elsewhere / "crt").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["crt", "..data"])
def test_a_folder_in_the_way_is_refused(root: Path, name: str) -> None:
    """A folder under a name of the set stays, and nothing is left behind."""
    (root / name).mkdir()
    with pytest.raises(ConfigError, match="a folder stands there"):
        place(pair(root), [b"C1", b"K1"])
    assert os.listdir(root) == [name]


def test_a_sets_notice(root: Path) -> None:
    """The marker of a set stands in its folder until the notice is delivered."""
    target = pair(root, notices=(HUP,))
    assert place(target, [b"C1", b"K1"]).due == [HUP]
    assert place(target, [b"C1", b"K1"]).due == [HUP]
    delivered(target, [HUP])
    assert not place(target, [b"C1", b"K1"]).due
