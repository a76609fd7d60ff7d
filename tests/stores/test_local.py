"""A folder as a store: nothing leaves it, files appear whole or not at all, and nothing is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import random
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from keepstep.clouds.blocks import BLOCKS
from keepstep.errors import Conflict, Corrupt, Error, NotFound, Unsupported
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry, Properties
from keepstep.stores.local import LocalStore
from keepstep.stores.local_files import LocalSource, LocalUpload
from tests.servers import absent
from tests.unprivileged import run_unprivileged

T = TypeVar("T")
MIB = 1024 * 1024
NOTHING = Properties()
LEFTOVER = ".keepstep-0123456789abcdef.part"
HOSTILE = [
    "../x",
    "../../x",
    "a/../../x",
    "/x",
    "//x",
    "a/",
    "",
    ".",
    "..",
    "a/..",
    "./x",
    "nul\0x",
    "x" * 300,
    "d" * 300 + "/f",
]


def using(root: Path, work: Callable[..., Awaitable[T]], *, stores: int = 1, writable: bool = True) -> T:
    """Runs ``work(store, ...)`` with as many stores of one folder."""

    async def main() -> T:
        made = [LocalStore(Address("local", path=str(root)), writable=writable) for _ in range(stores)]
        try:
            return await work(*made)
        finally:
            for store in made:
                await store.close()

    return asyncio.run(main())


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything beneath: files with their contents, links with where they lead, folders that are empty."""
    found: dict[str, bytes | str] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
        elif path.is_dir() and not any(path.iterdir()):
            found[name + "/"] = "empty"
    return found


def put(root: Path, key: str, data: bytes = b"data", properties: Properties = NOTHING) -> None:
    using(root, lambda store: store.put(key, data, properties))


def upload(root: Path, key: str, data: bytes) -> None:
    async def work(store: LocalStore) -> None:
        sent = await store.begin(key, len(data), 10, NOTHING)
        try:
            for number in range(-(-len(data) // 10)):
                await sent.write(number, data[number * 10 : (number + 1) * 10])
            await sent.commit()
        except BaseException:
            await sent.abort()
            raise

    using(root, work)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder next to which there is something that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"untouched")
    (tmp_path / "x").write_bytes(b"untouched")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def is_untouched(place: Path) -> bool:
    beside = {k: v for k, v in tree(place.parent).items() if not k.startswith(("root", "home"))}
    return beside == {"outside/x": b"untouched", "x": b"untouched"}


# keys that would lead elsewhere


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key)[:20])
def test_no_key_leads_out_of_the_folder(place: Path, key: str) -> None:
    """Whatever the key, writing, reading and deleting are refused by name, and nothing is made or lost anywhere."""
    for write in (put, upload):
        with pytest.raises(Unsupported, match="cannot be a file here"):
            write(place, key, b"hostile")
    failures = using(place, lambda store: store.delete([key]))
    assert isinstance(failures[key], Unsupported)
    with pytest.raises(Unsupported):
        using(place, lambda store: store.open(Entry(key, 1, 0), 10))
    assert tree(place) == {}
    assert is_untouched(place)


def test_a_link_on_the_way_is_not_followed(place: Path) -> None:
    """A folder beneath the target that is a link is no way to write or delete through, wherever it leads."""
    (place / "out").symlink_to(place.parent / "outside")
    (place / "in").symlink_to("real")
    (place / "real").mkdir()
    (place / "real" / "f").write_bytes(b"1")
    for key in ("out/x", "out/new/y", "in/f"):
        with pytest.raises(Unsupported, match="a link stands where the folder"):
            put(place, key)
        failures = using(place, lambda store, key=key: store.delete([key]))
        assert isinstance(failures[key], Unsupported)
    assert is_untouched(place)
    assert tree(place) == {"out": f"-> {place.parent}/outside", "in": "-> real", "real/f": b"1"}


def test_a_link_in_the_files_place_is_replaced(place: Path) -> None:
    """The last component is never followed: what a link leads to stays, and the link becomes the file."""
    (place / "f").symlink_to(place.parent / "x")
    (place / "g").symlink_to(place.parent / "outside")
    put(place, "f", b"new")
    upload(place, "g", b"new too")
    assert tree(place) == {"f": b"new", "g": b"new too"}
    (place / "h").symlink_to(place.parent / "x")
    assert using(place, lambda store: store.delete(["h"])) == {}
    assert is_untouched(place)


