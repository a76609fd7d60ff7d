"""What a folder's listing shows: every key in order, and by name what it cannot show."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.errors import ConfigError, Error, ExitCode, NotFound, Unsupported
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry
from keepstep.stores.local import LocalStore
from keepstep.stores.local_paths import components, fail, open_folder, open_root, printable
from keepstep.stores.local_tree import Walk
from tests.unprivileged import run_unprivileged


def walked(root: Path, *, follow: bool = True, page_size: int = 1000) -> tuple[list[Entry], Walk]:
    walk = Walk(str(root), follow=follow, page_size=page_size)
    return [page.entry(n) for page in walk.pages() for n in range(len(page))], walk


def keys(root: Path, *, follow: bool = True) -> list[str]:
    return [entry.key for entry in walked(root, follow=follow)[0]]


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# order and pages

names = st.text(st.sampled_from("ab-.0é\uffff\U0001f986"), min_size=1, max_size=3).filter(lambda n: n.strip("."))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sets(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=12), st.integers(1, 5))
def test_keys_come_in_the_order_of_their_utf8_bytes(
    tmp_path_factory: pytest.TempPathFactory, wanted: set[str], page_size: int
) -> None:
    """Folders and files of any names, in pages of any size: every key once, in the order S3 would give them."""
    root = tmp_path_factory.mktemp("tree")
    made = [key for key in sorted(wanted) if not any(other.startswith(key + "/") for other in wanted)]
    make(root, *made)
    walk = Walk(str(root), follow=True, page_size=page_size)
    pages = list(walk.pages())
    assert [key for page in pages for key in page.keys] == sorted(made, key=str.encode)
    assert all(len(page) == page_size for page in pages[:-1])
    assert [size for page in pages for size in page.sizes] == [len(k.encode()) for k in sorted(made)]
    assert (walk.unreadable_prefixes, walk.unrepresentable_names, walk.leftovers) == ([], [], [])


def test_times_are_whole_microseconds(tmp_path: Path) -> None:
    """A file's time is cut, not rounded, to microseconds, before 1970 too."""
    make(tmp_path, "a", "b")
    os.utime(tmp_path / "a", ns=(0, 1_700_000_000_123_456_999))
    os.utime(tmp_path / "b", ns=(0, -1))
    assert [entry.time for entry in walked(tmp_path)[0]] == [1_700_000_000_123_456, -1]


def test_deep_folders_are_walked(tmp_path: Path) -> None:
    """Depth costs a descriptor a level, and no recursion."""
    make(tmp_path, "/".join(["d"] * 600))
    assert keys(tmp_path) == ["/".join(["d"] * 600)]


def test_a_walk_that_is_left_closes_its_descriptors(tmp_path: Path) -> None:
    """Whoever stops in the middle leaves no folder open."""
    make(tmp_path, *(f"d/e{n}/f" for n in range(10)))
    before = descriptors()
    pages = Walk(str(tmp_path), follow=True, page_size=1).pages()
    next(pages)
    assert descriptors() > before
    del pages
    assert descriptors() == before
    walked(tmp_path)
    assert descriptors() == before


# what is not a file


def test_a_missing_source_is_an_error_and_a_missing_target_is_empty(tmp_path: Path) -> None:
    """A source must be there, or nothing may follow from its having no keys; a target will be made."""
    with pytest.raises(NotFound, match="does not exist") as caught:
        walked(tmp_path / "no")
    assert caught.value.exit_code is ExitCode.MISCONFIGURED
    assert listed(tmp_path / "no", writable=True) == []
    with pytest.raises(NotFound):
        listed(tmp_path / "no", writable=False)


def listed(root: Path, *, writable: bool) -> list[str]:
    async def main() -> list[str]:
        store = LocalStore(Address("local", path=str(root)), writable=writable)
        try:
            return [key async for page in store.list() for key in page.keys]
        finally:
            await store.close()

    return asyncio.run(main())


