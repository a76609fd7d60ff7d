"""What objects become: headers, metadata, ACLs, encryption, storage classes, asked for on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.buckets import KEY, Buckets

HEADERS = {
    "--cache-control": ("CacheControl", "max-age=60"),
    "--content-disposition": ("ContentDisposition", "inline"),
    "--content-encoding": ("ContentEncoding", "gzip"),
    "--content-language": ("ContentLanguage", "de"),
    "--content-type": ("ContentType", "text/x-mine"),
    "--expires": ("ExpiresString", "Tue, 01 Jan 2030 00:00:00 GMT"),
    "--website-redirect": ("WebsiteRedirectLocation", "/elsewhere"),
    "--storage-class": ("StorageClass", "STANDARD_IA"),
}


def test_headers_of_uploads(buckets: Buckets) -> None:
    """Every header that is given stands with each uploaded object, and so does the metadata."""
    words = [word for option, (_, value) in HEADERS.items() for word in (option, value)]
    words[words.index("--expires") + 1] = "2030-01-01T00:00:00Z"
    ran = buckets.sync(
        buckets.folder(a_txt=b"1"), f"s3://{buckets.name}/in", *words, "--metadata", 'Owner=me,Note="a, b"'
    )
    assert (ran.code, ran.err) == (0, "")
    head = buckets.head("in/a.txt")
    assert {field: head.get(field) for field, _ in HEADERS.values()} == dict(HEADERS.values())
    assert head["Metadata"] == {"owner": "me", "note": "a, b"}


def test_types_are_guessed_unless_told_otherwise(buckets: Buckets) -> None:
    """A file's ending says its type; with --no-guess-mime-type the store's own default stands."""
    folder = buckets.folder(page_html=b"1", data=b"2")
    assert buckets.sync(folder, f"s3://{buckets.name}/guessed").code == 0
    assert buckets.sync(folder, f"s3://{buckets.name}/plain", "--no-guess-mime-type").code == 0
    types = {
        key: buckets.head(key)["ContentType"] for key in ("guessed/page.html", "guessed/data", "plain/page.html")
    }
    assert types["guessed/page.html"] == "text/html"
    assert types["guessed/data"] == types["plain/page.html"] == "binary/octet-stream"


def test_metadata_from_json_and_from_a_file(buckets: Buckets) -> None:
    """Metadata may be a JSON object, also in a file."""
    (buckets.tmp / "m.json").write_text('{"from": "a file"}')
    folder = buckets.folder(a=b"1")
    assert buckets.sync(folder, f"s3://{buckets.name}/1", "--metadata", '{"A": "b=c"}').code == 0
    assert (
        buckets.sync(folder, f"s3://{buckets.name}/2", "--metadata", f"file://{buckets.tmp / 'm.json'}").code == 0
    )
    assert buckets.head("1/a")["Metadata"] == {"a": "b=c"}
    assert buckets.head("2/a")["Metadata"] == {"from": "a file"}


def grants_of(buckets: Buckets, key: str) -> set[tuple[str, str]]:
    acl = buckets.s3.get_object_acl(Bucket=buckets.name, Key=key)
    return {
        (grant["Grantee"].get("URI", "owner").rpartition("/")[2], grant["Permission"]) for grant in acl["Grants"]
    }


def test_acl_and_grants(buckets: Buckets) -> None:
    """A canned ACL, or grants one by one, decide who may read an object."""
    folder = buckets.folder(a=b"1")
    everyone = "uri=http://acs.amazonaws.com/groups/global/AllUsers"
    signed_in = "uri=http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
    assert buckets.sync(folder, f"s3://{buckets.name}/acl", "--acl", "public-read").code == 0
    ran = buckets.sync(
        folder, f"s3://{buckets.name}/grants", "--grants", f"read={everyone}", f"readacl={signed_in}"
    )
    assert (ran.code, ran.err) == (0, "")
    assert ("AllUsers", "READ") in grants_of(buckets, "acl/a")
    assert {("AllUsers", "READ"), ("AuthenticatedUsers", "READ_ACP")} <= grants_of(buckets, "grants/a")


def test_encryption_by_the_store(buckets: Buckets) -> None:
    """--sse without a value is AES256; a key of KMS is named with the object."""
    folder = buckets.folder(a=b"1")
    assert buckets.sync(folder, f"s3://{buckets.name}/s3", "--sse").code == 0
    assert (
        buckets.sync(folder, f"s3://{buckets.name}/kms", "--sse", "aws:kms", "--sse-kms-key-id", "key-1").code == 0
    )
    assert buckets.head("s3/a")["ServerSideEncryption"] == "AES256"
    head = buckets.head("kms/a")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")


def test_large_objects_get_the_same(buckets: Buckets) -> None:
    """What travels in parts has headers, metadata, class and encryption as well."""
    folder = buckets.folder(big_csv=os.urandom(17 * 1024 * 1024))
    ran = buckets.sync(
        folder, f"s3://{buckets.name}/", "--sse", "--storage-class", "STANDARD_IA", "--metadata", "a=1",
        "--cache-control", "no-store", "--json",
    )  # fmt: skip
    assert ran.report["requests"]["UploadPart"] == 2
    head = buckets.head("big.csv")
    found = (head["StorageClass"], head["Metadata"], head["CacheControl"], head["ContentType"])
    assert found == ("STANDARD_IA", {"a": "1"}, "no-store", "text/csv")
    assert head["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize(
    "words",
    [
        ("--sse-c",),
        ("--sse-c-key", "x" * 32),
        ("--sse-c", "--sse-c-key", "short"),
        ("--sse-c-copy-source", "--sse-c-copy-source-key", "x" * 32),
        ("--checksum-mode", "ENABLED"),
        ("--metadata", "no-equals-sign"),
        ("--metadata", "a=1,a=2"),
        ("--metadata", "ä=1"),
        ("--expires", "some day"),
        ("--grants", "write=id=1"),
        ("--storage-class", "Archive"),
        ("--content-type", "file:///no/such/file"),
        ("--no-verify-ssl",),
    ],
)
def test_what_cannot_be_is_refused(buckets: Buckets, words: tuple[str, ...]) -> None:
    """An option that contradicts another one, or itself, ends with 2 before anything is sent, and is named."""
    ran = buckets.sync(buckets.folder(a=b"1"), f"s3://{buckets.name}/", *words)
    assert (ran.code, ran.out) == (2, "")
    assert words[0] in ran.err and "Traceback" not in ran.err
    assert "x" * 32 not in ran.err and "short" not in ran.err
    assert "Contents" not in buckets.s3.list_objects_v2(Bucket=buckets.name)


def test_no_key_is_ever_said(buckets: Buckets) -> None:
    """A key of the user's stands in nothing that is printed, reported or kept as state."""
    state = buckets.tmp / "state"
    ran = buckets.sync(
        buckets.folder(a=b"1", b=b"2" * (17 << 20)), f"s3://{buckets.name}/", "--sse-c", "--sse-c-key",
        buckets.key_file("key", KEY), "--json", "--verbose", "--explain", XDG_STATE_HOME=str(state),
    )  # fmt: skip
    assert ran.code == 0
    said = [ran.out.encode(), ran.err.encode(), *(path.read_bytes() for path in state.rglob("*") if path.is_file())]
    assert not [text for text in said if KEY in text or b"MDEyMzQ1Njc4" in text]


