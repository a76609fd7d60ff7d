"""The local S3 holds any key byte for byte, and refuses what real S3 refuses."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import threading
import uuid
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers import Aws

HOSTILE = [
    *("a//b", "a//", "/lead", "//lead", "///", "dir/", "../x", "./y", "x/../y", ".", "..", "~"),
    *("a%2Fb", "%", "%zz", "%00", "a+b", "a b", " sp ", "a?b", "a?x=1&versioning", "a#b", "a&b=c", "a;b", "a*b"),
    *("a\x01b", "a\tb", "a\nb", "a\rb", "\x7f", "a\\b", "'q\"", "<x>&amp;"),
    *("ünï", "e\u0301", "\u00e9", "日本/語", "\ue000", "\ufffe", "\U00010000", "\U0001f600", "A", "a"),
    *("x" * 1024, "ü" * 512),
]
"""Every one is a key that S3 takes."""
IN_ORDER = sorted(HOSTILE, key=str.encode)


@pytest.fixture
def s3(moto: Aws) -> Any:
    return moto.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def hostile(_moto: Aws) -> str:
    """A bucket that holds every hostile key, its body the key itself."""
    client = _moto.client("s3")
    client.create_bucket(Bucket="hostile")
    for key in HOSTILE:
        client.put_object(Bucket="hostile", Key=key, Body=key.encode())
    return "hostile"


def refused(code: str, call: Callable[..., Any], **parameters: Any) -> None:
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    assert refusal.value.response["Error"]["Code"] == code


def raw(moto: Aws, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """One request as it stands, with names of headers like ``content_md5``."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(moto.url).port or 0, timeout=10)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body, {"Authorization": "anybody", **given})
    response = connection.getresponse()
    return response.status, response.read()


class TestKeys:
    def test_every_key_keeps_its_bytes(self, s3: Any, hostile: str) -> None:
        """What is put under a hostile key is got, headed and tagged under it, and under no other."""
        for key in HOSTILE:
            assert s3.get_object(Bucket=hostile, Key=key)["Body"].read() == key.encode()
            assert s3.head_object(Bucket=hostile, Key=key)["ContentLength"] == len(key.encode())
            assert s3.get_object_tagging(Bucket=hostile, Key=key)["TagSet"] == []

    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects", "list_object_versions"])
    @pytest.mark.parametrize("size", [1000, 7, 1])
    def test_listings_are_in_the_order_of_bytes(self, s3: Any, hostile: str, operation: str, size: int) -> None:
        """All pages together have every key once, in the order of its UTF-8 bytes, whatever their size."""
        pages = s3.get_paginator(operation).paginate(Bucket=hostile, PaginationConfig={"PageSize": size})
        field = "Versions" if operation == "list_object_versions" else "Contents"
        assert [item["Key"] for page in pages for item in page[field]] == IN_ORDER

    @pytest.mark.parametrize("after", ["a//b", "%", "é", "\ufffe", "\U00010000", "zzz", "\U0001f600", ""])
    def test_listings_start_after_any_text(self, s3: Any, hostile: str, after: str) -> None:
        """``start-after`` is exclusive, compares bytes, and need not be a key."""
        page = s3.list_objects_v2(Bucket=hostile, StartAfter=after)
        expected = [key for key in IN_ORDER if key.encode() > after.encode()]
        assert [item["Key"] for item in page.get("Contents", [])] == expected
        assert page["KeyCount"] == len(expected)

    @pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects", "list_object_versions"])
    @pytest.mark.parametrize("size", [1000, 2])
    def test_folders_are_common_prefixes(self, s3: Any, hostile: str, operation: str, size: int) -> None:
        """With a delimiter each common prefix comes once, over all pages, and the keys below it not at all."""
        pages = list(
            s3.get_paginator(operation).paginate(Bucket=hostile, Delimiter="/", PaginationConfig={"PageSize": size})
        )
        field = "Versions" if operation == "list_object_versions" else "Contents"
        keys = [item["Key"] for page in pages for item in page.get(field, [])]
        prefixes = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
        assert keys == [key for key in IN_ORDER if "/" not in key]
        assert prefixes == sorted({key[: key.index("/") + 1] for key in HOSTILE if "/" in key}, key=str.encode)

    def test_prefixes_are_texts(self, s3: Any, hostile: str) -> None:
        """A prefix matches from the start of the key, in any alphabet."""
        for prefix in ("a", "a/", "/", "日本/", "a+", "%", "a\n", "x" * 1024):
            page = s3.list_objects_v2(Bucket=hostile, Prefix=prefix)
            assert [item["Key"] for item in page.get("Contents", [])] == [
                k for k in IN_ORDER if k.startswith(prefix)
            ]

    def test_copies_keep_the_key(self, s3: Any, hostile: str, bucket: str) -> None:
        """Server-side copies read exactly the key that they name, whatever is in it."""
        for key in HOSTILE:
            s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": hostile, "Key": key})
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()

    def test_deletes_hit_one_key(self, s3: Any, hostile: str, bucket: str) -> None:
        """A key is deleted, in a batch or alone, and its neighbours stay; XML that cannot hold it is 400."""
        for key in HOSTILE:
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
        unspeakable = [key for key in HOSTILE if set(key) & {"\x01", "\ufffe"}]
        batch = [key for key in HOSTILE if key not in unspeakable]
        deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch[::2]]})
        assert sorted(item["Key"] for item in deleted["Deleted"]) == sorted(batch[::2])
        for key in unspeakable:
            refused("MalformedXML", s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": key}]})
            s3.delete_object(Bucket=bucket, Key=key)
        left = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        assert left == sorted(batch[1::2], key=str.encode)

    def test_keys_have_limits(self, moto: Aws, s3: Any, bucket: str) -> None:
        """1025 bytes are too long, bytes that are not UTF-8 are no key; both leave nothing behind."""
        refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="ü" * 512 + "x", Body=b"")
        assert raw(moto, "PUT", f"/{bucket}/%FF")[0] == 400
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    def test_raw_listings_escape(self, moto: Aws, s3: Any, bucket: str) -> None:
        """Keys are percent-encoded, ``+`` for a space, when the query asks for it; else XML's way."""
        s3.put_object(Bucket=bucket, Key="a b+c/\x01&", Body=b"")
        _, xml = raw(moto, "GET", f"/{bucket}?list-type=2&encoding-type=url")
        assert b"<Key>a+b%2Bc/%01%26</Key>" in xml
        assert b"<EncodingType>url</EncodingType>" in xml
        _, xml = raw(moto, "GET", f"/{bucket}?list-type=2")
        assert b"<Key>a b+c/&#x1;&amp;</Key>" in xml


