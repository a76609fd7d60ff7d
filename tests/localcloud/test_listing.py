"""ListObjects: order, bounds, groups and pages; and that a page costs the same in a bucket of any size."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import oci
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.identity import Facts
from keepstep_localcloud.objectstorage import ObjectStorage
from keepstep_localcloud.objectstorage.listing import Query, after_prefix, page
from keepstep_localcloud.objectstorage.spool import Received
from keepstep_localcloud.server import LocalCloud
from keepstep_localcloud.storage import Database

NAMES = ["A", "a", "a/", "a//b", "a/b", "a/b/c", "a/d", "a0", "b/c", "e", "z", "é", "€", "\U0001f600", "\ue000"]


@pytest.fixture(scope="module")
def listed(client: ObjectStorageClient, _cloud: LocalCloud) -> Callable[..., Any]:
    """``listed(prefix="a/")``: one page of a bucket with :data:`NAMES` in it."""
    bucket = f"listing-{os.getpid()}"
    details = m.CreateBucketDetails(name=bucket, compartment_id=_cloud.tenancy)
    client.create_bucket(_cloud.namespace, details)
    for name in NAMES:
        client.put_object(_cloud.namespace, bucket, name, name.encode())
    return lambda **query: client.list_objects(_cloud.namespace, bucket, **query).data


def names(found: Any) -> list[str]:
    return [each.name for each in found.objects]


def test_names_come_in_the_order_of_their_bytes(listed: Callable[..., Any]) -> None:
    """Names are ordered by their UTF-8 bytes, which is not the order of UTF-16."""
    assert names(listed()) == sorted(NAMES, key=str.encode)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"start": "a/b"}, ["a/b", "a/b/c", "a/d", "a0", "b/c", "e", "z", "é", "€", "\ue000", "\U0001f600"]),
        ({"start_after": "a/b", "end": "b/c"}, ["a/b/c", "a/d", "a0"]),
        ({"start": "a/c", "end": "e"}, ["a/d", "a0", "b/c"]),
        ({"prefix": "a/"}, ["a/", "a//b", "a/b", "a/b/c", "a/d"]),
        ({"prefix": "a/", "start": "a/b/"}, ["a/b/c", "a/d"]),
        ({"prefix": "a/", "end": "a/b"}, ["a/", "a//b"]),
        ({"prefix": "é"}, ["é"]),
        ({"prefix": "nothing"}, []),
        ({"start": "b", "end": "a"}, []),
    ],
)
def test_bounds(listed: Callable[..., Any], query: dict[str, str], expected: list[str]) -> None:
    """start is included, startAfter and end are not, and a prefix narrows both."""
    assert names(listed(**query)) == expected


def test_groups(listed: Callable[..., Any]) -> None:
    """With the delimiter, what lies below a folder is one prefix, and a folder's own name is below it."""
    top = listed(delimiter="/")
    assert names(top) == ["A", "a", "a0", "e", "z", "é", "€", "\ue000", "\U0001f600"]
    assert top.prefixes == ["a/", "b/"]
    below = listed(delimiter="/", prefix="a/")
    assert (names(below), below.prefixes) == (["a/", "a/b", "a/d"], ["a//", "a/b/"])


@pytest.mark.parametrize("delimiter", [None, "/"])
@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_pages_join_to_the_whole(listed: Callable[..., Any], limit: int, delimiter: str | None) -> None:
    """Going on from nextStartWith gives each object and each prefix once, however small the pages."""
    query: dict[str, Any] = {"limit": limit, **({"delimiter": delimiter} if delimiter else {})}
    whole = listed(**{**query, "limit": 1000})
    objects: list[str] = []
    prefixes: list[str] = []
    start: dict[str, str] | None = {}
    while start is not None:
        part = listed(**query, **start)
        assert 0 < len(part.objects) + len(part.prefixes) <= limit
        objects += names(part)
        prefixes += part.prefixes
        start = {"start": part.next_start_with} if part.next_start_with else None
    assert (objects, prefixes) == (names(whole), whole.prefixes)


def test_fields_are_those_asked_for(listed: Callable[..., Any]) -> None:
    """Only the name by default; others by name, their case not minded."""
    (bare,) = listed(prefix="e").objects
    assert (bare.size, bare.etag, bare.md5, bare.time_created) == (None, None, None, None)
    (full,) = listed(prefix="e", fields="SIZE, etag,md5,timeCreated,timeModified,storageTier,archivalState").objects
    assert (full.size, full.md5, full.storage_tier) == (1, "4WcXl8UuFfdjOAtF6EHsMg==", "Standard")
    assert full.etag and full.time_created and full.time_modified and full.archival_state is None


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 1001}, {"delimiter": "-"}, {"fields": "colour"}, {"start": "a", "start_after": "b"}],
)
def test_questions_that_make_no_sense(listed: Callable[..., Any], query: dict[str, Any]) -> None:
    """An impossible limit, delimiter, field or pair of starts is refused, not ignored."""
    with pytest.raises(oci.exceptions.ServiceError) as refused:
        listed(**query)
    assert refused.value.status == 400