@pytest.mark.parametrize("follow", [True, False])
def test_a_file_is_no_folder(tmp_path: Path, follow: bool) -> None:
    """Naming a file, or a way through one, is a mistake that is explained."""
    make(tmp_path, "file")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="is not a folder"):
            walked(path, follow=follow)


def test_special_files_are_named_at_a_source_and_passed_over_at_a_target(tmp_path: Path) -> None:
    """Pipes, sockets and devices are never opened: a source names them as unfit, a target leaves them alone."""
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(tmp_path / "socket"))
    make(tmp_path, "plain")
    reasons = {"pipe": "is a named pipe", "plain": "", "socket": "is a socket"}
    if os.geteuid() == 0:
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        reasons["device"] = "is a character device"
    assert {entry.key: entry.unfit for entry in walked(tmp_path)[0]} == reasons
    assert keys(tmp_path, follow=False) == ["plain"]
    listener.close()


def test_links_at_a_source_are_what_they_lead_to(tmp_path: Path) -> None:
    """As aws s3 sync does: a link to a file is that file, a link to a folder is that folder, in key order."""
    make(tmp_path / "elsewhere", "f", "g/h")
    root = tmp_path / "root"
    make(root, "m-", "m0")
    (root / "file").symlink_to(tmp_path / "elsewhere" / "f")
    (root / "m").symlink_to(tmp_path / "elsewhere")
    assert keys(root) == ["file", "m-", "m/f", "m/g/h", "m0"]
    assert keys(root, follow=False) == ["m-", "m0"]


def test_links_that_lead_nowhere_or_in_circles_are_named(tmp_path: Path) -> None:
    """A broken link is unfit, one that leads to itself too, one into its own folder is a stray; nothing hangs."""
    make(tmp_path, "d/f")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "d" / "up").symlink_to("..")
    entries, walk = walked(tmp_path)
    assert [(entry.key, entry.unfit) for entry in entries] == [
        ("broken", "is a link that leads nowhere"),
        ("d/f", ""),
        ("self", "cannot be examined: Too many levels of symbolic links"),
    ]
    assert walk.unrepresentable_names == [("d/up/", "is a link to a folder that it stands in")]


def test_names_that_are_not_utf8_are_strays(tmp_path: Path) -> None:
    """They are named so that they can be printed, files and folders, and the rest is listed."""
    make(tmp_path, "good")
    for name in (b"bad\xff", b"line\nbreak\xfe"):
        (tmp_path / os.fsdecode(name)).touch()
    make(tmp_path / os.fsdecode(b"folder\xff"), "f")
    entries, walk = walked(tmp_path)
    assert [entry.key for entry in entries] == ["good"]
    assert sorted(walk.unrepresentable_names) == [
        (name, "its name is not UTF-8") for name in ("bad\\xff", "folder\\xff", "line\\x0abreak\\xfe")
    ]


def test_unfinished_files_are_no_keys(tmp_path: Path) -> None:
    """Temporary files of ours are remembered for the sweep, and shown to nobody; similar names are keys."""
    temporary = ".keepstep-0123456789abcdef.part"
    make(tmp_path, temporary, f"d/{temporary}", ".keepstep-x.part", f"{temporary}.old")
    entries, walk = walked(tmp_path)
    assert [entry.key for entry in entries] == [f"{temporary}.old", ".keepstep-x.part"]
    assert walk.leftovers == [temporary, f"d/{temporary}"]


def test_what_vanishes_while_it_is_listed_is_not_there(tmp_path: Path) -> None:
    """Files and folders that are gone by the time they are looked at are simply absent: no hole, no error."""
    make(tmp_path, "a", "b", "c/d", "e/f")
    pages = (walk := Walk(str(tmp_path), follow=True, page_size=1)).pages()
    seen = next(pages).keys
    (tmp_path / "b").unlink()
    (tmp_path / "c" / "d").unlink()
    (tmp_path / "c").rmdir()
    assert seen + [key for page in pages for key in page.keys] == ["a", "e/f"]
    assert walk.unreadable_prefixes == []


