"""The twisting proxy twists what it promises, and nothing else."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers import Aws
from tests.twisting import MODES, TwistingProxy

KEYS = ["a-1", "a.txt", "a/b-1", "a/b.txt", "a/b/c.txt", "zz", "\ue000", "\U00010000"]
Twisted = Callable[..., TwistingProxy]


@pytest.fixture(scope="module")
def bucket(_moto: Aws) -> str:
    """Holds :data:`KEYS`, each of 1,000 bytes, and whatever tests have put there beside them."""
    client, name = _moto.client("s3"), f"twisted-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=b"x" * 1000)
    return name


def through(proxy: TwistingProxy, moto: Aws) -> Any:
    return replace(moto, url=proxy.url).client("s3")


def walked(client: Any, bucket: str, **asked: Any) -> list[str]:
    """By continuation tokens, a page at a time; twenty pages at the most."""
    keys: list[str] = []
    for _ in range(20):
        page = client.list_objects_v2(Bucket=bucket, **asked)
        keys += [item["Key"] for item in page.get("Contents", ())]
        if not page["IsTruncated"]:
            return keys
        asked["ContinuationToken"] = page["NextContinuationToken"]
    return keys


def test_nothing_is_twisted_without_a_mode(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """Without a mode, or outside the operations that it is kept to, every operation passes, and is named."""
    proxy = twisted("denied", only="GetObjectTagging")
    client = through(proxy, moto)
    client.put_object(Bucket=bucket, Key="new", Body=b"1" * 100_000)
    assert client.get_object(Bucket=bucket, Key="new")["Body"].read() == b"1" * 100_000
    assert client.head_object(Bucket=bucket, Key="new")["ContentLength"] == 100_000
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "new"}]})
    assert walked(client, bucket) == KEYS
    assert proxy.operations == ["PutObject", "GetObject", "HeadObject", "DeleteObjects", "ListObjectsV2"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_object_tagging(Bucket=bucket, Key="zz")


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        ("folder-order", ["a/b/c.txt", "a/b-1", "a/b.txt", "a-1", "a.txt", "zz", "\ue000", "\U00010000"]),
        ("files-first-order", ["a-1", "a.txt", "zz", "\ue000", "\U00010000", "a/b-1", "a/b.txt", "a/b/c.txt"]),
        ("utf16-order", [*KEYS[:-2], "\U00010000", "\ue000"]),
        ("reverse-order", KEYS[::-1]),
        ("small-pages", KEYS),
        ("start-after-ignored", KEYS),
        ("empty-truncated-page", KEYS),
    ],
)
@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_orders_are_kept_over_pages(
    twisted: Twisted, moto: Aws, bucket: str, mode: str, order: list[str], page_size: int
) -> None:
    """A store of another order gives every key once, in its order, whoever follows its tokens."""
    assert walked(through(twisted(mode, page_size=page_size), moto), bucket) == order


def test_starts_are_those_of_the_mode(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """Start-after is ignored, taken as inclusive, or counted in the store's own order."""
    expected = {
        "start-after-ignored": KEYS,
        "start-after-inclusive": KEYS[4:],
        "small-pages": KEYS[5:],
        "folder-order": ["a/b-1", "a/b.txt", "a-1", "a.txt", "zz", "\ue000", "\U00010000"],
    }
    for mode, keys in expected.items():
        assert walked(through(twisted(mode), moto), bucket, StartAfter="a/b/c.txt") == keys, mode


def test_endless_listings_do_not_end(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """A repeated page and a repeated token go round for as long as they are followed."""
    assert walked(through(twisted("page-repeated", page_size=3), moto), bucket) == KEYS[:3] * 20
    assert walked(through(twisted("token-repeated", page_size=3), moto), bucket) == KEYS[:3] + KEYS[3:6] * 19


def test_a_lost_reply_was_a_deed(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """The object is there although the client heard nothing; its second attempt is answered."""
    client = through(twisted("lost-reply"), moto)
    with pytest.raises(BotoCoreError):
        client.put_object(Bucket=bucket, Key="lost", Body=b"1")
    assert moto.client("s3").get_object(Bucket=bucket, Key="lost")["Body"].read() == b"1"
    client.put_object(Bucket=bucket, Key="lost", Body=b"1")
    moto.client("s3").delete_object(Bucket=bucket, Key="lost")


def test_a_late_error_was_no_deed(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """CompleteMultipartUpload answers 200, and there is no object."""
    client = through(twisted("late-error"), moto)
    upload = client.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=1, Body=b"1")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    with pytest.raises(ClientError, match="InternalError"):
        client.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload=done)
    assert "large" not in walked(moto.client("s3"), bucket)


def test_other_tags_stay_what_they_are(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """A store with tags of its own gives the same ones everywhere, and takes them back."""
    client = through(twisted("etag-no-md5"), moto)
    tag = client.put_object(Bucket=bucket, Key="a.txt", Body=b"x" * 1000)["ETag"]
    assert client.head_object(Bucket=bucket, Key="a.txt", IfMatch=tag)["ETag"] == tag
    listed = {item["Key"]: item["ETag"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert listed["a.txt"] == tag
    assert tag != moto.client("s3").head_object(Bucket=bucket, Key="a.txt")["ETag"]


def test_a_number_of_requests_is_twisted(twisted: Twisted, moto: Aws, bucket: str) -> None:
    """``times`` ends a mode; one with an end of its own ends for each request by itself."""
    client = through(twisted("denied", times=2), moto)
    for _ in range(2):
        with pytest.raises(ClientError, match="AccessDenied"):
            walked(client, bucket)
    assert walked(client, bucket) == KEYS
    client = through(twisted("status-522"), moto)
    for key in KEYS[:2]:
        with pytest.raises(ClientError, match="522"):
            client.get_object(Bucket=bucket, Key=key)
        assert client.get_object(Bucket=bucket, Key=key)["ContentLength"] == 1000


ASKED = [
    ("GET", "?list-type=2&encoding-type=url"),
    ("GET", "/zz"),
    ("HEAD", "/zz"),
    ("PUT", "/new"),
    ("GET", "/zz?tagging"),
    ("POST", "/large?uploads"),
    ("POST", "?delete"),
    ("DELETE", "/new"),
]


def test_every_mode_answers(twisted: Twisted, bucket: str) -> None:
    """Every mode says what it stands for, and answers whatever it is asked, or hangs up: none breaks by itself."""
    body = b"<Delete><Object><Key>none</Key></Object></Delete>"
    for name, mode in MODES.items():
        assert (mode.__doc__ or "").strip().endswith((".", ")")), name
        if name.startswith(("endless-", "drips", "not-http")):
            continue
        proxy = twisted(name)
        for method, rest in ASKED:
            connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)
            with suppress(http.client.HTTPException, ConnectionError):
                connection.request(method, f"/{bucket}{rest}", body if method in ("PUT", "POST") else None)
                answer = connection.getresponse()
                answer.read()
                assert answer.status
            connection.close()
        assert len(proxy.requests) == len(ASKED)


def test_a_mode_that_breaks_is_noticed(twisted: Twisted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a mode itself ends the test that uses it: nobody takes it for the server's."""

    async def broken(request: Any, send: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(MODES, "broken", broken)
    with pytest.raises(ZeroDivisionError), TwistingProxy("http://127.0.0.1:9", "broken") as proxy:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)
        with suppress(http.client.HTTPException, ConnectionError):
            connection.request("GET", "/")
            connection.getresponse()