def test_options_without_effect_say_so(buckets: Buckets) -> None:
    """What shapes only the AWS CLI's own output is accepted, and said to have no effect."""
    ran = buckets.sync(
        buckets.folder(a=b"1"), f"s3://{buckets.name}/", "--output", "json", "--query", "x", "--color", "off",
        "--no-paginate", "--no-cli-pager",
    )  # fmt: skip
    assert (ran.code, ran.out.count("upload: ")) == (0, 1)
    for option in ("--output", "--query", "--color", "--no-paginate", "--no-cli-pager"):
        assert f"{option} has no effect" in ran.err


def test_checksums_of_uploads(buckets: Buckets) -> None:
    """The checksum that is asked for is stored with the object, and the body was compared with it."""
    folder = buckets.folder(a=b"123456789")
    expected = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "SHA1": "98O8HYCOBHMq32eZZczDTKeuNEE="}
    for algorithm, value in expected.items():
        ran = buckets.sync(folder, f"s3://{buckets.name}/{algorithm}", "--checksum-algorithm", algorithm)
        assert (ran.code, ran.err) == (0, "")
        head = buckets.head(f"{algorithm}/a", ChecksumMode="ENABLED")
        assert head[f"Checksum{algorithm}"] == value


def test_checksums_of_downloads(buckets: Buckets, tmp_path: Path) -> None:
    """With --checksum-mode a body that does not have its stored checksum is not kept."""
    buckets.s3.put_object(Bucket=buckets.name, Key="good", Body=b"123456789", ChecksumAlgorithm="CRC32")
    ran = buckets.sync(f"s3://{buckets.name}/", str(tmp_path / "d"), "--checksum-mode", "ENABLED")
    assert (ran.code, (tmp_path / "d" / "good").read_bytes()) == (0, b"123456789")