class Model:
    """An Object Storage without a server, with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "db")
        facts = Facts.invented()
        self.storage = ObjectStorage(self.database, folder / "contents", facts)
        self.bucket = self.storage.buckets.create(facts.namespace, "b", facts.tenancy, {}).number

    def put(self, *names: str) -> None:
        with self.storage.objects.changing(self.bucket):
            for name in names:
                self.storage.objects.put(self.bucket, name, Received(0, 0, {"MD5": b"x"}, b""), {})

    def page(self, query: Query, *, stale: bool = False) -> Any:
        return json.loads(page(self.storage.objects, self.bucket, query, stale=stale))


@pytest.fixture
def model() -> Iterator[Model]:
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder))
        yield model
        model.database.close()


TEXTS = st.text(st.sampled_from("aab/!0\ud7ff\ue000\U0010ffff"), min_size=1, max_size=5)


@given(st.sets(TEXTS, max_size=12), st.data())
def test_a_page_is_what_the_documentation_says(names: set[str], data: st.DataObject) -> None:
    """For any names and any query a page is the slice of the sorted names that ListObjects promises."""
    prefix, start, end = (data.draw(TEXTS | st.just("")) for _ in range(3))
    delimiter, limit = data.draw(st.sampled_from(["", "/"])), data.draw(st.integers(1, 4))
    query = {"prefix": prefix, "start": start, "delimiter": delimiter, "limit": str(limit), "end": end}
    query = {name: value for name, value in query.items() if value}
    chosen = [n for n in sorted(names) if n.startswith(prefix) and n >= start and (not end or n < end)]
    entries: dict[str, str] = {}
    for name in chosen:
        cut = name.find("/", len(prefix)) if delimiter else -1
        entries.setdefault(name[: cut + 1] if cut >= 0 else name, name)
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder))
        model.put(*names)
        found = model.page(Query.parsed(query))
        model.database.close()
    listed = [each["name"] for each in found["objects"]]
    assert sorted(listed + found["prefixes"]) == sorted(list(entries)[:limit])
    assert found.get("nextStartWith") == (list(entries.values())[limit] if len(entries) > limit else None)


@given(TEXTS, TEXTS)
def test_what_comes_after_a_prefix(prefix: str, rest: str) -> None:
    """The bound after a prefix is above every name with it, and nothing lies between."""
    bound = after_prefix(prefix)
    assert bound is None or (prefix + rest < bound and not bound.startswith(prefix))
    assert (bound is None) == (set(prefix) == {"\U0010ffff"})


def test_a_stale_page_is_the_one_before(model: Model) -> None:
    """stale undoes exactly the last change of the bucket: a put, an overwrite, a delete, a batch."""
    everything = replace(Query.parsed({"fields": "etag"}))
    pages = []
    changes: list[Callable[[], None]] = [
        lambda: model.put("b"),
        lambda: model.put("a", "c"),
        lambda: model.put("b"),
        lambda: model.storage.objects.delete(model.bucket, "b"),
    ]
    for change in changes:
        pages.append(model.page(everything))
        with model.storage.objects.changing(model.bucket):
            change()
        assert model.page(everything, stale=True) == pages[-1] != model.page(everything)


@pytest.mark.parametrize("query", [{}, {"prefix": "k00", "fields": "size,md5"}, {"delimiter": "/", "limit": "10"}])
def test_a_page_costs_the_same_in_any_bucket(model: Model, query: dict[str, str]) -> None:
    """SQLite takes as many steps for a page out of 60,000 objects as for one out of 3,000."""

    def steps() -> int:
        count = 0

        def step() -> None:
            nonlocal count
            count += 1

        connection = model.database._connection
        connection.set_progress_handler(step, 1)
        model.page(Query.parsed({"limit": "500", **query}))
        connection.set_progress_handler(None, 0)
        return count

    def fill(first: int, last: int) -> None:
        with model.database.transaction():
            for number in range(first, last):
                name = f"k{number:06}/{number % 7}"
                row = (model.bucket, name, 1, "e", "m", "t", "t", "Standard", None, None, "{}", None, None)
                model.database.execute(f"insert into object values ({', '.join('?' * len(row))})", row)

    fill(0, 3000)
    small = steps()
    fill(3000, 60_000)
    assert steps() <= small * 1.1