# what cannot be read

SCRIPT = """
import json, sys
from keepstep.stores.local_tree import Walk
walk = Walk(sys.argv[1], follow=sys.argv[2] == "source")
entries = [page.entry(n)._asdict() for page in walk.pages() for n in range(len(page))]
unreadable = [[prefix, str(error), error.hint] for prefix, error in walk.unreadable_prefixes]
print(json.dumps({"entries": entries, "unreadable": unreadable}))
"""


def test_an_unreadable_folder_is_a_hole_and_the_walk_goes_on(tmp_path: Path) -> None:
    """Its prefix, the reason and what to do are known; what comes before and behind is listed, at both sides."""
    make(tmp_path, "a", "shut/x", "z/shut/x", "z/y")
    for folder in ("shut", "z/shut"):
        (tmp_path / folder).chmod(0)
    for side in ("source", "target"):
        result = json.loads(run_unprivileged([sys.executable, "-c", SCRIPT, str(tmp_path), side]).stdout)
        assert [entry["key"] for entry in result["entries"]] == ["a", "z/y"]
        assert [hole[0] for hole in result["unreadable"]] == ["shut/", "z/shut/"]
        assert result["unreadable"][0][1] == f"cannot read {tmp_path}/shut/: Permission denied"
        assert "nothing is deleted" in result["unreadable"][0][2]
    for folder in ("shut", "z/shut"):
        (tmp_path / folder).chmod(0o700)


def test_files_that_cannot_be_examined(tmp_path: Path) -> None:
    """In a folder that shows its names but lets nobody in, files are unfit at a source and holes at a target."""
    make(tmp_path, "shut/x", "z")
    (tmp_path / "shut").chmod(0o400)
    source, target = (
        json.loads(run_unprivileged([sys.executable, "-c", SCRIPT, str(tmp_path), side]).stdout)
        for side in ("source", "target")
    )
    (tmp_path / "shut").chmod(0o700)
    assert [(e["key"], e["size"], e["unfit"]) for e in source["entries"]] == [
        ("shut/x", -1, "cannot be examined: Permission denied"),
        ("z", 1, ""),
    ]
    assert [entry["key"] for entry in target["entries"]] == ["z"]
    assert [hole[0] for hole in target["unreadable"]] == ["shut/x"]


def test_an_unreadable_root_is_an_error(tmp_path: Path) -> None:
    """A folder that cannot be opened at all has no listing."""
    (tmp_path / "shut").mkdir(mode=0)
    for side in ("source", "target"):
        result = run_unprivileged([sys.executable, "-c", SCRIPT, str(tmp_path / "shut"), side])
        assert f"Error: cannot read {tmp_path}/shut: Permission denied" in result.stderr


# from keys to names


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "an empty part"),
        ("/etc/passwd", "an empty part"),
        ("a//b", "an empty part"),
        ("a/", "an empty part"),
        ("..", "the part '..'"),
        ("../x", "the part '..'"),
        ("a/../../x", "the part '..'"),
        ("./x", "the part '.'"),
        ("a\0b", "a NUL character"),
        ("x" * 256, "a part is longer than 255 bytes"),
        ("ü" * 128, "a part is longer than 255 bytes"),
        ("d" * 300 + "/f", "a part is longer than 255 bytes"),
        ("bad\udcff", "a part is not UTF-8"),
        (".keepstep-0123456789abcdef.part", "the name is reserved for unfinished files"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_keys_that_cannot_be_files(key: str, why: str) -> None:
    """Each is refused with its reason, in a message that can be printed."""
    with pytest.raises(Unsupported) as caught:
        components(key)
    assert caught.value.message.endswith(f"cannot be a file here: {why}")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "key", ["a", "a/b/c", "...", "..a", "a..", " ", "\n", "ü" * 127, "x" * 255, "-rf", "~", "*"]
)
def test_keys_that_can_be_files(key: str) -> None:
    """Whatever a file system can hold is taken as it is."""
    assert components(key) == key.split("/")


