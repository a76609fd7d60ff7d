"""A bit that flips on its way up is noticed, whatever a store looks at, and each byte is hashed once."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keepstep.cli.running import run
from keepstep.errors import Error
from keepstep.stores.interface import Properties
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from tests.clouds.wire import Authority
from tests.faultproxy import Answer, FaultProxy
from tests.servers import Aws
from tests.stores.aws_front import AwsFront
from tests.stores.twisted import PART, TwistedBucket, few_attempts, upload
from tests.stores.twisted import twisted as twisted

MIB = 1024 * 1024
LARGE = random.Random(8).randbytes(4 * PART + 5)
"""Worth a trial."""
BLOCK = random.Random(9).randbytes(MIB)
MANY = 21
"""So many blocks are worth one as well."""
SERVERS = ("seaweed", "moto", "rclone", "localbucket", "ministack")
NOTHING = Properties()
DIGESTS = {"content-md5", "crc32", "crc32c", "crc64nvme", "sha256"}


class Bucket(TwistedBucket):
    """With what was said of every body that was sent under a user's name."""

    def __init__(self, aws: Aws, proxy: FaultProxy) -> None:
        super().__init__(aws, proxy)
        self.sent: list[tuple[str, ...]] = []
        self.hands_on = False
        """Whether the server takes no part twice."""

    def watch(self) -> None:
        def note(answer: Answer) -> Answer:
            names = [name.removeprefix("x-amz-checksum-") for name in answer.request]
            digests = {"crc" if name in ("crc32", "crc64nvme") else name for name in names if name in DIGESTS}
            is_signed = answer.request.get("x-amz-content-sha256") != "UNSIGNED-PAYLOAD"
            self.sent.append((*sorted(digests), *(["signed"] if is_signed else [])))
            return answer

        self.proxy.add(match=r"^PUT [^?]*/user", times=None, rewrite=note)


