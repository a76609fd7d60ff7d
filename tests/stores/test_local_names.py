"""Keys that cannot be file names, written as names: one name for each key, one key for each name, in key order."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.cli.running import run
from keepstep.stores.address import Address
from keepstep.stores.interface import Properties
from keepstep.stores.local import LocalStore
from keepstep.stores.local_names import escaped, unescaped

TABLE = {
    "a//b": "a/%/b",
    "a/": "a/%",
    "/a": "%/a",
    "": "%",
    "./..": "%2E/%2E%2E",
    "...": "...",
    ".a": ".a",
    "100%": "100%25",
    "%": "%25",
    "%2E": "%252E",
    "a\0b": "a%00b",
    ".keepstep-0123456789abcdef.part": "%2Ekeepstep-0123456789abcdef.part",
    "ü b*?": "ü b*?",
}


@pytest.mark.parametrize(("key", "name"), TABLE.items())
def test_table(key: str, name: str) -> None:
    """Each line of the documented table."""
    assert escaped(key) == name


@given(st.text(st.sampled_from("./%a2E0\0"), max_size=12))
def test_there_and_back(key: str) -> None:
    """A key is what its names stand for, whatever it is, and no name is one that a file cannot have."""
    names = escaped(key).split("/")
    assert "/".join(part for part in map(unescaped, names) if part is not None) == key
    assert not {"", ".", ".."} & set(names)
    assert not any("\0" in name for name in names)


@given(st.text(st.sampled_from(".%a25E0"), min_size=1, max_size=8))
def test_no_two_names_for_one_part(name: str) -> None:
    """A name that stands for a part is the one that this part is written as."""
    part = unescaped(name)
    assert part is None or escaped(part) == name


KEYS = sorted(["a", "a-b", "b//c", "b/.", "b/..", "b/0", "b/x", "c/", "/d", "e%", "e%2E", "..", "f/./g/../h"])


def test_a_folder_of_them(tmp_path: Path) -> None:
    """Every key is written, listed in order, read and deleted again; nothing is written outside the folder."""
    store_of = Address("local", path=str(tmp_path / "folder"))

    async def main() -> list[str]:
        store = LocalStore(store_of, writable=True, escapes=True)
        for key in KEYS:
            await store.put(key, key.encode(), Properties())
        listed = [page.entry(n) async for page in store.list() for n in range(len(page))]
        for entry in listed:
            source = await store.open(entry, 100)
            assert source.first == entry.key.encode()
        assert await store.delete(KEYS[:5]) == {}
        await store.close()
        return [entry.key for entry in listed]

    assert run(main()) == KEYS
    assert sorted(os.listdir(tmp_path)) == ["folder", "home"]
    left = [path for path in (tmp_path / "folder").rglob("*") if path.is_file()]
    assert len(left) == len(KEYS) - 5


def test_names_of_other_origin_are_named(tmp_path: Path) -> None:
    """A file that is there under a name that this never writes is skipped and named, not taken for a key."""
    (tmp_path / "100%").touch()
    (tmp_path / "100%25").touch()

    async def main() -> tuple[list[str], list[tuple[str, str]]]:
        store = LocalStore(Address("local", path=str(tmp_path)), escapes=True)
        listing = store.list()
        keys = [key async for page in listing for key in page.keys]
        await store.close()
        await asyncio.sleep(0)
        return keys, listing.unrepresentable_names

    keys, unrepresentable_names = run(main())
    assert (keys, [name for name, _ in unrepresentable_names]) == (["100%"], ["100%"])
