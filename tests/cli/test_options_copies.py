"""Copies from one bucket of S3 to another: the server does them, and what they take over is what was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.buckets import KEY, OTHER, Buckets

MIB = 1024 * 1024
THERE = {
    "ContentType": "text/x-source",
    "CacheControl": "max-age=1",
    "ContentLanguage": "fr",
    "Metadata": {"from": "the source"},
    "Expires": "Tue, 01 Jan 2030 00:00:00 GMT",
}


@pytest.fixture
def other(buckets: Buckets) -> str:
    """A second bucket, whose object ``a`` has headers, metadata and tags."""
    bucket = buckets.new()
    buckets.s3.put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="colour=dark%20blue&b=2", **THERE)
    return bucket


def tags_of(buckets: Buckets, key: str) -> dict[str, str]:
    answer = buckets.s3.get_object_tagging(Bucket=buckets.name, Key=key)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def copied(buckets: Buckets, other: str, *words: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The copy's head and tags; no byte passed through here."""
    ran = buckets.sync(f"s3://{other}/", f"s3://{buckets.name}/", *words, "--json")
    assert ran.code == 0, ran.out + ran.err
    assert not {"GetObject", "PutObject"} & set(ran.report["requests"])
    return buckets.head("a"), tags_of(buckets, "a")


def test_everything_is_taken_over(buckets: Buckets, other: str) -> None:
    """Without an option a copy has the headers, the metadata and the tags of its source."""
    head, tags = copied(buckets, other)
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == (
        "text/x-source",
        "max-age=1",
        {"from": "the source"},
    )
    assert tags == {"colour": "dark blue", "b": "2"}


def test_nothing_is_taken_over(buckets: Buckets, other: str) -> None:
    """--copy-props none makes a copy of the bytes alone, with what the command line gives."""
    head, tags = copied(buckets, other, "--copy-props", "none", "--cache-control", "no-store")
    assert (head["CacheControl"], head["Metadata"], head.get("ContentLanguage"), tags) == ("no-store", {}, None, {})


def test_all_but_tags(buckets: Buckets, other: str) -> None:
    """--copy-props metadata-directive leaves the tags behind."""
    head, tags = copied(buckets, other, "--copy-props", "metadata-directive")
    assert (head["Metadata"], tags) == ({"from": "the source"}, {})


def test_one_header_changes_and_the_others_stay(buckets: Buckets, other: str) -> None:
    """A header that is given replaces the source's; the others, the metadata and the tags are the source's."""
    head, tags = copied(buckets, other, "--cache-control", "no-store")
    assert head["CacheControl"] == "no-store"
    assert (head["ContentType"], head["Metadata"]) == ("text/x-source", {"from": "the source"})
    assert tags == {"colour": "dark blue", "b": "2"}


def test_directives(buckets: Buckets, other: str) -> None:
    """--metadata-directive COPY keeps the source's whatever is given; REPLACE keeps nothing but tags."""
    head, _ = copied(buckets, other, "--metadata-directive", "COPY", "--metadata", "mine=1")
    assert head["Metadata"] == {"from": "the source"}
    buckets.s3.delete_object(Bucket=buckets.name, Key="a")
    head, tags = copied(buckets, other, "--metadata-directive", "REPLACE", "--metadata", "mine=1")
    assert (head["Metadata"], head.get("CacheControl")) == ({"mine": "1"}, None)
    assert tags == {"colour": "dark blue", "b": "2"}


@pytest.fixture
def small_parts(buckets: Buckets) -> dict[str, str | None]:
    """An AWS profile in whose eyes 6 MiB are large."""
    config = buckets.tmp / "aws-config"
    config.write_text("[default]\ns3 =\n  multipart_threshold = 6MB\n  multipart_chunksize = 5MB\n")
    return {"AWS_CONFIG_FILE": str(config)}