class TestListing:
    @pytest.mark.parametrize(("asked", "got"), [("0", 0), ("1", 1), ("5000", 3)])
    def test_pages_have_sizes(self, s3: Any, bucket: str, asked: str, got: int) -> None:
        """max-keys is at most 1000, and 0 gives nothing and no further page."""
        for key in "abc":
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
        page = s3.list_objects_v2(Bucket=bucket, MaxKeys=int(asked))
        assert (page["KeyCount"], page["MaxKeys"]) == (got, min(int(asked), 1000))
        assert page["IsTruncated"] is (got == 1)

    def test_questions_that_make_no_sense(self, s3: Any, bucket: str) -> None:
        """A bad number, a token that we did not give, and a bucket that is not there are refused."""
        unchecked = {"Bucket": bucket, "MaxKeys": -1}
        refused("InvalidArgument", s3.list_objects_v2, **unchecked)
        refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, ContinuationToken="x")
        refused("NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket")

    def test_a_listing_is_of_now(self, s3: Any, bucket: str) -> None:
        """What was written or deleted is in the next listing, with size, ETag, time, class and algorithm."""
        s3.put_object(Bucket=bucket, Key="k", Body=b"one", StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
        (item,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert (item["Size"], item["ETag"]) == (3, f'"{hashlib.md5(b"one").hexdigest()}"')
        assert (item["StorageClass"], item["ChecksumAlgorithm"]) == ("STANDARD_IA", ["SHA256"])
        assert item["LastModified"] == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
        s3.delete_object(Bucket=bucket, Key="k")
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    def test_versions_and_markers(self, s3: Any, bucket: str) -> None:
        """Versions come newest first with their delete markers, in pages too; other listings hide deleted keys."""
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        ids = [s3.put_object(Bucket=bucket, Key="k", Body=text)["VersionId"] for text in (b"1", b"22")]
        marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
        s3.put_object(Bucket=bucket, Key="l", Body=b"")
        assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["l"]
        pages = list(
            s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
        )
        versions = [item for page in pages for item in page.get("Versions", [])]
        assert [(item["VersionId"], item["IsLatest"]) for item in versions[:2]] == [
            (ids[1], False),
            (ids[0], False),
        ]
        markers = [item for page in pages for item in page.get("DeleteMarkers", [])]
        assert [(item["VersionId"], item["IsLatest"]) for item in markers] == [(marker, True)]
        s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"22"

    def test_a_policy_may_deny_the_listing(self, s3: Any, bucket: str) -> None:
        """A bucket policy that denies s3:ListBucket or s3:GetObject is 403 AccessDenied."""
        arn, actions = f"arn:aws:s3:::{bucket}", ["s3:ListBucket", "s3:GetObject"]
        statement = {"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": [arn, f"{arn}/*"]}
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        refused("AccessDenied", s3.list_objects_v2, Bucket=bucket)
        refused("AccessDenied", s3.get_object, Bucket=bucket, Key="k")


class TestBodies:
    def test_what_was_damaged_is_refused(self, moto: Aws, s3: Any, bucket: str) -> None:
        """A body that does not match its MD5, SHA-256 or checksum is 400, and no object is made."""
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"body", ContentMD5=wrong)
        refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"body", ChecksumCRC32="AAAAAA==")
        refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"body", ChecksumCRC32C="AAAAAA==")
        status, xml = raw(moto, "PUT", f"/{bucket}/k", b"body", x_amz_content_sha256="0" * 64)
        assert (status, b"XAmzContentSHA256Mismatch" in xml) == (400, True)
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    @pytest.mark.parametrize("trailer", ["AAAAAA==", "4mdrcQ=="])
    def test_chunks_are_unwrapped(self, moto: Aws, s3: Any, bucket: str, trailer: str) -> None:
        """aws-chunked bodies are stored without their framing when the trailing checksum fits, else refused."""
        body = b"3;chunk-signature=x\r\nbod\r\n1\r\ny\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % trailer.encode()
        headers = {
            "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "content_encoding": "gzip,aws-chunked",
            "x_amz_decoded_content_length": "4",
            "x_amz_trailer": "x-amz-checksum-crc32",
        }
        fits = base64.b64decode(trailer) == zlib.crc32(b"body").to_bytes(4, "big")
        status, _ = raw(moto, "PUT", f"/{bucket}/k", body, **headers)
        assert status == (200 if fits else 400)
        if fits:
            got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
            assert (got["Body"].read(), got["ContentEncoding"], got["ChecksumCRC32"]) == (b"body", "gzip", trailer)

    def test_an_incomplete_body_is_refused(self, moto: Aws, bucket: str) -> None:
        """A chunked body that ends early is 400 IncompleteBody."""
        for body, length in ((b"9\r\nbody\r\n", "9"), (b"4\r\nbody\r\n0\r\n\r\n", "5"), (b"zz", "1")):
            status, xml = raw(
                moto,
                "PUT",
                f"/{bucket}/k",
                body,
                x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                x_amz_decoded_content_length=length,
            )
            assert (status, b"IncompleteBody" in xml) == (400, True)

    @pytest.mark.parametrize(
        "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/html"]
    )
    def test_the_content_type_does_not_matter(self, s3: Any, bucket: str, kind: str) -> None:
        """An object whose type is a form's is kept like any other, with its type."""
        s3.put_object(Bucket=bucket, Key="k", Body=b"key=value&acl=1&file=x", ContentType=kind)
        got = s3.get_object(Bucket=bucket, Key="k")
        assert (got["Body"].read(), got["ContentType"]) == (b"key=value&acl=1&file=x", kind)

    def test_metadata_comes_back(self, s3: Any, bucket: str) -> None:
        """Metadata, content headers and tags come back as they were; names with an underscore too."""
        s3.put_object(
            Bucket=bucket,
            Key="k",
            Body=b"",
            Metadata={"my_name": "one", "my-other-name": "two"},
            CacheControl="no-store",
            ContentDisposition="attachment",
            ContentLanguage="de",
            Tagging="a=b",
        )
        head = s3.head_object(Bucket=bucket, Key="k")
        assert head["Metadata"] == {"my_name": "one", "my-other-name": "two"}
        assert (head["CacheControl"], head["ContentDisposition"], head["ContentLanguage"]) == (
            "no-store",
            "attachment",
            "de",
        )
        assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [("bytes=0-3", 0, 4), ("bytes=5-", 5, 10), ("bytes=-3", 7, 10), ("bytes=8-99", 8, 10)],
    )
    def test_ranges(self, s3: Any, bucket: str, asked: str, start: int, end: int) -> None:
        """A range gives these bytes, 206 and where they stand."""
        s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
        got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
        assert got["Body"].read() == b"0123456789"[start:end]
        assert got["ContentRange"] == f"bytes {start}-{end - 1}/10"
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        refused("InvalidRange", s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-")

    def test_multipart(self, s3: Any, bucket: str) -> None:
        """Parts become one object with an ETag of parts; before that, and after an abort, there is no object."""
        parts = [os.urandom(5 << 20), os.urandom(1000)]
        upload = {"Bucket": bucket, "Key": "a//b"}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        etags = [s3.upload_part(**upload, PartNumber=n, Body=part)["ETag"] for n, part in enumerate(parts, 1)]
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
        named = {"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]}
        s3.complete_multipart_upload(**upload, MultipartUpload=named)
        got = s3.get_object(Bucket=bucket, Key="a//b")
        assert (got["Body"].read() == b"".join(parts), got["ETag"][-3:]) == (True, '-2"')
        upload["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
        s3.abort_multipart_upload(Bucket=bucket, Key="c", UploadId=upload["UploadId"])
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1

    def test_one_of_two_creates(self, s3: Any, bucket: str) -> None:
        """Of many writers with If-None-Match: * exactly one gets through; the others are 412."""
        results: list[int] = []

        def write(text: bytes) -> None:
            try:
                s3.put_object(Bucket=bucket, Key="k", Body=text, IfNoneMatch="*")
                results.append(200)
            except ClientError as error:
                results.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

        writers = [threading.Thread(target=write, args=(b"%d" % number,)) for number in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(results) == [200] + [412] * 7


class TestWire:
    def test_connections_stay_open(self, moto: Aws, s3: Any, bucket: str) -> None:
        """One connection carries request after request, also after an error with a body."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(moto.url).port or 0, timeout=10)
        connection.connect()
        mine = connection.sock.getsockname()
        for method, target, status in (
            ("PUT", "/nowhere/k", 404),
            ("PUT", f"/{bucket}/k", 200),
            ("GET", f"/{bucket}/k", 200),
        ):
            connection.request(method, target, b"x" * 100_000, {"Authorization": "anybody"})
            response = connection.getresponse()
            response.read()
            assert (response.status, connection.sock.getsockname()) == (status, mine)

    def test_chunked_transfer_is_read(self, moto: Aws, s3: Any, bucket: str) -> None:
        """A body in HTTP chunks is stored whole, and the next request on the connection is understood."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(moto.url).port or 0, timeout=10)
        for key in "ab":
            pieces = iter([b"one", b"two" * 1000])
            connection.request("PUT", f"/{bucket}/{key}", pieces, {"Authorization": "anybody"}, encode_chunked=True)
            assert connection.getresponse().read() == b""
        assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"one" + b"two" * 1000

    def test_presigned_addresses_work(self, s3: Any, bucket: str) -> None:
        """A presigned address needs no header."""
        s3.put_object(Bucket=bucket, Key="a b", Body=b"hello")
        with urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})) as response:
            assert response.read() == b"hello"

    def test_strangers_are_let_in_only_where_it_is_public(self, moto: Aws, s3: Any, bucket: str) -> None:
        """Without a signature a private object is 403 and a public one is read."""
        s3.put_object(Bucket=bucket, Key="private", Body=b"")
        s3.put_object(Bucket=bucket, Key="public", Body=b"hello", ACL="public-read")
        anonymous = moto.client("s3", config=Config(signature_version=UNSIGNED))
        assert anonymous.get_object(Bucket=bucket, Key="public")["Body"].read() == b"hello"
        refused("AccessDenied", anonymous.get_object, Bucket=bucket, Key="private")

    def test_other_services_are_motos(self, moto: Aws) -> None:
        """STS, SSM, KMS and SNS answer at the same address."""
        assert moto.client("sts").get_caller_identity()["Account"] == "123456789012"
        role = "arn:aws:iam::123456789012:role/sync"
        assumed = moto.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")
        assert assumed["AssumedRoleUser"]["Arn"].endswith(":assumed-role/sync/tests")
        moto.client("ssm").put_parameter(Name="/p", Value="v", Type="SecureString")
        assert moto.client("ssm").get_parameter(Name="/p", WithDecryption=True)["Parameter"]["Value"] == "v"
        assert moto.client("kms").create_key()["KeyMetadata"]["KeyId"]
        assert moto.client("sns").create_topic(Name="t")["TopicArn"]
        with urlopen(f"{moto.url}/latest/meta-data/iam/security-credentials/") as response:
            assert response.read()

    def test_web_identities_need_no_signature(self, moto: Aws) -> None:
        """AssumeRoleWithWebIdentity is anonymous and reaches STS, not S3."""
        sts = moto.client("sts", config=Config(signature_version=UNSIGNED))
        role, token = "arn:aws:iam::123456789012:role/sync", "e30.e30.e30"
        assumed = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="tests", WebIdentityToken=token)
        assert assumed["Credentials"]["SessionToken"]
