"""Objects as the official SDK sees them: put, get, head, delete, conditions, checksums, keys of the customer's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud

refused = oci.exceptions.ServiceError


@pytest.fixture
def ask(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> Callable[..., Any]:
    """``ask("put_object", "name", ...)``: a call on the test's own bucket."""

    def ask(call: str, *arguments: Any, **options: Any) -> Any:
        return getattr(client, call)(cloud.namespace, bucket, *arguments, **options)

    return ask


def refusal(act: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(refused) as raised:
        act(*arguments, **options)
    return raised.value.status, raised.value.code


def test_what_is_put_comes_back(ask: Callable[..., Any]) -> None:
    """An object comes back with its bytes, headers, metadata, MD5, time and ETag, from get and head alike."""
    given = {
        "content_type": "text/csv",
        "content_encoding": "gzip",
        "content_language": "de",
        "cache_control": "no-store",
    }
    put = ask("put_object", "a/b.csv", b"a,b\n", opc_meta={"owner": "me", "note": "two words"}, **given)
    md5 = base64.b64encode(hashlib.md5(b"a,b\n").digest()).decode()
    assert put.headers["opc-content-md5"] == md5
    for answer in (ask("get_object", "a/b.csv"), ask("head_object", "a/b.csv")):
        headers = answer.headers
        assert {name: headers[name.replace("_", "-")] for name in given} == given
        assert (headers["opc-meta-owner"], headers["opc-meta-note"]) == ("me", "two words")
        assert (headers["content-length"], headers["content-md5"]) == ("4", md5)
        assert (headers["etag"], headers["last-modified"]) == (put.headers["etag"], put.headers["last-modified"])
    assert ask("get_object", "a/b.csv").data.raw.read() == b"a,b\n"


def test_an_empty_object_is_an_object(ask: Callable[..., Any]) -> None:
    """Zero bytes are stored, read and listed."""
    ask("put_object", "empty", b"")
    assert ask("get_object", "empty").data.content == b""
    assert ask("list_objects", fields="size").data.objects[0].size == 0


@pytest.mark.parametrize(
    ("wanted", "part", "shown"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_a_range_gives_a_part(ask: Callable[..., Any], wanted: str, part: bytes, shown: str) -> None:
    """A single range, also an open one or a suffix, gives 206 and exactly that part."""
    ask("put_object", "ten", b"0123456789")
    answer = ask("get_object", "ten", range=wanted)
    assert (answer.status, answer.data.content, answer.headers["content-range"]) == (206, part, shown)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=5-2", "bytes=-0", "bytes=-", "bytes=0-1,4-5", "lines=1-2"])
def test_a_range_outside_the_object_is_refused(ask: Callable[..., Any], wanted: str) -> None:
    """A range that no byte is in gives 416, and says how long the object is."""
    ask("put_object", "ten", b"0123456789")
    with pytest.raises(refused) as raised:
        ask("get_object", "ten", range=wanted)
    assert (raised.value.status, raised.value.code) == (416, "InvalidRange")
    assert raised.value.headers["content-range"] == "bytes */10"


def test_a_large_object_is_read_in_parts(ask: Callable[..., Any]) -> None:
    """A content that lies in a file comes back whole and by range, and survives its deletion while it is read."""
    content = bytes(range(256)) * 4096
    ask("put_object", "large", content)
    assert ask("get_object", "large", range="bytes=65530-65545").data.content == content[65530:65546]
    answer = ask("get_object", "large")
    ask("delete_object", "large")
    assert answer.data.content == content


def test_reads_are_conditional(ask: Callable[..., Any]) -> None:
    """if-match must be the object's ETag (412), if-none-match must not (304), for get and head."""
    etag = ask("put_object", "a", b"1").headers["etag"]
    for call in ("get_object", "head_object"):
        assert ask(call, "a", if_match=etag).status == 200
        assert ask(call, "a", if_none_match="another").status == 200
        assert refusal(ask, call, "a", if_match="another")[0] == 412
        assert refusal(ask, call, "a", if_none_match=etag)[0] == 304
    assert refusal(ask, "get_object", "a", if_match="another") == (412, "IfMatchFailed")


def test_writes_are_conditional(ask: Callable[..., Any]) -> None:
    """A put or delete with the wrong ETag, or with if-none-match * over an object, changes nothing."""
    assert refusal(ask, "put_object", "a", b"1", if_match="any") == (412, "IfMatchFailed")
    etag = ask("put_object", "a", b"1", if_none_match="*").headers["etag"]
    assert refusal(ask, "put_object", "a", b"2", if_none_match="*") == (412, "IfNoneMatchFailed")
    assert refusal(ask, "put_object", "a", b"2", if_none_match=etag) == (400, "IfNoneMatchDisallowed")
    assert refusal(ask, "put_object", "a", b"2", if_match="another") == (412, "IfMatchFailed")
    assert refusal(ask, "delete_object", "a", if_match="another") == (412, "IfMatchFailed")
    assert ask("get_object", "a").data.content == b"1"
    newer = ask("put_object", "a", b"2", if_match=etag).headers["etag"]
    assert newer != etag
    ask("delete_object", "a", if_match=newer)
    assert refusal(ask, "get_object", "a") == (404, "ObjectNotFound")


def test_one_of_many_creates_wins(ask: Callable[..., Any]) -> None:
    """Of sixteen simultaneous puts with if-none-match * exactly one succeeds."""

    def create(number: int) -> str:
        try:
            ask("put_object", "race", b"%d" % number * 100_000, if_none_match="*")
        except refused as exc:
            return str(exc.code)
        return str(number)

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(create, range(16)))
    (winner,) = set(outcomes) - {"IfNoneMatchFailed"}
    assert ask("get_object", "race").data.content == winner.encode() * 100_000


def checksum(content: bytes, algorithm: str) -> str:
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


def test_checksums_are_compared(ask: Callable[..., Any]) -> None:
    """A body whose MD5 or SHA-256 is not the announced one is refused and not stored; the right one is kept."""
    assert refusal(ask, "put_object", "a", b"1", content_md5=checksum(b"2", "md5")) == (400, "UnmatchedContentMD5")
    wrong = {"opc_checksum_algorithm": "SHA256", "opc_content_sha256": checksum(b"2", "sha256")}
    assert refusal(ask, "put_object", "a", b"1", **wrong) == (400, "UnmatchedContentSHA256")
    assert refusal(ask, "get_object", "a") == (404, "ObjectNotFound")
    right = {"opc_checksum_algorithm": "SHA384", "opc_content_sha384": checksum(b"1", "sha384")}
    ask("put_object", "a", b"1", content_md5=checksum(b"1", "md5"), **right)
    assert ask("head_object", "a").headers["opc-content-sha384"] == checksum(b"1", "sha384")
    ask("put_object", "b", b"123456789", opc_checksum_algorithm="CRC32C")
    # The check value of CRC-32C (Castagnoli) is E3069283.
    assert base64.b64decode(ask("head_object", "b").headers["opc-content-crc32c"]).hex() == "e3069283"


def test_a_customers_key_is_asked_for_again(ask: Callable[..., Any]) -> None:
    """What was written with a customer's key is neither read nor described without the same key."""

    def key(letter: bytes) -> dict[str, str]:
        digest = base64.b64encode(hashlib.sha256(letter * 32).digest()).decode()
        names = ("algorithm", "key", "key_sha256")
        values = ("AES256", base64.b64encode(letter * 32).decode(), digest)
        return {f"opc_sse_customer_{name}": value for name, value in zip(names, values, strict=True)}

    ask("put_object", "sealed", b"secret", **key(b"k"))
    ask("put_object", "open", b"known")
    assert ask("get_object", "sealed", **key(b"k")).data.content == b"secret"
    assert ask("head_object", "sealed", **key(b"k")).headers["opc-sse-customer-algorithm"] == "AES256"
    assert refusal(ask, "get_object", "sealed")[0] == refusal(ask, "head_object", "sealed")[0] == 400
    assert refusal(ask, "get_object", "sealed", **key(b"x"))[0] == 400
    assert refusal(ask, "get_object", "open", **key(b"k"))[0] == 400
    assert refusal(ask, "put_object", "a", b"", **{**key(b"k"), "opc_sse_customer_algorithm": "ROT13"})[0] == 400
    assert refusal(ask, "put_object", "a", b"", **{**key(b"k"), "opc_sse_customer_key": "c2hvcnQ="})[0] == 400
    assert refusal(ask, "put_object", "a", b"", **{**key(b"k"), "opc_sse_customer_key": "?"})[0] == 400


def test_an_answer_can_be_dressed(ask: Callable[..., Any]) -> None:
    """The query parameters httpResponse... replace headers of the answer."""
    ask("put_object", "a", b"1", content_type="text/csv")
    answer = ask("get_object", "a", http_response_content_type="text/plain", http_response_expires="0")
    assert (answer.headers["content-type"], answer.headers["expires"]) == ("text/plain", "0")


def test_many_are_deleted_at_once(ask: Callable[..., Any]) -> None:
    """A batch deletes what it may, and says for each other object why not."""
    etags = {name: ask("put_object", name, b"1").headers["etag"] for name in "abcd"}
    identify = m.BatchDeleteObjectIdentifier
    wanted = [identify(object_name="a"), identify(object_name="b", if_match=etags["b"])]
    wanted += [identify(object_name="c", if_match="another"), identify(object_name="none")]
    result = ask("batch_delete_objects", m.BatchDeleteObjectsDetails(objects=wanted)).data
    assert [each.object_name for each in result.deleted] == ["a", "b"]
    assert {each.object_name: each.status_code for each in result.failed} == {"c": 412, "none": 404}
    assert [each.name for each in ask("list_objects").data.objects] == ["c", "d"]
    quiet = m.BatchDeleteObjectsDetails(objects=[identify(object_name="c")], is_skip_deleted_result=True)
    assert ask("batch_delete_objects", quiet).data.deleted == []
    for objects in ([], [identify(object_name="x")] * 1001):
        many = m.BatchDeleteObjectsDetails(objects=objects)
        assert refusal(ask, "batch_delete_objects", many) == (400, "InvalidParameter")


def test_times_are_the_same_in_list_and_header(ask: Callable[..., Any]) -> None:
    """timeModified of a listing is Last-Modified with its fraction; an overwrite moves it."""
    ask("put_object", "a", b"1")
    (listed,) = ask("list_objects", fields="timeModified,timeCreated").data.objects
    shown = parsedate_to_datetime(ask("head_object", "a").headers["last-modified"])
    assert listed.time_modified.replace(microsecond=0) == shown
    ask("put_object", "a", b"2")
    assert ask("list_objects", fields="timeModified").data.objects[0].time_modified > listed.time_modified
