"""What OCI Object Storage answers counts when it proves something."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from keepstep.errors import Conflict, Corrupt, Error, Transient
from keepstep.stores.interface import Entry, Properties
from keepstep.stores.oci import OciStore
from keepstep.stores.options import TransferOptions
from tests.faultproxy import Answer
from tests.stores.twisted import replaced, upload, without
from tests.stores.twisted_oci import TwistedOci
from tests.stores.twisted_oci import _twisted_cloud as _twisted_cloud
from tests.stores.twisted_oci import twisted_oci as twisted_oci

NOTHING = Properties()
PART = 1024 * 1024
LARGE = bytes(range(256)) * 4096 + b"the end"
KEYS = ["a", "b/c", "ü"]
PAGES = [b"", b"<html>Please sign in</html>", b"{", b"null", b"[]", b"{}", b'"text"', b'{"uploadId": ""}']


@pytest.mark.parametrize("body", PAGES)
@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "UploadPart", "CommitMultipartUpload"])
def test_a_write_counts_when_its_answer_proves_it(twisted_oci: TwistedOci, operation: str, body: bytes) -> None:
    """A 200 that says nothing of an object, an upload or an MD5: the write has failed, and no object is claimed."""
    twisted_oci.twist(operation, status=200, body=body)

    async def write(store: OciStore) -> None:
        if operation == "PutObject":
            await store.put("key", b"contents", NOTHING)
        else:
            await upload(store, "key", LARGE, PART)

    with pytest.raises(Transient):
        twisted_oci.run(write)
    assert twisted_oci.keys() == []


def test_an_upload_that_is_there_is_found_in_spite_of_its_answer(twisted_oci: TwistedOci) -> None:
    """The service committed the upload and every answer was spoilt: the object's digest settles it."""
    twisted_oci.twist("CommitMultipartUpload", rewrite=replaced(b"<html>"))
    tag = twisted_oci.run(lambda store: upload(store, "key", LARGE, PART))
    assert twisted_oci.get("key") == LARGE
    assert tag.endswith("-2")


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_a_body_whose_md5_does_not_come_back_is_sent_again(twisted_oci: TwistedOci, operation: str) -> None:
    """An answer with another MD5 than that of the body: it is sent again, and given up when that does not help."""

    def other(answer: Answer) -> Answer:
        answer.headers["opc-content-md5"] = "1B2M2Y8AsgTpgAmY7PhCfg=="
        return answer

    twisted_oci.twist(operation, rewrite=other, times=1)

    async def write(store: OciStore) -> None:
        if operation == "PutObject":
            await store.put("key", LARGE, NOTHING)
        else:
            await upload(store, "key", LARGE, PART)

    twisted_oci.run(write)
    assert twisted_oci.get("key") == LARGE
    twisted_oci.twist(operation, rewrite=other)
    with pytest.raises(Transient, match="MD5 differs"):
        twisted_oci.run(write)


def test_a_commit_of_other_parts_is_noticed(twisted_oci: TwistedOci) -> None:
    """A commit that answers with another digest than that of the parts that were sent is not success."""

    def other(answer: Answer) -> Answer:
        answer.headers["opc-multipart-md5"] = "1B2M2Y8AsgTpgAmY7PhCfg==-2"
        return answer

    twisted_oci.twist("CommitMultipartUpload", rewrite=other)
    with pytest.raises(Corrupt):
        twisted_oci.run(lambda store: upload(store, "key", LARGE, PART))


def test_a_copy_has_a_work_request_that_completes(twisted_oci: TwistedOci) -> None:
    """CopyObject without a work request, or a work request without a state: not copied."""
    twisted_oci.put("from", b"contents")
    entry = twisted_oci.entry("from")

    async def copy(store: OciStore) -> None:
        to = OciStore(
            store.address.__class__(
                "oci", bucket=twisted_oci.name, namespace=store.address.namespace, prefix="to/"
            ),
            store._client,
        )
        await to.copy(store, entry)

    twisted_oci.twist("CopyObject", rewrite=without("opc-work-request-id"))
    with pytest.raises(Transient):
        twisted_oci.run(copy)
    twisted_oci.proxy.clear()
    for body in PAGES:
        twisted_oci.proxy.clear()
        twisted_oci.twist("GetWorkRequest", status=200, body=body)
        with pytest.raises(Transient):
            twisted_oci.run(copy)


