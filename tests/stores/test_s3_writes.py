"""What is written to S3 counts when the answer proves it; what an answer does not prove is repeated, or failed."""

from __future__ import annotations

import random
from xml.sax.saxutils import escape

import pytest

from keepstep.errors import Conflict, Denied, Error, Transient
from keepstep.secret import Secret
from keepstep.stores.interface import Entry, Properties
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_answers import Unencrypted
from tests.faultproxy import Answer
from tests.stores.twisted import PART, Rewrite, TwistedBucket, cut, replaced, upload, without
from tests.stores.twisted import twisted as twisted

NOTHING = Properties()
LARGE = random.Random(5).randbytes(PART + 1000)
BLANKS = b'<?xml version="1.0" encoding="UTF-8"?>\n' + b" " * 600
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

UNPROVED: dict[str, Rewrite] = {
    "blanks, then an error": replaced(BLANKS + INTERNAL),
    "an error with a namespace": replaced(b'<x:Error xmlns:x="urn:x"><x:Code>InternalError</x:Code></x:Error>'),
    "an error after much more blanks": replaced(BLANKS * 1 + b" " * 100_000 + INTERNAL),
    "nothing": replaced(b""),
    "blanks": replaced(b" " * 100),
    "a page of HTML": replaced(b"<!DOCTYPE html><html><body><h1>Please sign in</h1><br></body></html>"),
    "a page of XHTML": replaced(b"<html><body>Welcome</body></html>"),
    "JSON": replaced(b'{"status": "ok"}'),
    "cut before its end": cut(5),
    "cut in the middle": cut(60),
    "bytes": replaced(b"\x00\xff\xfe<CompleteMultipartUploadResult>"),
    "another document": replaced(b"<ListBucketResult><ETag>&quot;1&quot;</ETag></ListBucketResult>"),
    "no ETag": replaced(b"<CompleteMultipartUploadResult><Bucket>b</Bucket></CompleteMultipartUploadResult>"),
}
"""Answers of 200 that prove nothing."""


@pytest.fixture(params=list(UNPROVED), ids=lambda name: name.replace(" ", "-"))
def unproved(request: pytest.FixtureRequest) -> Rewrite:
    return UNPROVED[request.param]