def test_links_planted_during_the_run_change_nothing(place: Path) -> None:
    """While another thread swaps a folder for a link and back, everything lands inside or is refused."""
    over = threading.Event()

    def swap() -> None:
        n = 0
        while not over.is_set():
            n += 1
            with suppress(OSError):
                os.rename(place / "d", place / f"away{n}")
            with suppress(OSError):
                os.symlink(place.parent / "outside", place / "d")
            with suppress(OSError):
                os.unlink(place / "d")

    async def work(store: LocalStore) -> tuple[int, int]:
        done = refused = 0
        for n in range(400):
            try:
                await store.put(f"d/e/f{n}", b"data", NOTHING)
                await store.delete([f"d/x{n}", "d/x"])
                done += 1
            except Error:
                refused += 1
        return done, refused

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        done, refused = using(place, work)
    finally:
        over.set()
        thread.join()
    assert done + refused == 400
    assert done
    assert is_untouched(place)


def test_a_key_that_is_file_and_folder_at_once(place: Path) -> None:
    """A file cannot hold another, nor stand where a folder with something in it is: refused, nothing changes."""
    put(place, "a", b"file")
    put(place, "b/c", b"inner")
    for key in ("a/b", "a/b/c"):
        with pytest.raises(Unsupported, match="a file stands where the folder a would have to be"):
            put(place, key)
    for write in (put, upload):
        with pytest.raises(Unsupported, match="a folder stands where the file would have to be"):
            write(place, "b", b"data")
    assert using(place, lambda store: store.delete(["a/b"])).keys() == {"a/b"}
    assert isinstance(using(place, lambda store: store.delete(["b"]))["b"], Unsupported)
    assert tree(place) == {"a": b"file", "b/c": b"inner"}


def test_an_empty_folder_gives_way_to_a_file(place: Path) -> None:
    """Once the last file of a folder is deleted, a file may take its name, as keys may."""
    put(place, "a/b", b"1")
    assert using(place, lambda store: store.delete(["a/b"])) == {}
    put(place, "a", b"file")
    assert tree(place) == {"a": b"file"}


# whole or not at all


def test_a_file_appears_whole(place: Path) -> None:
    """Somebody who reads all the time sees the old contents or the new, never a part, and never nothing."""
    old, new = b"o" * 300_000, b"n" * 500_000
    (place / "f").write_bytes(old)
    over = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not over.is_set():
            data = (place / "f").read_bytes()
            seen.add(data if data in (old, new) else b"torn")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(30):
            put(place, "f", new)
            put(place, "f", old)
    finally:
        over.set()
        thread.join()
    assert seen <= {old, new}


def test_parts_are_invisible_until_the_commit(place: Path) -> None:
    """A large file has no name while it arrives; its parts may come in any order; a second commit is an error."""

    async def work(store: LocalStore) -> None:
        sent = await store.begin("d/f", 25, 10, Properties(time=5_000_000))
        for number in (2, 0, 1):
            await sent.write(number, bytes([65 + number]) * min(10, 25 - number * 10))
            assert not (place / "d" / "f").exists()
        await sent.commit()
        with pytest.raises(Error):
            await sent.commit()

    using(place, work)
    assert tree(place) == {"d/f": b"A" * 10 + b"B" * 10 + b"C" * 5}
    assert (place / "d" / "f").stat().st_mtime == 5


@pytest.mark.parametrize("part", [MIB, MIB + 4096, MIB + 1, 5000])
@pytest.mark.parametrize("take", [BLOCKS.take, bytearray], ids=["blocks", "other memory"])
def test_large_files_are_written_whole_whatever_their_parts(
    place: Path, part: int, take: Callable[[int], memoryview | bytearray]
) -> None:
    """Parts that begin and end on pages or not, from memory that does or not, in any order: the bytes are right."""
    data = random.Random(part).randbytes(3 * part + 777)

    async def work(store: LocalStore) -> None:
        sent = await store.begin("f", len(data), part, Properties(time=5_000_000))
        for number in (2, 0, 3, 1):
            piece = data[number * part : (number + 1) * part]
            memory = take(len(piece))
            memory[:] = piece
            await sent.write(number, memory)
        await sent.commit()

    using(place, work)
    assert tree(place) == {"f": data}


