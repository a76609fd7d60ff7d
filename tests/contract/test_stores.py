"""The contract of every store, tried on each of them: what stores/interface.py promises.

A test without a ``backends`` mark runs on all of them; a missing target folder, for one, is made, where a missing
bucket is an error.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from keepstep.errors import Conflict, NotFound, Unsupported
from keepstep.stores.interface import Entry, Page, Properties, Span, Store
from keepstep.stores.options import TransferOptions
from tests.contract.conftest import MISSING, StoreBackend

NOTHING = Properties()
HOSTILE = [
    "../up",
    "a/../../b",
    "/rooted",
    "a//b",
    "./dot",
    "folder/",
    "white space and +plus",
    "per%2Fcent%",
    "quote\"'<>&;",
    "back\\slash",
    "question?mark=1&x#fragment",
    "ünïcødé/ﬀ/日本語/🦆",
    "e\u0301 and é",
    "UPPER and upper",
    "tab\there",
    "line\nbreak\rs",
    "control\x01\x1f\x7f",
    "~tilde*star(paren)!",
    "colon:at@comma,dollar$",
    "k" * 1024,
    "ü" * 512,
]


async def listed(store: Store) -> Page:
    """The whole listing as one page."""
    whole = Page()
    async for page in store.list():
        for index in range(len(page)):
            whole.append(page.entry(index))
    return whole


async def read(store: Store, key: str, *, limit: int = 1 << 24) -> bytes:
    entry = await entry_of(store, key)
    source = await store.open(entry, limit)
    first = bytes(source.first)
    rest = bytes(await source.read(len(first), source.size - len(first))) if source.size > len(first) else b""
    await source.close()
    return first + rest


async def entry_of(store: Store, key: str) -> Entry:
    page = await listed(store)
    return page.entry(page.keys.index(key))


def test_empty_folder_lists_nothing(backend: StoreBackend) -> None:
    """A folder without objects has a listing without keys, and it is not an error."""
    assert backend.run(listed).keys == []


@pytest.mark.parametrize("size", [0, 1, 4096, 70_000, 1_100_000])
def test_what_is_put_is_read_back(backend: StoreBackend, size: int) -> None:
    """An object that was put is listed with its size and a present time, and reads as it was written."""
    data = random.Random(size).randbytes(size)

    async def work(store: Store) -> None:
        before = time.time_ns() // 1000
        await store.put("some/key.bin", data, NOTHING)
        entry = await entry_of(store, "some/key.bin")
        assert entry.size == size
        assert abs(entry.time - before) < 60_000_000
        assert await read(store, "some/key.bin") == data

    backend.run(work)


def test_overwriting_replaces_the_whole_object(backend: StoreBackend) -> None:
    """A second put leaves nothing of the first, and the ETag, where there is one, tells them apart."""

    async def work(store: Store) -> None:
        await store.put("key", b"long first contents", NOTHING)
        first = await entry_of(store, "key")
        await store.put("key", b"second", NOTHING)
        second = await entry_of(store, "key")
        assert await read(store, "key") == b"second"
        assert second.size == 6
        assert not first.etag or first.etag != second.etag

    backend.run(work)


def test_listing_is_ordered_by_utf8_and_complete_over_pages(backend: StoreBackend) -> None:
    """However many pages, every key comes once, in the order of its UTF-8 bytes."""
    rng = random.Random(7)
    keys = {f"{rng.choice(['a', 'b', 'b/c', 'é', 'z'])}/{rng.choice('-.09AZ_az~')}{n:04}" for n in range(1150)}

    async def work(store: Store) -> None:
        gate = asyncio.Semaphore(16)

        async def put(key: str) -> None:
            async with gate:
                await store.put(key, key.encode(), NOTHING)

        await asyncio.gather(*map(put, keys))
        page = await listed(store)
        assert page.keys == sorted(keys, key=str.encode)
        assert page.sizes == [len(key.encode()) for key in page.keys]
        assert await store.delete(page.keys) == {}
        assert (await listed(store)).keys == []

    backend.run(work)


def test_parts_of_a_listing_are_the_whole_cut(backend: StoreBackend) -> None:
    """Spans of keys list what the whole listing has in them, whatever lies between and at their ends."""
    keys = [f"{folder}/{n:02}" for folder in ("a", "b", "b_c", "c/d", "e") for n in range(8)]
    spans = [Span("a/02", "a/05"), Span("b", "b/03"), Span("c/", "c/d/06"), Span("c/d/07", "e/00"), Span("e/06")]

    async def work(store: Store) -> None:
        for key in keys:
            await store.put(key, b"", NOTHING)
        found = [key async for page in store.list(spans) for key in page.keys]
        assert found == [key for key in sorted(keys) if any(span.holds(key) for span in spans)]
        assert [key async for page in store.list([Span("", "")]) for key in page.keys] == []

    backend.run(work)


def test_folders_and_names_that_continue_theirs_are_in_one_order(backend: StoreBackend) -> None:
    """However a store orders ``a/b`` and ``a-1``, and however short its pages, it is listed whole, in our order."""
    keys = [f"{folder}{rest}" for folder in ("a", "b/c") for rest in ("", "-1", ".d/e", "/b", "/b-1", "/b/c", "0")]
    if backend.name not in ("memory", "s3-moto", "s3-ministack", "oci"):  # where objects are files
        keys = [key for key in keys if key not in ("a", "b/c", "a/b", "b/c/b")]

    async def work(store: Store) -> None:
        for key in keys:
            await store.put(key, b"1", NOTHING)
        listing = store.list()
        assert [key async for page in listing for key in page.keys] == sorted(keys, key=str.encode)

    for page_size in (1, 3, 1000):
        backend.run(work, options=TransferOptions(page_size=page_size))


@pytest.mark.backends("memory", "local", "s3-moto", "s3-ministack", "oci")  # the others keep objects as files
@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
def test_any_key_is_kept_byte_for_byte_or_refused(backend: StoreBackend, key: str) -> None:
    """A key is text and nothing else: the clouds keep every one of them, a folder refuses what is not a file
    name."""

    async def work(store: Store) -> None:
        if backend.refuses(key):
            with pytest.raises(Unsupported):
                await store.put(key, b"hostile", NOTHING)
            assert (await listed(store)).keys == []
            return
        await store.put(key, b"hostile", NOTHING)
        assert (await listed(store)).keys == [key]
        assert await read(store, key) == b"hostile"
        assert await store.delete([key]) == {}
        assert (await listed(store)).keys == []

    backend.run(work)


@pytest.mark.backends("local", "s3-moto", "s3-seaweedfs", "oci")
def test_prefixes_are_folders_of_their_own(backend: StoreBackend) -> None:
    """A store sees what is beneath its prefix, with keys relative to it, and nothing next to it."""

    async def work(whole: Store, inner: Store) -> None:
        for key in ("p/in", "p/deep/er", "p2/out", "q"):
            await whole.put(key, key.encode(), NOTHING)
        assert (await listed(inner)).keys == ["deep/er", "in"]
        assert await read(inner, "in") == b"p/in"
        assert await inner.delete(["in", "q"]) == {}
        assert (await listed(whole)).keys == ["p/deep/er", "p2/out", "q"]

    backend.run(work, "", "p/")


def test_large_objects_appear_when_they_are_committed(backend: StoreBackend) -> None:
    """Parts may arrive in any order; nothing is visible before the commit, and then everything is."""
    size = backend.part_size
    data = random.Random(3).randbytes(2 * size + size // 2)

    async def work(store: Store) -> None:
        upload = await store.begin("large", len(data), size, NOTHING)
        for number in (2, 0, 1):
            await upload.write(number, data[number * size : (number + 1) * size])
        assert (await listed(store)).keys == []
        await upload.commit()
        entry = await entry_of(store, "large")
        assert entry.size == len(data)
        source = await store.open(entry, size)
        assert source.size == len(data)
        parts = [bytes(source.first), *[bytes(await source.read(n * size, size)) for n in (1,)]]
        parts.append(bytes(await source.read(2 * size, size // 2)))
        await source.close()
        assert b"".join(parts) == data

    backend.run(work)


def test_an_aborted_upload_leaves_nothing(backend: StoreBackend) -> None:
    """After an abort there is neither an object nor anything that a later listing would show."""

    async def work(store: Store) -> None:
        upload = await store.begin("large", 2 * backend.part_size, backend.part_size, NOTHING)
        await upload.write(0, bytes(backend.part_size))
        await upload.abort()
        await upload.abort()
        assert (await listed(store)).keys == []

    backend.run(work)


@pytest.mark.backends("memory", "s3-moto", "s3-seaweedfs", "oci")  # a folder's parts have no name to come back to
def test_an_upload_is_taken_up_again(backend: StoreBackend) -> None:
    """By its token an upload is found with the parts that arrived, and goes on to a whole object; once."""
    size = backend.part_size
    data = random.Random(4).randbytes(2 * size + 7)

    async def work(store: Store) -> None:
        begun = await store.begin("a/large", len(data), size, NOTHING)
        assert begun.token
        await begun.write(1, data[size : 2 * size])
        await begun.write(2, data[2 * size :])
        upload = await store.resume("a/large", begun.token, len(data), size)
        assert upload is not None
        assert upload.done == {1, 2}
        await upload.write(0, data[:size])
        await upload.commit()
        assert await read(store, "a/large") == data
        assert await store.resume("a/large", begun.token, len(data), size) is None

    backend.run(work)


@pytest.mark.backends("s3-moto", "oci")
def test_parts_of_another_size_are_not_taken_up(backend: StoreBackend) -> None:
    """What was cut differently cannot be continued with: those parts count as missing."""
    size = backend.part_size

    async def work(store: Store) -> None:
        begun = await store.begin("large", 3 * size, size, NOTHING)
        await begun.write(0, bytes(size))
        await begun.write(1, bytes(size + 1))
        upload = await store.resume("large", begun.token, 3 * size, size)
        assert upload is not None
        assert upload.done == {0}
        await upload.abort()

    backend.run(work)


def test_an_object_that_changes_while_it_is_read_is_noticed(backend: StoreBackend) -> None:
    """Parts of two states of an object are never mixed: reading on after a change is a conflict."""
    size = backend.part_size

    async def work(store: Store) -> None:
        await store.put("key", bytes(2 * size), NOTHING)
        source = await store.open(await entry_of(store, "key"), size)
        await asyncio.sleep(0.01)
        await store.put("key", b"x" * (2 * size), NOTHING)
        with pytest.raises(Conflict):
            await source.read(size, size)
            await source.close()
            if backend.name == "local":
                raise Conflict("a replaced file stays what it was for those who hold it open")

    backend.run(work)


def test_what_is_missing_is_not_found(backend: StoreBackend) -> None:
    """Opening what is not there says so; deleting it is done already."""

    async def work(store: Store) -> None:
        with pytest.raises(NotFound):
            await store.open(Entry("no such", 10, 0), 1000)
        await store.put("there", b"1", NOTHING)
        assert await store.delete(["no such", "there", "a/b"]) == {}
        assert (await listed(store)).keys == []

    backend.run(work)


@pytest.mark.backends("memory", "s3-moto", "s3-seaweedfs", "oci")
def test_properties_travel_with_the_object(backend: StoreBackend) -> None:
    """Content headers and metadata come back as they were put, for small objects and for large ones."""
    properties = Properties(
        content_type="text/csv; charset=utf-8",
        content_encoding="identity",
        content_language="de",
        content_disposition='attachment; filename="a b.csv"',
        cache_control="max-age=60",
        metadata=(("owner", "team a"), ("x-y", "1")),
    )

    async def work(store: Store) -> None:
        await store.put("small", b"a", properties)
        upload = await store.begin("large", backend.part_size + 1, backend.part_size, properties)
        await upload.write(0, bytes(backend.part_size))
        await upload.write(1, b"!")
        await upload.commit()
        for key in ("small", "large"):
            source = await store.open(await entry_of(store, key), 1000)
            await source.close()
            got = source.properties
            assert (got.content_type, got.content_encoding) == (properties.content_type, "identity")
            assert (got.content_language, got.cache_control) == ("de", "max-age=60")
            assert got.content_disposition == properties.content_disposition
            assert set(got.metadata) == set(properties.metadata)

    backend.run(work)


def test_etags_of_listing_and_object_agree(backend: StoreBackend) -> None:
    """A listing and an opened object name the same state by the same tag."""

    async def work(store: Store) -> None:
        await store.put("key", b"contents", NOTHING)
        entry = await entry_of(store, "key")
        source = await store.open(entry, 1000)
        await source.close()
        assert source.etag == entry.etag

    backend.run(work)


@pytest.mark.backends("s3-moto", "s3-seaweedfs", "oci")
def test_a_missing_place_is_an_error_with_advice(backend: StoreBackend) -> None:
    """A bucket that does not exist is no empty one: its listing fails, and says what to check."""

    async def work(_: Store) -> NotFound:
        assert backend.missing
        store = backend.missing()
        with pytest.raises(NotFound) as caught:
            await listed(store)
        await store.close()
        return caught.value

    error = backend.run(work)
    assert MISSING in error.message
    assert error.hint
