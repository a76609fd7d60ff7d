"""Any string is an object's name: kept byte for byte, through the SDK and over the raw path."""

from __future__ import annotations

import pytest
from oci.object_storage import ObjectStorageClient

from keepstep_localcloud.server import LocalCloud
from tests.localcloud.rawclient import RawClient, segment

HOSTILE = [
    "a//b",
    "//",
    "/leading",
    "trailing/",
    ".",
    "..",
    "../x",
    "../../../../etc/passwd",
    "a/./b/../c",
    "%2F",
    "a%00b",
    "a+b c",
    "a?b=c&d#e",
    "tab\there",
    "bell\x07 escape\x1b[31m delete\x7f",
    " spaces at the ends ",
    "back\\slash",
    "'\"<>|*",
    "u\u0308 is not \u00fc",
    "\U0001f600/\ufffe\uffff",
    "\u202etxt.exe",
    "x" * 1024,
    "\u20ac" * 341,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_a_name(client: ObjectStorageClient, cloud: LocalCloud, bucket: str, name: str) -> None:
    """Put, head, get, list and delete by the SDK mean this very object, and no other file or object is touched."""
    place = (cloud.namespace, bucket)
    client.put_object(*place, name, name.encode())
    client.put_object(*place, name + "2" if len(name) < 300 else "2", b"another")
    assert client.get_object(*place, name).data.content == name.encode()
    assert client.head_object(*place, name).headers["content-length"] == str(len(name.encode()))
    assert name in [each.name for each in client.list_objects(*place, prefix=name).data.objects]
    client.delete_object(*place, name)
    assert len(client.list_objects(*place).data.objects) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_may_be_spelled_in_two_ways(raw: RawClient, path: str, name: str) -> None:
    """A slash in the path may be encoded or not, as different SDKs send it: it is the same object."""
    assert raw.put(f"{path}/o/{segment(name)}", b"1").status == 200
    assert raw.call("GET", f"{path}/o/{segment(name).replace('%2F', '/')}").body == b"1"


@pytest.mark.parametrize("name", ["x" * 1025, "\u20ac" * 342, "nul\0", "line\nfeed", "carriage\rreturn"])
def test_what_cannot_be_a_name(raw: RawClient, path: str, name: str) -> None:
    """More than 1024 bytes, NUL, LF and CR are refused ("Object Names" of the documentation)."""
    answer = raw.put(f"{path}/o/{segment(name)}", b"1")
    assert (answer.status, answer.code) == (400, "InvalidObjectName")