def test_large_files_go_to_the_device_at_once(place: Path) -> None:
    """What comes in page-aligned memory does not go through the page cache, where the file system knows how."""
    if not _knows_direct(place):
        absent("direct I/O", f"{place} is on a file system without it")

    async def work(store: LocalStore, key: str) -> None:
        sent = await store.begin(key, 4 * MIB, 2 * MIB, NOTHING)
        for number in range(2):
            block = BLOCKS.take(2 * MIB)
            block[:] = bytes([number + 1]) * len(block)
            await sent.write(number, block)
        await sent.commit()

    keys = [*"abcde"]
    for key in keys:
        using(place, partial(work, key=key))
    # Now and then the kernel takes the other way for its own reasons; never every time.
    assert any(not _is_cached(place / key) for key in keys)
    assert {(place / key).read_bytes() for key in keys} == {b"\1" * (2 * MIB) + b"\2" * (2 * MIB)}


def _is_cached(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return bool(os.preadv(descriptor, [bytearray(4096)], 0, os.RWF_NOWAIT))
    except BlockingIOError:  # preadv2(2): it would have to be read from the device
        return False
    finally:
        os.close(descriptor)


def _knows_direct(place: Path) -> bool:
    """Whether a file here can be opened for it, and leaves the page cache alone."""
    if os.statvfs(place).f_fsid == 0:  # tmpfs: it takes the flag, and is nothing but page cache
        return False
    try:
        os.close(os.open(place / "probe", os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    finally:
        (place / "probe").unlink(missing_ok=True)
    return True


def test_a_file_that_is_not_complete_does_not_appear(place: Path) -> None:
    """A commit before the last part has come is refused, and leaves nothing."""

    async def work(store: LocalStore) -> None:
        sent = await store.begin("f", 25, 10, NOTHING)
        await sent.write(0, bytes(10))
        with pytest.raises(Corrupt, match="did not arrive whole"):
            await sent.commit()
        await sent.abort()

    using(place, work)
    assert tree(place) == {}


def test_a_late_part_never_reaches_another_file(place: Path) -> None:
    """A part that is still on its way when its upload is aborted is dropped; its descriptor may be another's."""

    async def work(store: LocalStore) -> None:
        for _ in range(50):
            sent = await store.begin("a", 80, 10, NOTHING)
            parts = [asyncio.ensure_future(sent.write(n, b"!" * 10)) for n in range(8)]
            await asyncio.sleep(0)
            for part in parts:
                part.cancel()
            aborting = asyncio.ensure_future(sent.abort())
            await asyncio.gather(*(store.put(f"b{n}", b"." * 100, NOTHING) for n in range(4)))
            await aborting
            assert {(place / f"b{n}").read_bytes() for n in range(4)} == {b"." * 100}

    using(place, work)
    assert sorted(tree(place)) == ["b0", "b1", "b2", "b3"]


def test_an_aborted_upload_leaves_nothing(place: Path) -> None:
    """Neither a file nor a descriptor; aborting again changes nothing."""
    before = _descriptors()

    async def work(store: LocalStore) -> None:
        sent = await store.begin("d/f", 25, 10, NOTHING)
        await sent.write(0, bytes(10))
        await sent.abort()
        await sent.abort()
        with pytest.raises(Conflict):
            await sent.write(1, bytes(10))

    using(place, work)
    assert tree(place) == {"d/": "empty"}
    assert _descriptors() == before


def test_cancelled_calls_hold_nothing(place: Path) -> None:
    """Whoever is cancelled while a file is opened or started leaves no descriptor and no temporary file behind."""
    (place / "f").write_bytes(bytes(100))
    before = _descriptors()

    async def work(store: LocalStore) -> None:
        for turn in range(60):
            tasks: list[asyncio.Future[object]] = [
                asyncio.ensure_future(store.begin(f"g{turn}", 10, 10, NOTHING)),
                asyncio.ensure_future(store.open(Entry("f", 100, 0), 10)),
            ]
            await asyncio.sleep(0.0002 * (turn % 4))
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, LocalSource):
                    await result.close()
                elif isinstance(result, LocalUpload):
                    await result.abort()

    using(place, work)
    for _ in range(200):
        if _descriptors() == before and tree(place) == {"f": bytes(100)}:
            return
        threading.Event().wait(0.01)
    raise AssertionError((_descriptors(), before, tree(place)))


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# what a file gets


def test_time_and_mode(place: Path) -> None:
    """A file has the time it was given, to the microsecond, and the mode that the umask leaves."""
    before = os.umask(0o027)
    try:
        put(place, "d/f", b"1", Properties(time=1_700_000_000_123_456))
        put(place, "old", b"1", Properties(time=-1_000_001))
    finally:
        os.umask(before)
    state = (place / "d" / "f").stat()
    assert state.st_mtime_ns == 1_700_000_000_123_456_000
    assert (place / "old").stat().st_mtime_ns == -1_000_001_000
    assert state.st_mode & 0o7777 == 0o640
    assert (place / "d").stat().st_mode & 0o7777 == 0o750


def test_an_existing_file_is_replaced_not_written_into(place: Path) -> None:
    """Another name of the old file keeps the old contents, and anybody who has it open reads on undisturbed."""
    (place / "f").write_bytes(b"old contents")
    os.link(place / "f", place / "same")
    with (place / "f").open("rb") as reader:
        put(place, "f", b"new")
        assert reader.read() == b"old contents"
    assert tree(place) == {"f": b"new", "same": b"old contents"}


def test_a_missing_target_is_made_when_it_is_needed(tmp_path: Path) -> None:
    """The first file makes the folder and those above it; deleting and sweeping make nothing."""
    root = tmp_path / "a" / "b"

    async def nothing(store: LocalStore) -> None:
        assert await store.delete(["x"]) == {}
        await store.tidy()

    using(root, nothing)
    assert not root.parent.exists()
    put(root, "c/d", b"1")
    assert tree(root) == {"c/d": b"1"}


def test_a_closed_store_does_nothing_more(place: Path) -> None:
    """What comes after the end is an error, not a hang and not a file."""

    async def work(store: LocalStore) -> None:
        await store.put("a", b"1", NOTHING)
        await store.close()
        with pytest.raises((Error, RuntimeError)):
            await store.put("b", b"1", NOTHING)

    using(place, work)
    assert tree(place) == {"a": b"1"}


# devices that refuse

FULL = """
import asyncio, json, os, sys
from keepstep.errors import Error
from keepstep.stores.address import Address
from keepstep.stores.interface import Properties
from keepstep.stores.local import LocalStore
from keepstep.stores.local_files import LocalSource, LocalUpload

async def main(root):
    store = LocalStore(Address("local", path=root), writable=True)
    said = []
    for data in (b"small", os.urandom(200_000), b"small again"):
        try:
            await store.put(f"f{len(said)}", data, Properties())
            said.append(["done", None])
        except Error as exc:
            said.append([exc.message, exc.hint])
    upload = await store.begin("large", 300_000, 100_000, Properties())
    try:
        for number in range(3):
            await upload.write(number, bytes(os.urandom(100_000)))
        await upload.commit()
    except Error as exc:
        said.append([exc.message, exc.hint])
        await upload.abort()
    await store.close()
    print(json.dumps([said, sorted(os.listdir(root)), len(os.listdir("/proc/self/fd"))]))

asyncio.run(main(sys.argv[1]))
"""


def in_a_mount(tmp_path: Path, mount: str, code: str) -> str:
    """Runs Python where ``tmp_path/m`` is a mount of its own, which ends with the process."""
    (tmp_path / "m").mkdir()
    script = f'{mount} "$1/m" && exec "$2" -c "$3" "$1/m"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code]
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare: " in result.stderr or "mount: " in result.stderr:
        absent("a mount of its own", result.stderr.strip())
    assert not result.returncode, result.stderr
    return result.stdout


def test_a_full_device(tmp_path: Path) -> None:
    """What does not fit is an error with a hint; it leaves nothing, and what fits later is written."""
    out = in_a_mount(tmp_path, "mount -t tmpfs -o size=128k tmpfs", FULL)
    hint = "free space on the device; the next run finishes the rest"
    expected = [["done", None], [f"{tmp_path}/m/f1: No space left on device", hint], ["done", None]]
    expected.append([f"{tmp_path}/m/large: No space left on device", hint])
    assert out.startswith(str([expected, ["f0", "f2"]])[:-1].replace("'", '"').replace("None", "null"))


READ_ONLY = """
import asyncio, sys
from keepstep.errors import Error
from keepstep.stores.address import Address
from keepstep.stores.interface import Properties
from keepstep.stores.local import LocalStore
from keepstep.stores.local_files import LocalSource, LocalUpload

async def main(root):
    store = LocalStore(Address("local", path=root), writable=True)
    for key in ("f", "d/f"):
        try:
            await store.put(key, b"1", Properties())
        except Error as exc:
            print(exc.message, "|", exc.hint)
    print({key: error.message for key, error in (await store.delete(["there"])).items()})
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


READ_ONLY_HINT = "the file system is mounted read-only; a container's volume is writable without :ro"


def test_a_read_only_device(tmp_path: Path) -> None:
    """Writing and deleting are refused with the reason and a hint."""
    make = 'mount_ro() { mount -t tmpfs tmpfs "$1" && touch "$1/there" && mount -o remount,ro "$1"; }; mount_ro'
    out = in_a_mount(tmp_path, make, READ_ONLY).replace(f"{tmp_path}/m", "m")
    assert out.splitlines() == [
        f"m/f: Read-only file system | {READ_ONLY_HINT}",
        f"m/d/f: Read-only file system | {READ_ONLY_HINT}",
        "{'there': 'm/there: Read-only file system'}",
    ]


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """A missing permission is reported with the file's name, for writing and for deleting."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "there").write_bytes(b"1")
    (tmp_path / "root").chmod(0o500)
    result = run_unprivileged([sys.executable, "-c", READ_ONLY, str(tmp_path / "root")])
    (tmp_path / "root").chmod(0o700)
    assert result.stdout.replace(f"{tmp_path}/root", "m").splitlines() == [
        "m/f: Permission denied | run as a user that can read and write it",
        "m/d/f: Permission denied | run as a user that can read and write it",
        "{'there': 'm/there: Permission denied'}",
    ]


# reading


def read(root: Path, key: str, *, limit: int = 1 << 20, meanwhile: Callable[[], object] = lambda: None) -> bytes:
    """In parts of ``limit`` bytes; ``meanwhile`` is called once the first is in."""

    async def work(store: LocalStore) -> bytes:
        source = await store.open(Entry(key, 0, 0), limit)
        data = bytearray(source.first)
        meanwhile()
        try:
            while len(data) < source.size:
                data += await source.read(len(data), min(limit, source.size - len(data)))
        finally:
            await source.close()
        return bytes(data)

    return using(root, work, writable=False)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250])
