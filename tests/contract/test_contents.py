"""What stores tell of contents when they are asked to: tags, digests and checksums, tried on each of them."""

from __future__ import annotations

import hashlib
import random
from base64 import b64encode

import pytest

from keepstep.stores.interface import Entry, Properties, Store
from keepstep.stores.options import TransferOptions
from tests.contract.conftest import StoreBackend
from tests.contract.test_stores import entry_of

NOTHING = Properties()
TELLING = TransferOptions(tells_contents=True)
DATA = random.Random(5).randbytes(70_000)
MD5 = hashlib.md5(DATA)


async def upload(store: Store, key: str, data: bytes, part_size: int) -> str:
    upload = await store.begin(key, len(data), part_size, NOTHING)
    for number, start in enumerate(range(0, len(data), part_size)):
        await upload.write(number, data[start : start + part_size])
    return await upload.commit()


def test_what_was_written_is_told_by_the_tag_that_a_listing_shows(backend: StoreBackend) -> None:
    """The answer to a put is the tag of the object in the next listing; other bytes have another one."""

    async def work(store: Store) -> None:
        tags = [await store.put("key", data, NOTHING) for data in (DATA, DATA[1:])]
        assert (await entry_of(store, "key")).tag == tags[1]
        assert len({*tags, ""}) == 3

    backend.run(work, options=TELLING)


# rclone serve s3 tells another tag at the end of an upload than later: what came in parts is then looked at again
@pytest.mark.backends("memory", "local", "s3-moto", "s3-seaweedfs", "s3-localbucket", "s3-ministack", "oci")
def test_what_came_in_parts_is_told_by_its_tag(backend: StoreBackend) -> None:
    """The answer to a commit is the tag of the object in the next listing."""
    part = backend.part_size

    async def work(store: Store) -> None:
        tag = await upload(store, "key", bytes(part) + b"1", part)
        assert tag
        assert (await entry_of(store, "key")).tag == tag

    backend.run(work, options=TELLING)


@pytest.mark.backends("s3-moto", "s3-seaweedfs", "oci")
def test_clouds_tell_the_md5_of_what_was_put_whole(backend: StoreBackend) -> None:
    """Its tag is the MD5 in hex, and so is the checksum that can be asked for."""

    async def work(store: Store) -> None:
        await store.put("key", DATA, NOTHING)
        entry = await entry_of(store, "key")
        assert entry.tag == MD5.hexdigest()
        assert (await store.checksums(entry))["MD5"] == b64encode(MD5.digest()).decode()

    backend.run(work, options=TELLING)


@pytest.mark.backends("s3-moto", "oci")
def test_stored_checksums_are_told(backend: StoreBackend) -> None:
    """A checksum that an upload asked the store to keep is reported with the object, and never that of another
    object."""
    options = TransferOptions(tells_contents=True, checksum_algorithm="SHA256")
    sha256 = b64encode(hashlib.sha256(DATA).digest()).decode()

    async def work(store: Store) -> None:
        await store.put("key", DATA, NOTHING)
        entry = await entry_of(store, "key")
        listed = entry._replace(digest="")  # as if the listing had not told
        assert (await store.checksums(listed))["SHA256"] == sha256
        assert await store.checksums(listed._replace(etag="0" * 32)) == {}

    backend.run(work, options=options)


def test_nothing_is_told_of_what_is_not_there(backend: StoreBackend) -> None:
    """An object that is gone has no checksums, and that is not an error: anybody who reads it is told."""

    async def work(store: Store) -> None:
        assert await store.checksums(Entry("gone", 1, 0, "0" * 32)) == {}

    backend.run(work, options=TELLING)


@pytest.mark.backends("s3-moto", "s3-seaweedfs")
def test_a_copy_by_the_server_is_told_by_its_tag(backend: StoreBackend) -> None:
    """So that what came in parts, and is copied whole, is known to be the same."""
    part = backend.part_size

    async def work(source: Store, target: Store) -> None:
        await upload(source, "key", bytes(part) + b"1", part)
        entry = await entry_of(source, "key")
        tag = await target.copy(source, entry)
        assert tag
        assert (await entry_of(target, "key")).tag == tag

    backend.run(work, "from/", "to/", options=TELLING)


@pytest.mark.backends("s3-seaweedfs")  # moto copies whatever state there is
def test_of_a_copy_of_another_state_nothing_is_told(backend: StoreBackend) -> None:
    """An object that has changed since it was listed is copied all the same, and taken for equal to nothing."""

    async def work(source: Store, target: Store) -> None:
        await source.put("key", DATA, NOTHING)
        entry = await entry_of(source, "key")
        assert await target.copy(source, entry._replace(etag="0" * 32)) == ""
        assert (await entry_of(target, "key")).tag == MD5.hexdigest()

    backend.run(work, "from/", "to/", options=TELLING)
