"""Addresses as users write them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.errors import ConfigError, ExitCode
from keepstep.stores.address import Address, parse

S3_POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dir", Address("local", path="dir")),
        ("./a b/", Address("local", path="./a b/")),
        (".", Address("local", path=".")),
        ("/", Address("local", path="/")),
        ("file:///a%20b/c", Address("local", path="/a b/c")),
        ("./s3:/bucket", Address("local", path="./s3:/bucket")),
        ("./a:b://c", Address("local", path="./a:b://c")),
        ("s3://bucket", Address("s3", bucket="bucket")),
        ("s3://bucket/", Address("s3", bucket="bucket")),
        ("s3://bucket/pre", Address("s3", bucket="bucket", prefix="pre/")),
        ("s3://bucket/pre/fix/", Address("s3", bucket="bucket", prefix="pre/fix/")),
        ("s3://bucket//pre", Address("s3", bucket="bucket", prefix="/pre/")),
        ("s3://bucket/a%20b?c#d", Address("s3", bucket="bucket", prefix="a%20b?c#d/")),
        (f"s3://{S3_POINT}/name/pre", Address("s3", bucket=f"{S3_POINT}/name", prefix="pre/")),
        (f"s3://{S3_POINT}:name/pre/x", Address("s3", bucket=f"{S3_POINT}:name", prefix="pre/x/")),
        (f"s3://{S3_POINT}/name", Address("s3", bucket=f"{S3_POINT}/name")),
        (
            f"s3://{OUTPOST}/op-1/accesspoint/n/x",
            Address("s3", bucket=f"{OUTPOST}/op-1/accesspoint/n", prefix="x/"),
        ),
        ("oci://b@ns", Address("oci", bucket="b", namespace="ns")),
        (
            "oci://ocid1.tenancy.oc1..aaaa@bling/",
            Address("oci", bucket="ocid1.tenancy.oc1..aaaa", namespace="bling"),
        ),
        ("oci://b@ns/FOCUS Reports", Address("oci", bucket="b", namespace="ns", prefix="FOCUS Reports/")),
    ],
)
def test_addresses_read_as_they_are_meant(text: str, address: Address) -> None:
    """A path, file, S3 with access points, and OCI; prefixes are folders, as for aws s3 sync."""
    assert parse(text) == address


def test_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tilde that the shell has left is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("~/x") == Address("local", path=str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "an empty path is not an address", "for this folder write ."),
        ("s3://", "no bucket named", "write it as s3://bucket/prefix"),
        ("s3:///key", "no bucket named", "write it as s3://bucket/prefix"),
        ("oci://bucket/prefix", "bucket or namespace missing", "write it as oci://bucket@namespace/prefix"),
        ("oci://@ns/prefix", "bucket or namespace missing", "write it as oci://bucket@namespace/prefix"),
        ("file://host/path", "a file address has three slashes", "write it as file:///path"),
        ("gs://bucket", "unknown kind of address gs://", "known are a path"),
        ("S3://bucket", "unknown kind of address S3://", "known are a path"),
        ("file:///a%00b", "is not an address", "write"),
    ],
)
def test_what_is_no_address_is_explained(text: str, message: str, hint: str) -> None:
    """Each slip has its message and what to write instead; exit 5."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.hint
    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.MISCONFIGURED


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_any_text_is_an_address_or_a_mistake(text: str) -> None:
    """Nothing that can be typed leads to another error."""
    with suppress(ConfigError):
        assert str(parse(text))


@pytest.mark.parametrize(
    ("address", "key", "shown"),
    [
        (Address("local", path="dir"), "a/b", "dir/a/b"),
        (Address("local", path="dir/"), "a", "dir/a"),
        (Address("local", path="/"), "a", "/a"),
        (Address("local", path="dir"), "/etc/passwd", "dir//etc/passwd"),
        (Address("local", path="dir"), "", "dir"),
        (Address("s3", bucket="b", prefix="p/"), "k", "s3://b/p/k"),
        (Address("oci", bucket="b", namespace="n", prefix="p/"), "k", "oci://b@n/p/k"),
        (Address("oci", bucket="b", namespace="n"), "", "oci://b@n/"),
    ],
)
def test_objects_are_shown_where_they_are(address: Address, key: str, shown: str) -> None:
    """The address of an object is its folder's and its key, also where the key looks like a path of its own."""
    assert address.of(key) == shown


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("remote:bucket/path", "s3://bucket/path or oci://bucket@namespace/path"),
        ("remote:", "s3://bucket/ or oci://bucket@namespace/"),
        ("my remote:b", "s3://b/ or oci://b@namespace/"),
        ("b2:bucket/x", "s3://bucket/x or"),
        ("gs:bucket", "s3://bucket/ or"),
        (":s3:bucket", "write "),
        ("s3:bucket/x", "s3://bucket/x;"),
        ("s3:/bucket/x", "s3://bucket/x;"),
        ("S3:bucket", "s3://bucket;"),
        ("S3://bucket/x", "s3://bucket/x"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("OCI://b@n/x", "oci://b@n/x"),
        ("oci:b@n/x", "oci://b@n/x;"),
        ("file:/tmp/x", "file:///tmp/x;"),
        ("arn:aws:s3:::bucket/x", "s3://bucket/x;"),
        ("host:path", "s3://path/ or"),
        ("host:/srv/path", "s3://srv/path or"),
        ("user@host:/srv", "a path of this machine"),
        ("C:\\data", "./C:\\data"),
        ("c:/data", "./c:/data"),
        ("D:", "./D:"),
        ("D:data", "./D:data"),
        ("\\\\server\\share", "with slashes"),
        (".\\dst", "with slashes"),
        ("12:30", "./12:30"),
        ("a:b://c", "./a:b://c"),
        ("a\\b:c", None),
        ("./remote:bucket/path", None),
        ("../remote:x", None),
        ("/remote:x", None),
        ("dir/remote:x", None),
        ("~/remote:x", None),
        ("file:///remote:x", None),
        ("a\\b", None),
        ("-x", None),
    ],
)
def test_addresses_of_other_tools(text: str, meant: str | None) -> None:
    """They are refused with what was probably meant, and are not folders unless they are written as paths."""
    if meant is None:
        assert parse(text).kind == "local"
        return
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert text in refused.value.message
    assert meant in (refused.value.hint or "")