def deleted(bucket: TwistedOci) -> dict[str, Error]:
    return bucket.run(lambda store: store.delete(KEYS))


@pytest.fixture
def full(twisted_oci: TwistedOci) -> TwistedOci:
    for key in [*KEYS, "other"]:
        twisted_oci.put(key, b"contents")
    return twisted_oci


def failed(status: int, message: str, name: str = "a") -> dict[str, Any]:
    return {"objectName": name, "statusCode": status, "errorMessage": message}


@pytest.mark.parametrize(
    "body",
    [
        *PAGES,
        b'{"failed": []}',
        b'{"deleted": null, "failed": []}',
        b'{"deleted": [], "failed": []}',
        json.dumps({"deleted": [], "failed": [failed(403, "no", "somebody else's")]}).encode(),
        json.dumps({"deleted": [{"objectName": "other"}], "failed": []}).encode(),
        b'{"deleted": [1, 2, 3], "failed": []}',
    ],
)
def test_an_answer_that_accounts_for_nothing_deletes_nothing(full: TwistedOci, body: bytes) -> None:
    """BatchDeleteObjects that answers 200 and does not mention the objects: every one of them has failed."""
    full.twist("BatchDeleteObjects", status=200, body=body)
    assert sorted(deleted(full)) == sorted(KEYS)
    assert len(full.keys()) == len(KEYS) + 1


@pytest.mark.parametrize(
    ("status", "code", "is_gone"),
    [
        (404, "ObjectNotFound", True),
        (404, "NotAuthorizedOrNotFound", False),
        (404, "BucketNotFound", False),
        (404, "", False),
        (403, "NotAuthorized", False),
    ],
)
def test_only_object_not_found_means_gone(full: TwistedOci, status: int, code: str, is_gone: bool) -> None:
    """A 404 in a batch may mean "forbidden": the object is asked for by itself, and only a clear answer counts."""
    batch = {
        "deleted": [{"objectName": "b/c"}, {"objectName": "ü"}],
        "failed": [failed(404, "either missing, or you are not authorized")],
    }
    full.twist("BatchDeleteObjects", status=200, body=json.dumps(batch).encode())
    full.twist("DeleteObject", status=status, body=json.dumps({"code": code, "message": "m"}).encode())
    assert list(deleted(full)) == ([] if is_gone else ["a"])


def test_what_is_gone_already_counts_as_deleted(full: TwistedOci) -> None:
    """Objects that somebody else removed meanwhile are not failures, whatever the batch says of them."""
    assert full.run(lambda store: store.delete(["a", "never there"])) == {}
    assert {"a"}.isdisjoint(full.keys())


@pytest.mark.parametrize("status", [501, 405, 400])
def test_a_gateway_without_batches_deletes_one_by_one(full: TwistedOci, status: int) -> None:
    """No BatchDeleteObjects: single deletes do it, and it is not asked for again."""
    full.twist("BatchDeleteObjects", status=status, body=b'{"code": "NotImplemented", "message": "no"}')

    async def work(store: OciStore) -> tuple[dict[str, Error], dict[str, Error]]:
        return await store.delete(KEYS[:2]), await store.delete(KEYS[2:])

    assert full.run(work) == ({}, {})
    assert full.keys() == ["other"]
    assert sum("batchDelete" in line for line in full.proxy.requests) == 1


async def read(store: OciStore, entry: Entry, limit: int = PART) -> bytes:
    """The whole object as an engine reads it: three times, when it does not arrive well."""
    for _ in range(2):
        with suppress(Corrupt):
            return await read_once(store, entry, limit)
    return await read_once(store, entry, limit)