def never_done(rewrite: Rewrite) -> dict[str, object]:
    """The proxy answers in the server's place, which learns of nothing."""
    answer = rewrite(
        Answer(200, {}, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
    )
    assert answer
    return {"status": 200, "body": answer.body, "headers": answer.headers}


def test_a_completed_upload_is_one_whose_answer_says_so(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """CompleteMultipartUpload that answers 200 and did nothing: the upload fails, and no object is claimed."""
    twisted.twist("CompleteMultipartUpload", **never_done(unproved))
    with pytest.raises(Transient):
        twisted.run(lambda store: upload(store, "large", LARGE))
    assert twisted.keys() == []


def test_an_upload_whose_answer_was_spoilt_once_is_repeated(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """CompleteMultipartUpload that did nothing once is asked for again, and the object is whole."""
    twisted.twist("CompleteMultipartUpload", times=1, **never_done(unproved))
    twisted.run(lambda store: upload(store, "large", LARGE))
    assert twisted.get("large") == LARGE


def test_an_upload_that_is_there_is_found_in_spite_of_its_answer(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """The store did it and every answer was spoilt: the object itself settles it."""
    twisted.twist("CompleteMultipartUpload", rewrite=unproved)
    tag = twisted.run(lambda store: upload(store, "large", LARGE))
    assert twisted.get("large") == LARGE
    assert tag == twisted.entry("large").etag


def test_a_late_refusal_is_told_as_it_is(twisted: TwistedBucket) -> None:
    """A 200 that ends with AccessDenied is a refusal: it is not repeated, and its words are shown."""
    twisted.twist("CompleteMultipartUpload", status=200, body=BLANKS + DENIED)
    with pytest.raises(Denied, match="AccessDenied"):
        twisted.run(lambda store: upload(store, "large", LARGE))
    assert twisted.asked("CompleteMultipartUpload") == 1


def test_a_copy_counts_when_its_answer_says_so(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """CopyObject that answers 200 without a whole CopyObjectResult: the copy fails."""
    twisted.put("from", b"contents")

    async def copy(store: S3Store) -> None:
        entry = twisted.entry("from")
        twisted.twist("CopyObject", **never_done(unproved))
        target = S3Store(store.address.__class__("s3", bucket=twisted.name, prefix="to/"), store._client)
        await target.copy(store, entry)

    with pytest.raises(Transient):
        twisted.run(copy)
    assert twisted.keys() == ["from"]


def test_a_copy_in_parts_counts_when_each_answer_says_so(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """UploadPartCopy without a whole CopyPartResult: the copy fails, and no parts stay behind."""
    twisted.put("from", LARGE)
    options = TransferOptions(multipart_threshold=PART, multipart_chunksize=PART)

    async def copy(store: S3Store) -> None:
        entry = twisted.entry("from")
        twisted.twist("UploadPartCopy", **never_done(unproved))
        address = store.address.__class__("s3", bucket=twisted.name, prefix="to/")
        await S3Store(address, store._client, options).copy(store, entry)

    with pytest.raises(Transient):
        twisted.run(copy, options)
    assert twisted.keys() == ["from"]
    assert twisted.uploads() == []


def test_an_upload_begins_when_it_has_a_name(twisted: TwistedBucket, unproved: Rewrite) -> None:
    """CreateMultipartUpload without an InitiateMultipartUploadResult that names the upload: it fails."""
    twisted.twist("CreateMultipartUpload", **never_done(unproved))
    with pytest.raises(Transient):
        twisted.run(lambda store: upload(store, "large", LARGE))
    assert twisted.asked("UploadPart") == 0


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "body": b"<html>Please sign in</html>"},
        {"status": 200, "body": INTERNAL, "headers": {"etag": '"0123"'}},
        {"status": 204},
        {"status": 200, "headers": {"etag": '""'}},
    ],
    ids=["a page", "an error", "nothing", "an empty ETag"],
)
def test_bodies_count_when_they_have_an_etag(
    twisted: TwistedBucket, operation: str, answer: dict[str, object]
) -> None:
    """PutObject and UploadPart that answer without an ETag, or with an error, have proved nothing."""
    twisted.twist(operation, **answer)

    async def write(store: S3Store) -> None:
        if operation == "PutObject":
            await store.put("small", b"contents", NOTHING)
        else:
            await upload(store, "large", LARGE)

    with pytest.raises(Transient):
        twisted.run(write)
    assert twisted.keys() == []


KMS = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
PROMISES: list[tuple[TransferOptions, str]] = [
    (TransferOptions(sse="AES256"), "x-amz-server-side-encryption"),
    (TransferOptions(sse="aws:kms"), "x-amz-server-side-encryption"),
    (TransferOptions(sse="aws:kms", kms_key=KMS), "x-amz-server-side-encryption-aws-kms-key-id"),
    (TransferOptions(target_key=Secret(bytes(32))), "x-amz-server-side-encryption-customer-algorithm"),
    (TransferOptions(target_key=Secret(bytes(32))), "x-amz-server-side-encryption-customer-key-md5"),
]


@pytest.mark.parametrize("way", ["put", "parts", "copy"])
@pytest.mark.parametrize(("options", "header"), PROMISES, ids=[header for _, header in PROMISES])
def test_encryption_that_is_not_confirmed_is_a_failure(
    twisted: TwistedBucket, options: TransferOptions, header: str, way: str
) -> None:
    """An answer without the header that confirms the encryption: failed, named; nothing is left in clear."""
    twisted.put("from", b"contents")
    entry = twisted.entry("from")
    for operation in ("PutObject", "CreateMultipartUpload"):
        twisted.twist(operation, rewrite=without(header))

    async def write(store: S3Store) -> None:
        if way == "put":
            await store.put("to/from", b"contents", NOTHING)
        elif way == "parts":
            await upload(store, "to/from", LARGE)
        else:
            await S3Store(store.address.__class__("s3", bucket=twisted.name, prefix="to/"), store._client).copy(
                store, entry
            )

    with pytest.raises(Unencrypted, match=f"{header}: is missing"):
        twisted.run(write, options)
    assert twisted.keys() == ["from"]
    assert twisted.uploads() == []


@pytest.mark.parametrize(
    ("asked", "told", "is_confirmed"),
    [
        (KMS, KMS, True),
        (KMS.rpartition("/")[2], KMS, True),
        ("alias/backups", KMS, True),
        (KMS, KMS[:-1] + "3", False),
        ("alias/backups", "", False),
    ],
)
def test_the_key_that_encrypts_is_the_one_that_was_asked_for(
    twisted: TwistedBucket, asked: str, told: str, is_confirmed: bool
) -> None:
    """A KMS key is confirmed by its ARN, whether its id or its ARN was asked for; an alias by any key."""
    header = "x-amz-server-side-encryption-aws-kms-key-id"

    def tell(answer: Answer) -> Answer:
        answer.headers[header] = told
        return answer

    twisted.twist("PutObject", rewrite=tell)
    options = TransferOptions(sse="aws:kms", kms_key=asked)

    async def write(store: S3Store) -> None:
        await store.put("key", b"contents", NOTHING)

    if is_confirmed:
        twisted.run(write, options)
        assert twisted.keys() == ["key"]
    else:
        with pytest.raises(Unencrypted):
            twisted.run(write, options)
        assert twisted.keys() == []


def needs_md5(twisted: TwistedBucket, operation: str, code: str = "InvalidRequest") -> None:
    """The bucket takes bodies of this operation with Content-MD5 alone, as a bucket with Object Lock does."""
    message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
    body = f"<Error><Code>{code}</Code><Message>{message} parameters</Message></Error>".encode()

    def refuse(answer: Answer) -> Answer:
        return answer if "content-md5" in answer.request else Answer(400, {}, body)

    twisted.twist(operation, rewrite=refuse)


@pytest.mark.parametrize("code", ["InvalidRequest", "MissingContentMD5"])
def test_a_bucket_that_asks_for_an_md5_gets_it(twisted: TwistedBucket, code: str) -> None:
    """Object Lock: every body goes with its MD5, and none is refused."""
    needs_md5(twisted, "PutObject", code)
    needs_md5(twisted, "UploadPart", code)

    async def write(store: S3Store) -> None:
        await store.put("a", b"first", NOTHING)
        await store.put("b", b"second", NOTHING)
        await upload(store, "large", LARGE)

    twisted.run(write)
    assert (twisted.get("a"), twisted.get("b"), twisted.get("large")) == (b"first", b"second", LARGE)
    assert twisted.asked("PutObject") == 2
    assert twisted.asked("UploadPart") == 2


def plain_etag(answer: Answer) -> Answer:
    """Every ETag as a store writes it that knows no MD5: ``"v-..."``."""
    if "etag" in answer.headers:
        answer.headers["etag"] = '"v-' + answer.headers["etag"].strip('"') + '"'
    return answer


def test_etags_need_not_be_hex_for_a_lost_answer(twisted: TwistedBucket) -> None:
    """Parts whose ETags are not hex digits, and a lost answer to the end of the upload: the object settles it."""

    def complete(answer: Answer) -> Answer | None:
        return None

    def raw(answer: Answer) -> Answer:
        return plain_etag(answer)

    for operation in ("UploadPart", "HeadObject"):
        twisted.twist(operation, rewrite=raw)
    twisted.twist("CompleteMultipartUpload", status=404, body=b"<Error><Code>NoSuchUpload</Code></Error>")

    async def write(store: S3Store) -> str:
        begun = await store.begin("large", len(LARGE), PART, NOTHING)
        await begun.write(0, LARGE[:PART])
        await begun.write(1, LARGE[PART:])
        twisted.proxy.add(match="^HEAD ", times=1, status=404)  # nothing was there before
        twisted.proxy.faults.insert(0, twisted.proxy.faults.pop())
        twisted.put("large", LARGE)  # as the try did whose answer was lost
        return await begun.commit()

    assert twisted.run(write).startswith("v-")


@pytest.mark.parametrize("other", [b"", LARGE[1:], LARGE], ids=["none", "of another size", "an older one"])
def test_another_object_is_not_taken_for_the_upload(twisted: TwistedBucket, other: bytes) -> None:
    """A lost answer, and under the key is nothing, an object of another size, or the one that was there before."""
    if other:
        twisted.put("large", other)
    for operation in ("UploadPart", "HeadObject"):
        twisted.twist(operation, rewrite=plain_etag)
    twisted.twist("CompleteMultipartUpload", status=404, body=b"<Error><Code>NoSuchUpload</Code></Error>")
    with pytest.raises(Error, match="not what was sent"):
        twisted.run(lambda store: upload(store, "large", LARGE))


@pytest.mark.parametrize(
    ("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed"), (404, ""), (400, "X")]
)
def test_a_store_that_lists_no_parts_begins_again(twisted: TwistedBucket, status: int, code: str) -> None:
    """Without ListParts an interrupted upload cannot be continued: it is removed, and a new one may begin."""
    body = f"<Error><Code>{escape(code)}</Code></Error>".encode() if code else b""

    async def work(store: S3Store) -> object:
        begun = await store.begin("large", len(LARGE), PART, NOTHING)
        await begun.write(0, LARGE[:PART])
        twisted.twist("ListParts", status=status, body=body)
        return await store.resume("large", begun.token, len(LARGE), PART)

    assert twisted.run(work) is None
    if status != 404:
        assert twisted.uploads() == []


def copied(twisted: TwistedBucket, entry: Entry) -> None:
    """Within the bucket, in parts where the object is large."""
    options = TransferOptions(multipart_threshold=PART, multipart_chunksize=PART)

    async def copy(store: S3Store) -> None:
        address = store.address.__class__("s3", bucket=twisted.name, prefix="to/")
        await S3Store(address, store._client, options).copy(store, entry)

    twisted.run(copy, options)


def test_a_copy_in_parts_is_of_one_state(twisted: TwistedBucket) -> None:
    """The source is replaced while its parts are copied, and the store ignores the condition: not copied."""
    twisted.put("key", LARGE)
    entry = twisted.entry("key")

    def replace(answer: Answer) -> Answer:
        twisted.put("key", LARGE[::-1])
        return answer

    twisted.twist("UploadPartCopy", rewrite=replace, times=1)
    twisted.proxy.add(match=r"^PUT .*partNumber=", times=None, drop="x-amz-copy-source-if-match")
    with pytest.raises(Conflict):
        copied(twisted, entry)
    assert twisted.keys() == ["key"]
    assert twisted.uploads() == []


def test_an_object_that_shrank_to_nothing_is_copied(twisted: TwistedBucket) -> None:
    """Listed large enough for parts, and empty by now: nothing has no parts, and is copied at once."""
    twisted.put("key", b"")
    copied(twisted, twisted.entry("key")._replace(size=len(LARGE)))
    assert twisted.get("to/key") == b""
