"""A bucket behind a proxy that twists answers, and what the bucket really holds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import stamina

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry, Store
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_headers import s3_headers
from tests.faultproxy import Answer, Fault, FaultProxy
from tests.servers import Aws

T = TypeVar("T")
Rewrite = Callable[[Answer], Answer | None]

PART = 5 * 1024 * 1024

REQUESTS = {
    "AbortMultipartUpload": r"^DELETE .*uploadId=",
    "CompleteMultipartUpload": r"^POST .*\?uploadId=",
    "CopyObject": r"^PUT [^?]* ",
    "CreateMultipartUpload": r"^POST .*\?uploads",
    "DeleteObject": r"^DELETE [^?]* ",
    "DeleteObjects": r"^POST .*\?delete",
    "GetObject": r"^GET [^?]*/[^/?]+/[^?]* ",
    "HeadObject": r"^HEAD ",
    "ListParts": r"^GET .*uploadId=",
    "PutObject": r"^PUT [^?]* ",
    "UploadPart": r"^PUT .*partNumber=",
    "UploadPartCopy": r"^PUT .*partNumber=",
}
"""By operation: the request line, as the proxy sees it."""


class TwistedBucket:
    """A fresh bucket; the store speaks to it through ``proxy``, :attr:`s3` (boto3) does not."""

    def __init__(self, aws: Aws, proxy: FaultProxy) -> None:
        self.s3 = aws.client("s3")
        self.proxy = proxy
        self.name = f"twisted-{uuid.uuid4().hex[:10]}"
        self.s3.create_bucket(Bucket=self.name)

    def store(self, options: TransferOptions | None = None, *, is_target: bool = True) -> S3Store:
        options = options or TransferOptions()
        client = S3Client(self.name, AwsIdentity(AwsSettings()), headers=s3_headers(options, is_target=is_target))
        return S3Store(Address("s3", bucket=self.name), client, options)

    def run(
        self,
        work: Callable[[S3Store], Awaitable[T]],
        options: TransferOptions | None = None,
        *,
        is_target: bool = True,
    ) -> T:
        """Runs ``work(store)`` and closes the store."""

        async def main() -> T:
            store = self.store(options, is_target=is_target)
            try:
                return await work(store)
            finally:
                await store.close()

        return run(main())

    def twist(self, operation: str, **fault: Any) -> Fault:
        """As :meth:`FaultProxy.add`, for the requests of one operation; it lasts unless told otherwise."""
        return self.proxy.add(match=REQUESTS[operation], **{"times": None, **fault})

    def asked(self, operation: str) -> int:
        """How many requests of the operation the proxy has seen."""
        return sum(re.search(REQUESTS[operation], line) is not None for line in self.proxy.requests)

    def put(self, key: str, data: bytes, **rest: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=data, **rest)

    def get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.name, Key=key)["Body"].read())

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def uploads(self) -> list[Any]:
        return list(self.s3.list_multipart_uploads(Bucket=self.name).get("Uploads", ()))

    def entry(self, key: str) -> Entry:
        head = self.s3.head_object(Bucket=self.name, Key=key)
        time = int(head["LastModified"].timestamp() * 1e6)
        return Entry(key, head["ContentLength"], time, head["ETag"].strip('"'))


def replaced(body: bytes = b"", status: int = 200, **headers: str) -> Rewrite:
    """The server does what it is asked; its answer is this one."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda answer: Answer(status, {"content-type": "text/html", **named}, body)


def without(*names: str) -> Rewrite:
    """The answer, without some of its headers."""

    def rewrite(answer: Answer) -> Answer:
        for name in names:
            answer.headers.pop(name, None)
        return answer

    return rewrite


def cut(count: int) -> Rewrite:
    """The answer's body up to its last ``count`` bytes, as if it were the whole one."""

    def rewrite(answer: Answer) -> Answer:
        answer.body = answer.body[:-count]
        return answer

    return rewrite


@contextmanager
def few_attempts() -> Iterator[None]:
    """A fault that lasts is given up without pauses."""
    with stamina.set_testing(True, attempts=2):
        yield


async def upload(store: Store, key: str, data: bytes, part: int = PART) -> str:
    """A large object in parts."""
    from keepstep.stores.interface import Properties

    begun = await store.begin(key, len(data), part, Properties())
    for number in range(-(-len(data) // part)):
        await begun.write(number, data[number * part : (number + 1) * part])
    return await begun.commit()


@pytest.fixture
def twisted(
    moto: Aws, proxied: Callable[[str], FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwistedBucket]:
    proxy = proxied(moto.url)
    for name, value in {**moto.env, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(name, value)
    with few_attempts():
        yield TwistedBucket(moto, proxy)
