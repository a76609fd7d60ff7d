"""Listings over the wire, from stores that are like others: whole, or an error, or with names that are skipped."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.errors import Corrupt, Error, Transient
from keepstep.stores.address import Address
from keepstep.stores.interface import EVERYTHING, Properties, Span
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client
from tests.servers import Aws
from tests.twisting import TwistingProxy

KEYS = [
    "B",
    "a +%/1",
    "a-1",
    "a.txt",
    "a/b-1",
    "a/b.txt",
    "a/b/c.txt",
    "d2/x",
    "d2/y",
    "zz",
    "\ue000",
    "\U00010000",
]
Twisted = Callable[..., TwistingProxy]


@pytest.fixture(scope="module")
def bucket(_moto: Aws) -> str:
    client, name = _moto.client("s3"), f"listed-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=b"x")
    return name


class Seen:
    """What came of a listing, and what was said."""

    def __init__(self, proxy: TwistingProxy, moto: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in moto.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        self.keys: list[str] = []
        self._bucket = bucket

    def list(self, spans: tuple[Span, ...] = EVERYTHING, *, page_size: int = 3) -> None:
        async def work() -> None:
            client = S3Client(self._bucket, AwsIdentity(AwsSettings()))
            store = S3Store(Address("s3", bucket=self._bucket), client, TransferOptions(page_size=page_size))
            listing = store.list(spans)
            try:
                async for page in listing:
                    self.keys += page.keys
            finally:
                self.notices, self.unrepresentable_names = store.notices, listing.unrepresentable_names
                await store.close()

        run(work())


@pytest.fixture
def seen(moto: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[TwistingProxy], Seen]:
    return lambda proxy: Seen(proxy, moto, bucket, monkeypatch)


SILENT = """small-pages max-keys-ignored delimiter-ignored encoding-type-ignored empty-truncated-page time-beyond
    not-truncated-with-token start-after-with-token no-start-after time-with-offset time-whole-seconds list-no-etag
    list-prefixed list-hidden-row list-spaced list-attributes list-encoding-by-reference list-padded
    start-after-ignored start-after-inclusive"""
SORTED = """folder-order files-first-order utf16-order case-blind-order reverse-order no-order pages-overlap
    key-twice"""


@pytest.mark.parametrize("mode", [*SILENT.split(), *SORTED.split()])
def test_every_key_comes_in_order(twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str) -> None:
    """Stores of other orders and habits are listed whole; one that had to be sorted is named, once."""
    found = seen(twisted(mode, page_size=3))
    found.list()
    assert found.keys == KEYS
    assert [*found.unrepresentable_names] == []
    assert len(found.notices) == (mode in SORTED.split())
    assert all(notice.startswith(f"s3://{found._bucket} does not list as S3 does (") for notice in found.notices)


@pytest.mark.parametrize("mode", ["folder-order", "reverse-order", "start-after-ignored", "small-pages"])
def test_no_part_is_certified_by_an_order_that_is_not_known(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str
) -> None:
    """Parts of a listing hold every key of theirs, also where start-after would have missed some."""
    found = seen(twisted(mode, page_size=2))
    found.list((Span("d2.\U0010ffff", "d20"), Span("zy\U0010ffff", "z{")))
    assert found.keys == ["d2/x", "d2/y", "zz"]


@pytest.mark.parametrize("mode", ["page-repeated", "token-repeated", "truncated-without-token", "version-1-only"])
def test_pages_that_lead_nowhere_are_an_error(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str
) -> None:
    """A listing without an end, or without a way on, ends with an error and soon."""
    proxy = twisted(mode, page_size=3)
    with pytest.raises(Corrupt):
        seen(proxy).list()
    assert len(proxy.requests) < 20


@pytest.mark.parametrize("mode", ["list-html", "key-empty", "list-doctype"])
def test_what_is_no_listing_is_repeated_and_then_an_error(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str
) -> None:
    """A page that a proxy puts in the way, or one that cannot be right, is asked for again; then it is an error."""
    proxy = twisted(mode)
    with pytest.raises(Transient, match="is not a listing"):
        seen(proxy).list()
    assert len(proxy.requests) == 4


@pytest.mark.parametrize("mode", ["list-html", "list-cut", "list-empty", "size-negative"])
def test_what_passes_is_not_noticed(twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str) -> None:
    """Once is no reason to fail."""
    found = seen(twisted(mode, times=1))
    found.list()
    assert found.keys == KEYS


@pytest.mark.parametrize(("mode", "name"), [("key-not-utf8", "\\xffB"), ("key-surrogate", "\\ud800B")])
def test_names_that_are_no_text_are_strays(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str, name: str
) -> None:
    """One name that is not UTF-8 costs that one object, and not the listing."""
    found = seen(twisted(mode, page_size=1000))
    found.list(page_size=1000)
    assert found.keys == KEYS[1:]
    assert found.unrepresentable_names == [(name, "its name is not UTF-8")]


@pytest.mark.parametrize("mode", ["refuses-unknown-headers", "refuses-unknown-headers-400"])
def test_refused_extras_are_left_out_for_the_run(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen], mode: str
) -> None:
    """A store that refuses what it does not know is asked again without it, and then no more with it."""
    proxy = twisted(mode)
    found = seen(proxy)
    found.list()
    assert found.keys == KEYS
    assert len(proxy.requests) == -(-len(KEYS) // 3) + 1


def test_a_refusal_for_another_reason_is_told_as_it_was(
    twisted: Twisted, seen: Callable[[TwistingProxy], Seen]
) -> None:
    """Where it does not help to leave out anything, the first refusal is the error."""
    with pytest.raises(Error, match="301"):
        seen(twisted("redirect-301")).list()


def test_parts_without_an_end_are_given_up(
    twisted: Twisted, moto: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload whose parts are listed forever is removed, and its object sent from the start."""
    for name, value in moto.env.items():
        monkeypatch.setenv(name, value)
    proxy = twisted("parts-repeated")
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)

    async def work() -> None:
        client = S3Client(bucket, AwsIdentity(AwsSettings()))
        store = S3Store(Address("s3", bucket=bucket), client)
        part_size = 5 * 1024 * 1024
        upload = await store.begin("large", 2 * part_size, part_size, Properties())
        await upload.write(0, b"x" * part_size)
        assert await store.resume("large", upload.token, 2 * part_size, part_size) is None
        await store.close()

    run(work())
    assert proxy.operations.count("ListParts") == 2
    assert not moto.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads")
