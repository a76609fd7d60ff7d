"""What the doctor takes for a bucket's listing."""

from __future__ import annotations

import json

import pytest

from keepstep.cli.running import run
from keepstep.doctor.buckets import OciBucket
from keepstep.errors import Error
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.settings import CloudSettings
from keepstep.stores.address import parse
from keepstep.stores.options import TransferOptions
from tests.stores.twisted_oci import TwistedOci
from tests.stores.twisted_oci import _twisted_cloud as _twisted_cloud
from tests.stores.twisted_oci import twisted_oci as twisted_oci

_OBJECT = {"name": "a", "size": 1, "etag": "e", "timeCreated": "2026-01-01T00:00:00Z"}


def first(bucket: TwistedOci) -> str | None:
    async def main() -> str | None:
        address = parse(f"oci://{bucket.name}@{bucket.namespace}/")
        found = OciBucket(Assembly(CloudSettings()), address, TransferOptions(), is_target=False)
        try:
            return await found.first()
        finally:
            await found.close()

    return run(main())


def test_the_first_key_of_oci(twisted_oci: TwistedOci) -> None:
    """The key that a listing shows, and None where there is nothing."""
    assert first(twisted_oci) is None
    twisted_oci.put("one", b"1")
    assert first(twisted_oci) == "one"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please sign in</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"objects": null}',
        b'{"objects": [null]}',
        b'{"objects": ["a"]}',
        b'{"objects": [{}]}',
        json.dumps({"objects": [_OBJECT | {"name": 7}]}).encode(),
        json.dumps({"objects": [_OBJECT | {"size": "1"}]}).encode(),
        json.dumps({"objects": {}}).encode(),
    ],
)
def test_what_is_no_listing_of_oci_is_an_error(twisted_oci: TwistedOci, body: bytes) -> None:
    """A page of a proxy and fields of other types are named for what they are, never a key and no traceback."""
    twisted_oci.proxy.add(match=r"^GET [^?]*/o\?", times=None, status=200, body=body)
    with pytest.raises(Error, match=r"no listing|is no"):
        first(twisted_oci)
