"""Multipart uploads as the official SDK makes them, down to their failures."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient, UploadManager
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud

MIB = 1024 * 1024


def refusal(act: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        act(*arguments, **options)
    return raised.value.status, raised.value.code


class Upload:
    """A multipart upload by hand."""

    def __init__(self, client: ObjectStorageClient, namespace: str, bucket: str, name: str, **details: Any) -> None:
        self.client = client
        self.place = (namespace, bucket)
        self.name = name
        self.id = client.create_multipart_upload(
            *self.place, m.CreateMultipartUploadDetails(object=name, **details)
        ).data.upload_id
        self.etags: dict[int, str] = {}

    def part(self, number: int, content: bytes, **options: Any) -> Any:
        answer = self.client.upload_part(*self.place, self.name, self.id, number, content, **options)
        self.etags[number] = answer.headers["etag"]
        return answer

    def commit(self, *numbers: int, exclude: list[int] | None = None, **options: Any) -> Any:
        chosen = numbers or tuple(self.etags)
        parts = [m.CommitMultipartUploadPartDetails(part_num=n, etag=self.etags.get(n, "none")) for n in chosen]
        details = m.CommitMultipartUploadDetails(parts_to_commit=parts, parts_to_exclude=exclude)
        return self.client.commit_multipart_upload(*self.place, self.name, self.id, details, **options)

    def numbers(self) -> list[int]:
        return [
            each.part_number
            for each in self.client.list_multipart_upload_parts(*self.place, self.name, self.id).data
        ]


@pytest.fixture
def start(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> Callable[..., Upload]:
    return lambda name="big", **details: Upload(client, cloud.namespace, bucket, name, **details)


def test_two_hundred_megabytes_by_the_upload_manager(
    client: ObjectStorageClient, cloud: LocalCloud, bucket: str
) -> None:
    """UploadManager sends 200 MB in parallel parts; they come back the same, and the server stays small."""
    block = os.urandom(MIB)
    content = b"".join(block[i:] + block[:i] for i in range(200))
    manager = UploadManager(client, allow_parallel_uploads=True, parallel_process_count=3)
    stream = io.BytesIO(content)
    done = manager.upload_stream(cloud.namespace, bucket, "200", stream, part_size=20 * MIB, metadata={"a": "b"})
    assert done.headers["opc-multipart-md5"].endswith("-10")
    answer = client.get_object(cloud.namespace, bucket, "200")
    assert answer.headers["opc-multipart-md5"] == done.headers["opc-multipart-md5"]
    assert "content-md5" not in answer.headers
    received = hashlib.sha256()
    for chunk in answer.data.raw.stream(MIB, decode_content=False):
        received.update(chunk)
    assert received.digest() == hashlib.sha256(content).digest()
    status = Path(f"/proc/{cloud.pid}/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    assert int(peak.split()[1]) < 150 * 1024
    client.delete_object(cloud.namespace, bucket, "200")


def test_parts_become_one_object(start: Callable[..., Upload], client: ObjectStorageClient) -> None:
    """Parts in any order, one of them sent twice, give the object with what the upload said of it."""
    upload = start(content_type="text/csv", cache_control="no-store", metadata={"opc-meta-a": "1", "b": "2"})
    md5s = [hashlib.md5(content).digest() for content in (b"one", b"two" * 50_000)]
    upload.part(2, b"two" * 50_000)
    upload.part(1, b"wrong")
    assert upload.part(1, b"one").headers["opc-content-md5"] == base64.b64encode(md5s[0]).decode()
    assert upload.numbers() == [1, 2]
    assert refusal(client.get_object, *upload.place, "big") == (404, "ObjectNotFound")
    done = upload.commit()
    expected = base64.b64encode(hashlib.md5(b"".join(md5s)).digest()).decode() + "-2"
    assert done.headers["opc-multipart-md5"] == expected
    found = client.get_object(*upload.place, "big")
    assert found.data.content == b"one" + b"two" * 50_000
    assert found.headers["content-type"] == "text/csv" and found.headers["cache-control"] == "no-store"
    assert (found.headers["opc-meta-a"], found.headers["opc-meta-b"]) == ("1", "2")
    (listed,) = client.list_objects(*upload.place, fields="md5,size").data.objects
    assert (listed.md5, listed.size) == (expected, 150_003)
    assert refusal(upload.part, 3, b"late") == (404, "UploadNotFound")


def test_parts_may_be_left_out(start: Callable[..., Upload], client: ObjectStorageClient) -> None:
    """Each uploaded part is either committed under its ETag or excluded by number; anything else is refused."""
    upload = start()
    for number in (1, 2, 3):
        upload.part(number, b"%d" % number)
    assert refusal(upload.commit, 1, 3) == (400, "InvalidUploadPart")
    assert refusal(upload.commit, 1, 2, 3, 4) == (400, "InvalidUploadPart")
    assert refusal(upload.commit, 1, 2, exclude=[2, 3]) == (400, "InvalidUploadPart")
    upload.etags[1], right = "another", upload.etags[1]
    assert refusal(upload.commit) == (400, "InvalidUploadPart")
    upload.etags[1] = right
    upload.commit(1, 3, exclude=[2])
    assert client.get_object(*upload.place, "big").data.content == b"13"


def test_an_abort_leaves_nothing(
    start: Callable[..., Upload], client: ObjectStorageClient, cloud: LocalCloud
) -> None:
    """An aborted upload has no parts, no object, no file, and cannot be continued."""
    before = set((cloud.directory / "contents").iterdir())
    upload = start()
    upload.part(1, bytes(200_000))
    client.abort_multipart_upload(*upload.place, "big", upload.id)
    assert refusal(upload.commit, 1) == refusal(upload.part, 2, b"") == (404, "UploadNotFound")
    assert client.list_multipart_uploads(*upload.place).data == []
    assert set((cloud.directory / "contents").iterdir()) == before


def test_uploads_and_parts_are_listed_in_pages(start: Callable[..., Upload], client: ObjectStorageClient) -> None:
    """What is under way is listed by object, and its parts by number, in pages."""
    upload, _ = start("b"), start("a/ü")
    for number in (5, 3, 4):
        upload.part(number, b"x")
    first = client.list_multipart_uploads(*upload.place, limit=1)
    second = client.list_multipart_uploads(*upload.place, limit=1, page=first.headers["opc-next-page"])
    assert [each.object for each in first.data + second.data] == ["a/ü", "b"]
    assert "opc-next-page" not in second.headers
    parts = client.list_multipart_upload_parts(*upload.place, "b", upload.id, limit=2)
    rest = client.list_multipart_upload_parts(*upload.place, "b", upload.id, page=parts.headers["opc-next-page"])
    assert [each.part_number for each in parts.data + rest.data] == [3, 4, 5]
    assert (rest.data[0].size, rest.data[0].etag) == (1, upload.etags[5])


def test_a_part_is_checked(start: Callable[..., Upload]) -> None:
    """A part with another MD5, a number out of range or an unknown upload is refused."""
    upload = start()
    assert refusal(upload.part, 1, b"1", content_md5="AAAAAAAAAAAAAAAAAAAAAA==") == (400, "UnmatchedContentMD5")
    assert refusal(upload.part, 0, b"1") == refusal(upload.part, 10_001, b"1") == (400, "InvalidUploadPartNumber")
    assert upload.numbers() == []
    upload.name = "another"
    assert refusal(upload.part, 1, b"1") == (404, "UploadNotFound")


def test_a_commit_is_conditional(start: Callable[..., Upload], client: ObjectStorageClient) -> None:
    """if-none-match * holds at the commit, whoever wrote since the upload began; the upload can then go on."""
    upload = start()
    upload.part(1, b"mine")
    etag = client.put_object(*upload.place, "big", b"theirs").headers["etag"]
    assert refusal(upload.commit, if_none_match="*") == (412, "IfNoneMatchFailed")
    assert refusal(upload.commit, if_match="another") == (412, "IfMatchFailed")
    assert client.get_object(*upload.place, "big").data.content == b"theirs"
    upload.commit(if_match=etag)
    assert client.get_object(*upload.place, "big").data.content == b"mine"
