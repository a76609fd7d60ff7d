"""The same options where one side is OCI: what it has works there, what it has not is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.cli.buckets import KEY, OTHER
from tests.cli.conftest import MainJob, Ran
from tests.cli.inprocess import keepstep
from tests.cli.test_pairs import Places

MIB = 1024 * 1024


class Oci:
    """Buckets of OCI, the command that syncs with them, and Oracle's client that looks at them."""

    def __init__(self, job: MainJob, tmp_path: Path) -> None:
        self.places = Places(job, tmp_path)
        self.tmp = tmp_path
        self._job = job
        config = oci.config.from_file(str(job.cloud.config))
        self.client = oci.object_storage.ObjectStorageClient(config, service_endpoint=job.cloud.endpoint)

    def sync(self, *words: str) -> Ran:
        return keepstep("sync", *words, env={**self._job.variables})

    def folder(self, **files: bytes) -> str:
        folder = self.places.new("local")
        for name, data in files.items():
            self.places.put(folder, name, data)
        return folder

    def head(self, address: str, key: str, **rest: Any) -> Any:
        bucket, prefix = Places._split(address)
        return self.client.head_object(self._job.cloud.namespace, bucket, prefix + key, **rest).headers

    def key_file(self, name: str, key: bytes) -> str:
        (self.tmp / name).write_bytes(key)
        return f"fileb://{self.tmp / name}"


@pytest.fixture
def world(main_job: MainJob, tmp_path: Path) -> Oci:
    return Oci(main_job, tmp_path)


def test_headers_metadata_and_tier(world: Oci) -> None:
    """Headers, metadata and the storage tier are kept by OCI too, for small objects and for large ones."""
    there = world.places.new("oci")
    ran = world.sync(
        world.folder(small=b"1", large=os.urandom(17 * MIB)), there, "--content-type", "text/x-mine",
        "--cache-control", "no-store", "--metadata", "a=1", "--storage-class", "STANDARD_IA",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    for key in ("small", "large"):
        head = world.head(there, key)
        found = [head[name] for name in ("content-type", "cache-control", "opc-meta-a", "storage-tier")]
        assert found == ["text/x-mine", "no-store", "1", "InfrequentAccess"]


def test_archive_tier_by_its_own_name(world: Oci) -> None:
    """OCI's word for a tier is understood as well; what is archived there is then skipped with a warning."""
    there = world.places.new("oci")
    assert world.sync(world.folder(a=b"1"), there, "--storage-class", "Archive").code == 0
    ran = world.sync(there, str(world.tmp / "back"))
    assert (ran.code, "archived" in ran.err) == (2, True)
    assert world.sync(there, str(world.tmp / "back"), "--ignore-glacier-warnings").code == 0


def test_customer_keys(world: Oci) -> None:
    """Objects are written with a key of ours, copied by the service to another key, and read with that alone."""
    first, second = world.places.new("oci"), world.places.new("oci")
    one, two = world.key_file("one", KEY), world.key_file("two", OTHER)
    files = {"small": b"secret", "large": os.urandom(17 * MIB)}
    assert world.sync(world.folder(**files), first, "--sse-c", "--sse-c-key", one).code == 0
    ran = world.sync(
        first,
        second,
        "--sse-c",
        "--sse-c-key",
        two,
        "--sse-c-copy-source",
        "--sse-c-copy-source-key",
        one,
        "--json",
    )
    assert ran.code == 0, ran.out
    assert (ran.report["requests"]["CopyObject"], "GetObject" in ran.report["requests"]) == (2, False)
    assert world.sync(second, str(world.tmp / "wrong"), "--sse-c", "--sse-c-key", one).code == 1
    assert world.sync(second, str(world.tmp / "right"), "--sse-c", "--sse-c-key", two).code == 0
    assert world.places.contents(str(world.tmp / "right")) == files


def test_key_of_a_vault(world: Oci) -> None:
    """--sse-kms-key-id names a key of a vault by its OCID; --sse aws:kms alone means nothing there."""
    there = world.places.new("oci")
    ran = world.sync(world.folder(a=b"1"), there, "--sse-kms-key-id", "ocid1.key.oc1..a")
    assert (ran.code, ran.err) == (0, "")
    ran = world.sync(world.folder(a=b"1"), there, "--sse", "aws:kms")
    assert (ran.code, "--sse-kms-key-id" in ran.err) == (2, True)


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256"])
def test_checksums(world: Oci, algorithm: str) -> None:
    """The checksums that OCI knows are sent and kept, of whole objects and of parts."""
    there = world.places.new("oci")
    folder = world.folder(a=b"123456789", big=os.urandom(17 * MIB))
    ran = world.sync(folder, there, "--checksum-algorithm", algorithm)
    assert (ran.code, ran.err) == (0, "")
    assert world.head(there, "a")[f"opc-content-{algorithm.lower()}"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--acl", "private"), "--acl"),
        (("--grants", "read=id=1"), "--grants"),
        (("--website-redirect", "/x"), "--website-redirect"),
        (("--expires", "2030-01-01"), "--expires"),
        (("--request-payer",), "--request-payer"),
        (("--storage-class", "ONEZONE_IA"), "ONEZONE_IA"),
        (("--checksum-algorithm", "CRC64NVME"), "CRC64NVME"),
        (("--acl", "private", "--request-payer"), "--acl, --request-payer"),
    ],
)
def test_what_oci_has_not_is_refused(world: Oci, words: tuple[str, ...], named: str) -> None:
    """An option that OCI has nothing like is refused by its name, exit 2, before anything is sent."""
    there = world.places.new("oci")
    ran = world.sync(world.folder(a=b"1"), there, *words)
    assert (ran.code, ran.out, named in ran.err) == (2, "", True)
    assert world.places.keys(there) == []