def test_files_read_as_they_are(place: Path, size: int) -> None:
    """Below, at and above the limit, with the file's own size and time."""
    data = random.Random(size).randbytes(size)
    (place / "f").write_bytes(data)
    before = _descriptors()
    assert read(place, "f", limit=100) == data
    assert _descriptors() == before


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.open("ab").write(b"more"),
    "shrinks": lambda path: os.truncate(path, 20),
    "is written into": lambda path: path.open("r+b").write(b"X"),
    "is written into and set back": lambda path: _write_and_set_back(path),
}


def _write_and_set_back(path: Path) -> None:
    state = path.stat()
    path.open("r+b").write(b"X")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_large_file_that_changes_while_it_is_read_is_a_conflict(
    place: Path, change: Callable[[Path], object]
) -> None:
    """Parts of two states are never taken for one file."""
    (place / "f").write_bytes(bytes(250))
    threading.Event().wait(0.02)
    with pytest.raises(Conflict):
        read(place, "f", limit=100, meanwhile=lambda: change(place / "f"))


def test_a_file_that_is_replaced_while_it_is_read_stays_what_it_was(place: Path) -> None:
    """A new file under the same name does not disturb the reading of the old one."""
    (place / "f").write_bytes(b"a" * 250)
    (place / "new").write_bytes(b"b" * 250)
    state = (place / "f").stat()
    try:
        data = read(place, "f", limit=100, meanwhile=lambda: os.rename(place / "new", place / "f"))
    except Conflict:
        data = b"a" * 250  # losing its name is a change of the old file too, where the kernel says so
    assert data == b"a" * 250
    assert (place / "f").stat().st_ino != state.st_ino