async def read_once(store: OciStore, entry: Entry, limit: int) -> bytes:
    source = await store.open(entry, limit)
    data = bytes(source.first)
    while len(data) < source.size:
        data += bytes(await source.read(len(data), min(limit, source.size - len(data))))
    await source.close()
    return data


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_a_bit_that_flips_on_its_way_up_is_noticed(twisted_oci: TwistedOci, operation: str) -> None:
    """The service refuses the body, and it is sent again."""
    twisted_oci.twist(operation, corrupt_upload=999, times=1)

    async def write(store: OciStore) -> None:
        if operation == "PutObject":
            await store.put("key", LARGE, NOTHING)
        else:
            await upload(store, "key", LARGE, PART)

    twisted_oci.run(write)
    assert twisted_oci.get("key") == LARGE
    pattern = "/o/" if operation == "PutObject" else "/u/"
    sent = [line for line in twisted_oci.proxy.requests if line.startswith("PUT") and pattern in line]
    assert len(sent) == (2 if operation == "PutObject" else 3)


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256"])
@pytest.mark.parametrize("times", [0, 1, None], ids=["never", "once", "always"])
def test_the_cheapest_stored_checksum_is_compared(
    twisted_oci: TwistedOci, algorithm: str, times: int | None
) -> None:
    """An object with another checksum next to its MD5: that one is compared, and notices a flipped bit."""
    twisted_oci.run(
        lambda store: store.put("key", LARGE, NOTHING), options=TransferOptions(checksum_algorithm=algorithm)
    )
    entry = twisted_oci.entry("key")
    if times != 0:
        twisted_oci.twist("GetObject", corrupt=1000, times=times)
    if times is None:
        with pytest.raises(Corrupt, match=f"{algorithm} differs"):
            twisted_oci.run(lambda store: read(store, entry, 2 * PART))
    else:
        assert twisted_oci.run(lambda store: read(store, entry, 2 * PART)) == LARGE


@pytest.mark.parametrize("way", ["put", "parts"])
@pytest.mark.parametrize("limit", [PART // 2, 2 * PART])
@pytest.mark.parametrize("times", [0, 1, None], ids=["never", "once", "always"])
def test_a_flipped_bit_is_noticed(twisted_oci: TwistedOci, way: str, limit: int, times: int | None) -> None:
    """One bit changes on its way down: noticed, whether the object came in parts, and is read in ranges, or not."""

    async def write(store: OciStore) -> None:
        if way == "put":
            await store.put("key", LARGE, NOTHING)
        else:
            await upload(store, "key", LARGE, PART)

    twisted_oci.run(write)
    entry = twisted_oci.entry("key")
    if times != 0:
        twisted_oci.twist("GetObject", corrupt=1000, times=times)
    if times is None:
        with pytest.raises(Corrupt):
            twisted_oci.run(lambda store: read(store, entry, limit))
    else:
        assert twisted_oci.run(lambda store: read(store, entry, limit)) == LARGE


def test_a_service_that_ignores_if_match_mixes_nothing(twisted_oci: TwistedOci) -> None:
    """The object is replaced between two parts, and the new one is sent all the same: a conflict, not a mixture."""
    twisted_oci.put("key", LARGE)
    entry = twisted_oci.entry("key")

    async def work(store: OciStore) -> None:
        source = await store.open(entry, PART // 2)
        twisted_oci.put("key", LARGE[::-1])
        twisted_oci.proxy.add(match="^GET", times=None, drop="if-match")
        with pytest.raises(Conflict):
            await source.read(PART // 2, 1000)

    twisted_oci.run(work)


def test_an_object_that_shrank_to_nothing_is_read(twisted_oci: TwistedOci) -> None:
    """Listed with many bytes and empty by now: it has no first byte, and is an empty object."""
    twisted_oci.put("key", b"")
    entry = twisted_oci.entry("key")._replace(size=len(LARGE), etag="older")
    assert twisted_oci.run(lambda store: read(store, entry)) == b""