def test_s3_keeps_its_options_when_the_other_side_is_oci(world: Oci) -> None:
    """From OCI to S3 everything that S3 has works, and the source's headers travel along."""
    here, there = world.places.new("oci"), world.places.new("s3")
    world.places.put(here, "a", b"1")
    ran = world.sync(here, there, "--acl", "public-read", "--storage-class", "ONEZONE_IA", "--request-payer")
    assert (ran.code, ran.err) == (0, "")
    assert world.places.contents(there) == {"a": b"1"}


def test_the_service_copies(world: Oci) -> None:
    """Within OCI the service copies: no byte passes through here, headers and metadata are the source's."""
    here, there = world.places.new("oci"), world.places.new("oci")
    ran = world.sync(world.folder(a=b"1", b=b"2"), here, "--content-type", "text/x-mine", "--metadata", "a=1")
    assert ran.code == 0
    ran = world.sync(here, there, "--json")
    assert (ran.code, ran.report["counts"]["copy"]) == (0, 2)
    assert not {"GetObject", "PutObject"} & set(ran.report["requests"])
    assert world.head(there, "a")["content-type"] == "text/x-mine"
    other = world.places.new("oci")
    assert world.sync(here, other, "--metadata", "b=2", "--storage-class", "InfrequentAccess").code == 0
    head = world.head(other, "a")
    assert (head["opc-meta-b"], "opc-meta-a" in head, head["storage-tier"]) == ("2", False, "InfrequentAccess")


def test_what_the_service_cannot_change_passes_through_here(world: Oci) -> None:
    """A header that is given for copies within OCI is set, though CopyObject has no word for it."""
    here, there = world.places.new("oci"), world.places.new("oci")
    world.places.put(here, "a", b"1")
    ran = world.sync(here, there, "--cache-control", "no-store", "--json")
    assert (ran.code, "CopyObject" in ran.report["requests"]) == (0, False)
    assert world.head(there, "a")["cache-control"] == "no-store"


def test_a_service_that_may_not_copy(world: Oci, main_job: MainJob) -> None:
    """Where no policy lets the service copy, it is asked once, and the bytes pass through here."""
    here, there = world.places.new("oci"), world.places.new("oci")
    for key in "abcd":
        world.places.put(here, key, key.encode())
    main_job.cloud.fault("CopyObject", times=99, status=404)
    ran = world.sync(here, there, "--jobs", "1", "--json")
    assert (ran.code, ran.report["counts"]["copy"], ran.report["requests"]["CopyObject"]) == (0, 4, 1)
    assert world.places.contents(there) == {key: key.encode() for key in "abcd"}
