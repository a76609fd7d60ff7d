"""What a store does to names and properties is found out before it can hurt."""

from __future__ import annotations

import re

import pytest

from keepstep.cli.running import run
from keepstep.errors import Denied, Unsupported
from keepstep.stores.interface import Properties
from keepstep.stores.s3 import S3Store
from tests.contract.conftest import StoreBackend, _s3
from tests.servers import Aws
from tests.stores.twisted import TwistedBucket
from tests.stores.twisted import twisted as twisted

NOTHING = Properties()
AS_PATHS = ["a//b", "/rooted", "back\\slash", "folder/"]


@pytest.fixture
def paths(seaweed: Aws, monkeypatch: pytest.MonkeyPatch) -> StoreBackend:
    """A store that keeps keys as paths, and takes some of them for others without a word."""
    return _s3("s3-seaweedfs", seaweed, monkeypatch)


@pytest.mark.parametrize("key", AS_PATHS)
def test_a_name_that_would_become_another_is_refused(paths: StoreBackend, key: str) -> None:
    """Nothing is written, nothing of the trial stays, and the object whose name it would take is untouched."""

    async def main() -> None:
        store = paths.make("")
        try:
            for plain in ("a/b", "rooted", "back/slash"):
                await store.put(plain, b"before", NOTHING)
            for _ in range(2):
                with pytest.raises(Unsupported, match="this store keeps an object whose name"):
                    await store.put(key, b"odd", NOTHING)
            assert store.requests["ListObjectsV2"] == 1
            keys = [name async for page in store.list() for name in page.keys]
            assert keys == ["a/b", "back/slash", "rooted"]
        finally:
            await store.close()

    run(main())


def test_an_empty_object_of_a_folders_name_is_kept(paths: StoreBackend) -> None:
    """A folder marker loses nothing where a store keeps nothing of what is in it."""

    async def main() -> None:
        store = paths.make("")
        try:
            await store.put("folder/", b"", NOTHING)
            assert [name async for page in store.list() for name in page.keys] == ["folder/"]
        finally:
            await store.close()

    run(main())


def test_names_are_tried_once(moto: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that keeps every name pays three requests for each kind of odd name, not for each name."""
    backend = _s3("s3-moto", moto, monkeypatch)

    async def main() -> None:
        store = backend.make("in/")
        try:
            for key in ("a//b", "c//d", "e//f", "plain", "a/b"):
                await store.put(key, b"1", NOTHING)
            assert store.requests == {"PutObject": 6, "ListObjectsV2": 1, "DeleteObject": 1}
            assert not store.notices
        finally:
            await store.close()

    run(main())


def test_what_a_store_forgets_is_said(localbucket: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first object with metadata is looked at, what is missing is named once; a type alone costs nothing."""
    backend = _s3("s3-localbucket", localbucket, monkeypatch)

    async def main() -> None:
        store = backend.make("")
        try:
            await store.put("plain", b"1", Properties(content_type="text/csv"))
            assert "HeadObject" not in store.requests
            for key in ("a", "b"):
                await store.put(key, b"1", Properties(cache_control="no-store", metadata=(("owner", "a"),)))
            assert store.requests["HeadObject"] == 1
            assert [str(notice) for notice in store.notices] == [
                f"s3://{store.address.bucket}: this store does not keep Cache-Control, metadata"
            ]
        finally:
            await store.close()

    run(main())


def test_a_listing_that_fails_says_nothing_of_names(twisted: TwistedBucket) -> None:
    """A refused listing is the error of the object that was to be written; the next one is tried again."""
    listing = r"^GET [^?]*\?.*list-type=2"
    twisted.proxy.add(match=listing, times=2, status=403, body=b"<Error><Code>AccessDenied</Code></Error>")

    async def work(store: S3Store) -> None:
        with pytest.raises(Denied):
            await store.put("a//b", b"1", NOTHING)
        assert twisted.keys() == []
        await store.put("a//b", b"1", NOTHING)

    twisted.run(work)
    assert twisted.keys() == ["a//b"]
    assert len([line for line in twisted.proxy.requests if re.search(listing, line)]) == 3