@pytest.mark.parametrize("tags", [{"colour": "dark blue"}, {f"key-{n}-ä": "ü" * 60 for n in range(9)}])
def test_copies_in_parts(buckets: Buckets, small_parts: dict[str, str | None], tags: dict[str, str]) -> None:
    """What is too large for one CopyObject is copied in parts, with headers, metadata and tags, few or many."""
    other, data = buckets.new(), os.urandom(12 * MIB + 7)
    buckets.s3.put_object(Bucket=other, Key="in/big", Body=data, **THERE)
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    buckets.s3.put_object_tagging(Bucket=other, Key="in/big", Tagging={"TagSet": tag_set})
    ran = buckets.sync(f"s3://{other}/in", f"s3://{buckets.name}/", "--json", **small_parts)
    assert ran.code == 0, ran.out
    requests = ran.report["requests"]
    assert (requests["UploadPartCopy"], requests["CompleteMultipartUpload"], ran.report["bytes"]) == (
        3,
        1,
        len(data),
    )
    assert not {"GetObject", "CopyObject"} & set(requests)
    head = buckets.head("big")
    assert (head["ContentType"], head["Metadata"]) == ("text/x-source", {"from": "the source"})
    assert tags_of(buckets, "big") == tags
    assert buckets.s3.get_object(Bucket=buckets.name, Key="big")["Body"].read() == data


def test_a_copy_in_parts_that_fails_leaves_nothing(
    buckets: Buckets, small_parts: dict[str, str | None], moto: Any
) -> None:
    """When a part cannot be copied, the upload is ended, no object appears, and the next run finishes."""
    other = buckets.new()
    buckets.s3.put_object(Bucket=other, Key="big", Body=os.urandom(12 * MIB))
    moto.fault("UploadPartCopy", {"status": 403}, after=1, times=9)
    ran = buckets.sync(f"s3://{other}/", f"s3://{buckets.name}/", **small_parts)
    assert ran.code == 1, ran.err
    assert "Uploads" not in buckets.s3.list_multipart_uploads(Bucket=buckets.name)
    assert "Contents" not in buckets.s3.list_objects_v2(Bucket=buckets.name)
    moto.clear_faults()
    assert buckets.sync(f"s3://{other}/", f"s3://{buckets.name}/", **small_parts).code == 0
    assert buckets.head("big")["ContentLength"] == 12 * MIB


def test_storage_class_and_encryption_of_copies(buckets: Buckets, other: str) -> None:
    """A copy's class and encryption are those that are asked for, its headers still the source's."""
    head, _ = copied(buckets, other, "--storage-class", "ONEZONE_IA", "--sse", "AES256")
    found = (head["StorageClass"], head["ServerSideEncryption"], head["Metadata"])
    assert found == ("ONEZONE_IA", "AES256", {"from": "the source"})


def test_another_region_is_copied_on_the_server_too(buckets: Buckets, other: str) -> None:
    """--source-region does not make the bytes pass through here."""
    head, _ = copied(buckets, other, "--source-region", "eu-west-1")
    assert head["Metadata"] == {"from": "the source"}


def test_customer_keys_on_both_sides(buckets: Buckets, tmp_path: Path) -> None:
    """An object is written with one key of ours, copied from it to another one, and read with that."""
    one, two = buckets.key_file("one", KEY), buckets.key_file("two", OTHER)
    first, second = f"s3://{buckets.name}/first", f"s3://{buckets.name}/second"
    assert buckets.sync(buckets.folder(a=b"secret"), first, "--sse-c", "--sse-c-key", one).code == 0
    ran = buckets.sync(
        first, second, "--sse-c", "AES256", "--sse-c-key", two,
        "--sse-c-copy-source", "--sse-c-copy-source-key", one,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    ran = buckets.sync(second, str(tmp_path / "back"), "--sse-c", "--sse-c-key", two)
    assert ran.code == 0, ran.err
    assert (tmp_path / "back" / "a").read_bytes() == b"secret"
