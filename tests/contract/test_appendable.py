"""The contract of the stores that can grow: what ``Appendable`` promises, tried on each of them."""

from __future__ import annotations

import asyncio

import pytest

from keepstep.errors import Conflict
from keepstep.stores.interface import Appendable, Entry, Store
from tests.contract.conftest import StoreBackend

appendable = pytest.mark.backends("memory", "s3-moto", "s3-seaweedfs", "oci")


async def content(store: Store, key: str) -> bytes:
    source = await store.open(Entry(key, 0, 0), 1 << 20)
    try:
        return bytes(source.first)
    finally:
        await source.close()


@appendable
def test_the_first_creates(backend: StoreBackend) -> None:
    """An object is created where there is none, with its content and type; a second time it is a Conflict."""

    async def work(store: Store) -> None:
        assert isinstance(store, Appendable)
        await store.create("a/1.json", b"first", "application/json")
        with pytest.raises(Conflict):
            await store.create("a/1.json", b"second", "application/json")
        assert await content(store, "a/1.json") == b"first"
        await store.create("a/2.json", b"second", "application/json")

    backend.run(work)


@appendable
def test_of_many_one_wins(backend: StoreBackend) -> None:
    """Of writers that create the same object at once one succeeds, and its content is what there is."""

    async def work(first: Store, second: Store) -> None:
        stores = [store for store in (first, second) if isinstance(store, Appendable)]
        writers = [(stores[number % 2], f"writer {number}".encode()) for number in range(8)]
        outcomes = await asyncio.gather(
            *(store.create("contended", data, "text/plain") for store, data in writers), return_exceptions=True
        )
        winners = [data for (_, data), outcome in zip(writers, outcomes, strict=True) if outcome is None]
        losers = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(outcome, Conflict) for outcome in losers), losers
        assert winners == [await content(first, "contended")]

    backend.run(work, "", "")