@pytest.fixture
def bucket(
    request: pytest.FixtureRequest, proxied: Callable[[str], FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    server: Aws = request.getfixturevalue(request.param)
    proxy = proxied(server.url)
    for name, value in {**server.env, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(name, value)
    with few_attempts():
        bucket = Bucket(server, proxy)
        bucket.hands_on = request.param == "rclone"
        yield bucket


def on(*servers: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bucket", servers, indirect=True)


async def put_many(store: S3Store, count: int = MANY) -> None:
    for number in range(count):
        await store.put(f"user-{number}", BLOCK, NOTHING)


async def after_trial(store: S3Store) -> None:
    """Enough whole objects for a trial, and its end."""
    await put_many(store)
    await store.bodies.close()


@on("rclone")
def test_a_part_that_cannot_be_sent_again_fails(bucket: Bucket) -> None:
    """A server that hands parts on as they come takes none twice: a flipped bit ends the upload, with no object."""
    bucket.proxy.add(match=r"^PUT .*/user\S*partNumber=2&", times=1, corrupt_upload=3)
    with pytest.raises(Error):
        bucket.run(lambda store: upload(store, "user", LARGE))
    assert bucket.keys() == []


@on("seaweed", "moto", "localbucket", "ministack")
@pytest.mark.parametrize("part", [0, 2, 4])
def test_a_bit_that_flips_in_a_part_is_noticed(bucket: Bucket, part: int) -> None:
    """One byte of one part changes on its way: the part is sent again, and nothing but the object is there."""
    bucket.proxy.add(match=rf"^PUT .*/user\S*partNumber={part + 1}&", times=1, corrupt_upload=3)
    bucket.run(lambda store: upload(store, "user", LARGE))
    assert bucket.get("user") == LARGE
    sent = [line for line in bucket.proxy.requests if "/user" in line and f"partNumber={part + 1}&" in line]
    assert len(sent) >= 2
    assert bucket.keys() == ["user"]


@on(*SERVERS)
def test_a_bit_that_flips_in_an_object_is_noticed(bucket: Bucket) -> None:
    """The same of whole objects, before anything is known of the store and afterwards."""

    async def work(store: S3Store) -> None:
        bucket.proxy.add(match=r"^PUT \S*/user-first ", times=1, corrupt_upload=1000)
        await store.put("user-first", BLOCK, NOTHING)
        await after_trial(store)
        bucket.proxy.add(match=r"^PUT \S*/user-last ", times=1, corrupt_upload=MIB - 1)
        await store.put("user-last", BLOCK, NOTHING)

    bucket.run(work)
    assert bucket.get("user-first") == bucket.get("user-last") == BLOCK
    for name in ("first", "last"):
        assert sum(f"/user-{name} " in line and line.startswith("PUT") for line in bucket.proxy.requests) >= 2
    assert len(bucket.keys()) == MANY + 2  # and nothing of the trial


MD5 = ("content-md5",)
CRC = ("crc",)
WAYS = {
    "seaweed": (CRC, CRC),
    "moto": (("signed",), ("signed",)),
    "rclone": (MD5, MD5),
    "localbucket": (MD5, MD5),
}
"""What goes with parts, and with whole objects, where the store has been tried: one digest, or an ETag compared."""


@on(*WAYS)
def test_a_body_goes_with_what_its_store_looks_at(bucket: Bucket, request: pytest.FixtureRequest) -> None:
    """One digest: a signed body over plain HTTP where that is looked at, else a CRC; MD5 and nothing else last."""
    bucket.watch()
    bucket.run(lambda store: upload(store, "user", LARGE))
    parts, bucket.sent = bucket.sent, []

    async def work(store: S3Store) -> None:
        await after_trial(store)
        bucket.sent.clear()
        await store.put("user", BLOCK, NOTHING)

    bucket.run(work)
    assert (set(parts), set(bucket.sent)) == tuple({way} for way in WAYS[request.node.callspec.params["bucket"]])


@on("seaweed")
def test_little_is_not_worth_a_trial(bucket: Bucket) -> None:
    """Few and small objects, and an upload of few parts: no request more than they need."""

    async def work(store: S3Store) -> object:
        await put_many(store, 3)
        await upload(store, "user", LARGE[: PART + 1])
        return store.requests

    expected = {"PutObject": 3, "CreateMultipartUpload": 1, "UploadPart": 2, "CompleteMultipartUpload": 1}
    assert bucket.run(work) == expected


@on("seaweed")
def test_a_store_is_tried_once(bucket: Bucket) -> None:
    """Two large objects at a time: one trial, of four requests where a CRC is looked at."""
    import asyncio

    async def work(store: S3Store) -> int:
        await asyncio.gather(upload(store, "user-1", LARGE), upload(store, "user-2", LARGE))
        return store.requests.total()

    assert bucket.run(work) == 2 * (1 + 5 + 1) + 1 + 3 + 1


@on("moto", "seaweed")
@pytest.mark.parametrize(
    "fault",
    [
        {"match": r"^POST \S*/\.keepstep-", "status": 403},
        {"match": r"^POST \S*/\.keepstep-", "status": 400},
        {"match": r"^PUT \S*/\.keepstep-", "status": 403},
        {"match": r"^PUT \S*/\.keepstep-", "status": 503},
        {"match": r"^PUT \S*/\.keepstep-", "status": 200, "headers": {"etag": '"1"'}},
        {"match": r"^PUT \S*/\.keepstep-", "cut_upload": 1},
    ],
    ids=["no upload", "no such upload", "denied", "away", "anything goes", "cut"],
)
def test_a_trial_that_fails_weakens_nothing(bucket: Bucket, fault: dict[str, Any]) -> None:
    """Then the MD5 is compared: a flipped bit is noticed, and nothing of the trial is left."""
    bucket.proxy.add(times=None, **fault)
    bucket.watch()

    async def work(store: S3Store) -> None:
        await upload(store, "user", LARGE)
        bucket.proxy.faults.insert(
            0, bucket.proxy.add(match=r"^PUT \S*/user\S*partNumber=2&", times=1, corrupt_upload=9)
        )
        await upload(store, "user", LARGE)

    bucket.run(work)
    assert bucket.get("user") == LARGE
    assert "crc" not in {digest for digests in bucket.sent for digest in digests}
    assert bucket.keys() == ["user"]
    assert bucket.uploads() == []


@on("moto")
def test_a_store_that_knows_no_checksums_is_tried_without(bucket: Bucket) -> None:
    """It refuses an upload that announces them, and looks at what is signed: that is found out, and used."""

    def refuse(answer: Answer) -> Answer:
        is_unknown = any(name.startswith("x-amz-checksum") for name in answer.request)
        return Answer(400, {}, b"<Error><Code>InvalidArgument</Code></Error>") if is_unknown else answer

    bucket.proxy.add(match=r"^POST \S*/\.keepstep-\S*uploads", times=None, rewrite=refuse)
    bucket.watch()
    bucket.run(lambda store: upload(store, "user", LARGE))
    assert set(bucket.sent) == {("signed",)}
    assert bucket.get("user") == LARGE


@on("moto")
def test_what_looks_at_parts_alone_is_found_out(bucket: Bucket) -> None:
    """A store that checks parts alone: what was tried is deleted, and whole objects stay compared."""
    bucket.proxy.add(match=r"^PUT \S*/\.keepstep-[^?]* ", times=None, drop="x-amz-content-sha256")

    async def work(store: S3Store) -> None:
        await after_trial(store)
        bucket.proxy.add(match=r"^PUT \S*/user-last ", times=1, drop="x-amz-content-sha256", corrupt_upload=5)
        await store.put("user-last", BLOCK, NOTHING)
        assert store.requests["DeleteObject"] == 1

    bucket.run(work)
    assert bucket.get("user-last") == BLOCK
    assert len(bucket.keys()) == MANY + 1


@on("moto")
def test_what_cannot_be_removed_is_named(bucket: Bucket) -> None:
    """A run that may not abort uploads says which one it left, and goes on."""
    bucket.proxy.add(match=r"^DELETE \S*/\.keepstep-", times=None, status=403)

    async def work(store: S3Store) -> list[str]:
        await upload(store, "user", LARGE)
        return store.notices

    [notice] = bucket.run(work)
    assert "/.keepstep-" in notice
    assert "could not be removed" in notice
    assert bucket.get("user") == LARGE


@on("moto")
def test_unsigned_bodies_that_are_refused_later_are_signed(bucket: Bucket) -> None:
    """A store that takes unsigned parts in the trial and refuses the user's: they are signed, and arrive."""
    bucket.proxy.add(match=r"^PUT \S*/\.keepstep-", times=None, drop="x-amz-content-sha256")

    def refuse(answer: Answer) -> Answer:
        is_unsigned = answer.request.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
        return Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>") if is_unsigned else answer

    bucket.proxy.add(match=r"^PUT \S*/user", times=None, rewrite=refuse)

    async def work(store: S3Store) -> int:
        await upload(store, "user", LARGE)
        await after_trial(store)
        return store.requests["UploadPart"]

    assert bucket.run(work) <= 3 + 5 + 5
    assert bucket.get("user") == LARGE


@on("moto")
def test_a_refusal_of_both_ways_is_told(bucket: Bucket) -> None:
    """A user who may not write is told so, in whichever way the body was sent."""
    bucket.proxy.add(match=r"^PUT \S*/\.keepstep-", times=None, drop="x-amz-content-sha256")
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    bucket.proxy.add(match=r"^PUT \S*/user", times=None, status=403, body=denied)
    with pytest.raises(Error, match="AccessDenied"):
        bucket.run(lambda store: upload(store, "user", LARGE))


@on("seaweed", "moto", "rclone", "ministack")
@pytest.mark.parametrize("algorithm", ["", "CRC32", "SHA256"])
def test_a_large_upload_is_continued(bucket: Bucket, algorithm: str) -> None:
    """Parts that an earlier run sent are kept where their checksums are told, and sent again where not."""
    options = TransferOptions(checksum_algorithm=algorithm)

    async def work(store: S3Store) -> None:
        begun = await store.begin("user", len(LARGE), PART, NOTHING)
        for number in range(2):
            await begun.write(number, LARGE[number * PART : (number + 1) * PART])
        again = await store.resume("user", begun.token, len(LARGE), PART)
        if again is None:  # it lists no parts
            again = await store.begin("user", len(LARGE), PART, NOTHING)
        if not bucket.hands_on:
            bucket.proxy.add(match=r"^PUT \S*/user\S*partNumber=4&", times=1, corrupt_upload=9)
        for number in set(range(5)) - again.done:
            await again.write(number, LARGE[number * PART : (number + 1) * PART])
        await again.commit()

    bucket.run(work, options)
    assert bucket.get("user") == LARGE


@on("moto")
def test_a_store_that_is_closed_in_a_trial_leaves_nothing(bucket: Bucket) -> None:
    """The run ends while its trial is under way: what was made is removed first."""
    bucket.proxy.add(match=r"^PUT \S*/\.keepstep-", times=None, latency=0.3)

    async def main() -> None:
        store = bucket.store()
        await put_many(store)
        await store.close()

    run(main())
    assert bucket.uploads() == []
    assert len(bucket.keys()) == MANY


@pytest.fixture
def aws(
    moto: Aws, proxied: Callable[[str], FaultProxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """A bucket of AWS itself, as far as a client can see: its name has a dot, so that it stands in the path."""
    proxy, authority = proxied(moto.url), Authority(tmp_path)
    context = authority.server_context("s3.us-east-1.amazonaws.com")
    with AwsFront(proxy.url, context) as front, few_attempts():
        env = {name: value for name, value in moto.env.items() if "ENDPOINT" not in name}
        for name, value in {**env, "HTTPS_PROXY": front.url, "AWS_CA_BUNDLE": str(authority.bundle)}.items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(moto, proxy)
        bucket.name = f"twisted.{uuid.uuid4().hex[:10]}"
        bucket.s3.create_bucket(Bucket=bucket.name)
        yield bucket
        assert any("amazonaws.com" in line for line in front.requests)


async def both_kinds(store: S3Store) -> object:
    await store.put("user-small", BLOCK, NOTHING)
    await upload(store, "user-large", LARGE)
    return store.requests


def test_aws_gets_one_checksum_over_tls(aws: Bucket) -> None:
    """No trial, no signature over bodies, no MD5: a CRC with each, and the parts' again at the end."""
    aws.watch()
    expected = {"PutObject": 1, "CreateMultipartUpload": 1, "UploadPart": 5, "CompleteMultipartUpload": 1}
    assert aws.run(both_kinds) == expected
    assert set(aws.sent) == {CRC}
    assert (aws.get("user-small"), aws.get("user-large")) == (BLOCK, LARGE)


@pytest.mark.parametrize("which", [r"/user-small ", r"/user-large\S*partNumber=3&"])
def test_aws_refuses_a_flipped_bit(aws: Bucket, which: str) -> None:
    """It answers BadDigest, and the body is sent again."""
    aws.proxy.add(match=rf"^PUT \S*{which}", times=1, corrupt_upload=77)
    aws.run(both_kinds)
    assert (aws.get("user-small"), aws.get("user-large")) == (BLOCK, LARGE)
    assert len([line for line in aws.proxy.requests if line.startswith("PUT")]) == 1 + 5 + 1


def test_a_policy_that_demands_signed_bodies_gets_them(aws: Bucket) -> None:
    """A bucket that denies ``UNSIGNED-PAYLOAD`` denies the first of each kind, and all that follow are signed."""

    def refuse(answer: Answer) -> Answer:
        is_unsigned = answer.request.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
        return Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>") if is_unsigned else answer

    aws.proxy.add(match=r"^PUT \S*/user", times=None, rewrite=refuse)

    async def work(store: S3Store) -> None:
        await put_many(store, 3)
        await upload(store, "user-1", LARGE)
        assert (store.requests["PutObject"], store.requests["UploadPart"]) == (4, 6)

    aws.run(work)
    assert aws.get("user-1") == LARGE


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256"])
def test_the_checksum_that_is_asked_for_is_the_one(aws: Bucket, algorithm: str) -> None:
    """``--checksum-algorithm``: this one and no other goes with bodies, and the store keeps it."""
    aws.watch()
    aws.run(both_kinds, TransferOptions(checksum_algorithm=algorithm))
    assert {len(digests) for digests in aws.sent} == {1}
    head = aws.s3.head_object(Bucket=aws.name, Key="user-small", ChecksumMode="ENABLED")
    assert f"Checksum{algorithm}" in head


def test_a_large_upload_to_aws_is_continued(aws: Bucket) -> None:
    """Parts that are there have the checksums that the upload's end has to name: none is sent twice."""

    async def work(store: S3Store) -> frozenset[int]:
        begun = await store.begin("user", len(LARGE), PART, NOTHING)
        for number in range(2):
            await begun.write(number, LARGE[number * PART : (number + 1) * PART])
        again = await store.resume("user", begun.token, len(LARGE), PART)
        assert again
        done = again.done
        for number in set(range(5)) - done:
            await again.write(number, LARGE[number * PART : (number + 1) * PART])
        await again.commit()
        return done

    assert aws.run(work) == {0, 1}
    assert aws.get("user") == LARGE