def test_printable_shows_what_is_there() -> None:
    """Text stays as it is; what would move the cursor, or is not text, is escaped."""
    assert printable("naïve/日本 🦆") == "naïve/日本 🦆"
    assert printable("a\x1b[2Jb\n\udcff\u202e") == "a\\x1b[2Jb\\x0a\\xff\\xe2\\x80\\xae"


def test_system_errors_are_told_with_a_hint() -> None:
    """A refusal of the file system names the file, the reason, and what helps."""
    with pytest.raises(Error) as caught:
        fail("some/file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.message == "some/file: No space left on device"
    assert caught.value.hint == "free space on the device; the next run finishes the rest"


def test_a_folder_is_reached_from_descriptor_to_descriptor(tmp_path: Path) -> None:
    """Missing folders are made when asked for; files and links on the way are refused; no descriptor leaks."""
    make(tmp_path, "file", "real/f")
    (tmp_path / "link").symlink_to("real")
    before = descriptors()

    def opened(*names: str, create: bool) -> Path:
        descriptor = open_folder(os.open(tmp_path, os.O_RDONLY), list(names), create=create)
        try:
            return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        finally:
            os.close(descriptor)

    assert opened("real", create=False) == tmp_path / "real"
    assert opened("new", "er", create=True) == tmp_path / "new" / "er"
    with pytest.raises(FileNotFoundError):
        opened("missing", "er", create=False)
    with pytest.raises(Unsupported, match="a file stands where the folder real/f would have to be"):
        opened("real", "f", "x", create=True)
    with pytest.raises(Unsupported, match="a link stands where the folder link would have to be"):
        opened("link", "x", create=True)
    assert not (tmp_path / "real" / "x").exists()
    assert descriptors() == before


# links on the way to a target


def root_of(path: Path, *, create: bool = True) -> Path:
    descriptor = open_root(str(path), create=create)
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


def test_a_link_that_nobody_else_could_set_is_followed(tmp_path: Path) -> None:
    """Links of root's, or ours, in folders that only they may write to, lead on: absolute, relative and upwards."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "relative").symlink_to("real/deep")
    (tmp_path / "real" / "up").symlink_to("../real/deep/..")
    assert root_of(tmp_path / "absolute" / "new") == tmp_path / "real" / "new"
    assert root_of(tmp_path / "relative") == tmp_path / "real" / "deep"
    assert root_of(tmp_path / "real" / "up" / "deep") == tmp_path / "real" / "deep"
    assert root_of(Path("/")) == Path("/")
    with pytest.raises(FileNotFoundError):
        root_of(tmp_path / "missing", create=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="ownership needs root")
@pytest.mark.parametrize("case", ["the link is another's", "all may write its folder", "its folder is another's"])
def test_a_link_that_others_could_have_set_is_refused(tmp_path: Path, case: str) -> None:
    """Such a link could lead the run anywhere: exit 5, and the hint is to name the folder itself."""
    (tmp_path / "real").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    (place / "link").symlink_to(tmp_path / "real")
    if case == "the link is another's":
        os.lchown(place / "link", 65534, 65534)
    elif case == "all may write its folder":
        place.chmod(0o777)
    else:
        os.chown(place, 65534, 65534)
    before = descriptors()
    with pytest.raises(ConfigError, match="leads over the link link, which others could have set"):
        root_of(place / "link" / "new")
    with pytest.raises(ConfigError):
        listed(place / "link", writable=True)
    assert listed(place / "link", writable=False) == []
    assert list((tmp_path / "real").iterdir()) == []
    assert descriptors() == before


def test_links_in_circles_end(tmp_path: Path) -> None:
    """A link to itself on the way to a target is an error, not an endless loop."""
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        root_of(tmp_path / "self")