def test_a_small_file_that_keeps_changing_is_a_conflict_or_one_state(place: Path) -> None:
    """Whatever a writer does meanwhile, what is read is one state that the file was in, if an unfinished one."""
    path, over = place / "f", threading.Event()
    path.write_bytes(b"0" * 50_000)

    def write() -> None:
        n = 0
        while not over.is_set():
            n += 1
            path.write_bytes(str(n % 10).encode() * (40_000 + n))

    thread = threading.Thread(target=write)
    thread.start()
    whole = changing = 0
    try:
        for _ in range(200):
            try:
                data = read(place, "f")
                assert len(set(data)) <= 1, "two states mixed"
                whole += 1
            except Conflict:
                changing += 1
    finally:
        over.set()
        thread.join()
    assert whole + changing == 200


@pytest.mark.parametrize("name", ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_whose_size_is_a_lie_are_not_taken_for_whole(name: str) -> None:
    """Files that claim another size than they have (of /proc and /sys) are a conflict, not a torn copy."""
    if not Path(name).exists():
        absent(name, "this kernel does not have it")
    with pytest.raises(Conflict, match="keeps changing"):
        read(Path(name).parent, Path(name).name)


def test_what_took_the_place_of_a_listed_file(place: Path) -> None:
    """Gone is not found; a pipe or a folder is refused at once, without waiting for anybody."""
    os.mkfifo(place / "pipe")
    (place / "folder").mkdir()
    before = _descriptors()
    with pytest.raises(NotFound, match="is no longer there"):
        read(place, "gone")
    for name in ("pipe", "folder"):
        with pytest.raises(Unsupported, match="is not a regular file any more"):
            read(place, name)
    assert _descriptors() == before


# what a killed run left


@pytest.fixture
def leftovers(place: Path) -> Iterator[Path]:
    """A temporary file whose writer is gone, one whose writer lives, and things that only look like one."""
    (place / "d").mkdir()
    (place / "d" / LEFTOVER).write_bytes(b"half")
    living = place / ".keepstep-aaaaaaaaaaaaaaaa.part"
    living.write_bytes(b"half")
    os.mkfifo(place / "d" / ".keepstep-bbbbbbbbbbbbbbbb.part")
    (place / ".keepstep-cccccccccccccccc.part").mkdir()
    (place / ".keepstep-dddddddddddddddd.part").symlink_to(place.parent / "x")
    with living.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        yield place


def test_the_sweep_removes_only_what_nobody_writes_any_more(leftovers: Path) -> None:
    """After a whole listing, tidy removes files whose writer is gone, and nothing else."""

    async def work(store: LocalStore) -> list[str]:
        await store.tidy()
        assert (leftovers / "d" / LEFTOVER).exists(), "nothing is swept that was not listed"
        keys = [key async for page in store.list() for key in page.keys]
        await store.tidy()
        return keys

    assert using(leftovers, work) == []
    kept = {str(path.relative_to(leftovers)) for path in leftovers.rglob("*") if not path.is_dir()}
    assert kept == {
        ".keepstep-aaaaaaaaaaaaaaaa.part",
        "d/.keepstep-bbbbbbbbbbbbbbbb.part",
        ".keepstep-dddddddddddddddd.part",
    }
    assert is_untouched(leftovers)


def test_a_writer_whose_file_was_swept_at_birth_makes_another(place: Path) -> None:
    """Two runs in one folder: while one writes, the other lists and sweeps without end, and no file is lost."""

    async def write(store: LocalStore, other: LocalStore) -> None:
        is_over = False

        async def sweep() -> None:
            while not is_over:
                with suppress(Error):
                    async for _ in other.list():
                        pass
                    await other.tidy()

        sweeper = asyncio.create_task(sweep())
        for n in range(150):
            await store.put(f"f{n}", b"data", NOTHING)
        is_over = True
        await sweeper

    using(place, write, stores=2)
    assert tree(place) == {f"f{n}": b"data" for n in range(150)}


def test_two_stores_write_into_one_folder(place: Path) -> None:
    """The same keys written by two runs at once end as one of the two, whole, with nothing next to it."""

    async def work(one: LocalStore, two: LocalStore) -> None:
        await asyncio.gather(
            *(
                store.put(f"d/f{n}", letter * 50_000, NOTHING)
                for n in range(40)
                for store, letter in ((one, b"1"), (two, b"2"))
            )
        )

    using(place, work, stores=2)
    found = tree(place)
    assert sorted(found) == sorted(f"d/f{n}" for n in range(40))
    assert set(found.values()) <= {b"1" * 50_000, b"2" * 50_000}
