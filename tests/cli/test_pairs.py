"""Every pair of places: what is at one side arrives at the other, whatever it is called and however large it is."""

from __future__ import annotations

import itertools
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.cli.conftest import MainJob

KINDS = ("local", "s3", "oci")
MIB = 1024 * 1024
FILES = {
    "empty": b"",
    "a.txt": b"small",
    "a/b/c d+e%20.csv": b"1,2\n" * 1000,
    "ünï/日本.bin": random.Random(1).randbytes(70_000),
    "large.bin": random.Random(2).randbytes(16 * MIB + 5),
}


class Places:
    """Fresh folders and buckets, by kind, and what they hold."""

    def __init__(self, job: MainJob, tmp_path: Path) -> None:
        self._job = job
        self._tmp = tmp_path
        config = oci.config.from_file(str(job.cloud.config))
        self._s3 = job.aws.client("s3")
        self._oci = oci.object_storage.ObjectStorageClient(config, service_endpoint=job.cloud.endpoint)

    def new(self, kind: str) -> str:
        name = f"pair-{uuid.uuid4().hex[:10]}"
        match kind:
            case "local":
                (self._tmp / name).mkdir()
                return str(self._tmp / name)
            case "s3":
                self._s3.create_bucket(Bucket=name)
                return f"s3://{name}/in/"
            case _:
                details = oci.object_storage.models.CreateBucketDetails(
                    name=name, compartment_id=self._job.cloud.tenancy
                )
                self._oci.create_bucket(self._job.cloud.namespace, details)
                return f"oci://{name}@{self._job.cloud.namespace}/in/"

    def put(self, address: str, key: str, data: bytes) -> None:
        """By a client that is not ours."""
        bucket, prefix = self._split(address)
        if address.startswith("s3://"):
            self._s3.put_object(Bucket=bucket, Key=prefix + key, Body=data)
        elif address.startswith("oci://"):
            self._oci.put_object(
                self._job.cloud.namespace, bucket, prefix + key, data, enable_strict_url_encoding=True
            )
        else:
            path = Path(address) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def keys(self, address: str) -> list[str]:
        """By a client that is not ours; relative to the address."""
        bucket, prefix = self._split(address)
        if address.startswith("s3://"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", ())]
        if address.startswith("oci://"):
            return [name[len(prefix) :] for name in self._oci_names(bucket, prefix)]
        return [str(path.relative_to(address)) for path in Path(address).rglob("*") if path.is_file()]

    def contents(self, address: str) -> dict[str, bytes]:
        """By a client that is not ours."""
        return {key: self._get(address, key) for key in self.keys(address)}

    def _get(self, address: str, key: str) -> bytes:
        bucket, prefix = self._split(address)
        if address.startswith("s3://"):
            return bytes(self._s3.get_object(Bucket=bucket, Key=prefix + key)["Body"].read())
        if address.startswith("oci://"):
            answer = self._oci.get_object(
                self._job.cloud.namespace, bucket, prefix + key, enable_strict_url_encoding=True
            )
            return bytes(answer.data.content)
        return (Path(address) / key).read_bytes()

    def _oci_names(self, bucket: str, prefix: str) -> Iterator[str]:
        start: str | None = ""
        while start is not None:
            page = self._oci.list_objects(
                self._job.cloud.namespace, bucket, prefix=prefix, start=start, allow_control_chars=True
            ).data
            yield from (item.name for item in page.objects)
            start = page.next_start_with

    @staticmethod
    def _split(address: str) -> tuple[str, str]:
        place, _, prefix = address.partition("://")[2].partition("/")
        return place.partition("@")[0], prefix


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


def often(pairs: list[tuple[str, str]], *chosen: tuple[str, str]) -> list[Any]:
    """Those that are chosen run every time, the others with the long tests."""
    return [pytest.param(*pair, marks=[] if pair in chosen else pytest.mark.long) for pair in pairs]


PAIRS = often(
    list(itertools.product(KINDS, KINDS)), ("local", "s3"), ("s3", "local"), ("local", "oci"), ("oci", "s3")
)
CLOUDS = often(list(itertools.product(("s3", "oci"), ("s3", "oci"))), ("oci", "s3"))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_pair(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """Small, empty, large and oddly named objects arrive; nothing moves twice; what is deleted is deleted."""
    here, there = places.new(source), places.new(target)
    for key, data in FILES.items():
        places.put(here, key, data)
    time.sleep(1)  # S3 shows whole seconds: a copy made within the same one looks older than its source
    word = "upload" if (source, target) in (("local", "s3"), ("local", "oci")) else "copy"
    word = "download" if source != "local" and target == "local" else word
    first = main_job.keepstep("sync", here, there, "--json")
    assert first.code == 0, first.err
    assert [action["action"] for action in first.report["actions"]] == [word] * len(FILES)
    assert places.contents(there) == FILES
    assert main_job.keepstep("sync", here, there, "--json").report["actions"] == []
    places.put(there, "extra", b"x")
    third = main_job.keepstep("sync", here, there, "--delete", "--json").report
    assert [(a["action"], a["source"]) for a in third["actions"]] == [("delete", None)]
    assert third["actions"][0]["target"] == os.path.join(there, "extra")
    assert places.contents(there) == FILES


HOSTILE = {
    "../up": b"1",
    "a/../../b": b"2",
    "/rooted": b"3",
    "a//b": b"4",
    "./dot": b"5",
    "both": b"6",
    "both/file": b"7",
    "folder/": b"8",
    "back\\slash": b"9",
    "tab\there": b"10",
    "\x01\x1f\x7f": b"11",
    "e\u0301 é": b"12",
    "UP": b"13",
    "up": b"14",
    "k" * 1000: b"15",
    "percent%2F+plus": b"16",
}


@pytest.mark.parametrize(("source", "target"), CLOUDS)
def test_hostile_keys_between_clouds(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """Between clouds a key is copied byte for byte, and deleted as exactly."""
    here, there = places.new(source), places.new(target)
    for key, data in HOSTILE.items():
        places.put(here, key, data)
    time.sleep(1)  # S3 shows whole seconds: a copy made within the same one looks older than its source
    result = main_job.keepstep("sync", here, there, "--json")
    assert result.code == 0, result.err
    assert places.contents(there) == HOSTILE
    assert main_job.keepstep("sync", here, there, "--json").report["actions"] == []
    empty = places.new("local")
    gone = main_job.keepstep("sync", empty, there, "--delete", "--allow-empty-source", "--json")
    assert gone.code == 0, gone.err
    assert places.contents(there) == {}


@pytest.mark.parametrize("source", ["s3", "oci"])
def test_hostile_keys_stay_out_of_the_file_system(
    main_job: MainJob, places: Places, tmp_path: Path, source: str
) -> None:
    """What is no file name is skipped by name with exit 2, the rest arrives, and nothing leaves the target."""
    here = places.new(source)
    for key, data in HOSTILE.items():
        places.put(here, key, data)
    target = tmp_path / "outer" / "inner" / "target"
    target.mkdir(parents=True)
    result = main_job.keepstep("sync", here, str(target), "--json")
    assert result.code == 2, result.err
    skipped = {a["source"] for a in result.report["actions"] if a["action"] == "skip"}
    unfit = {"../up", "a/../../b", "/rooted", "a//b", "./dot", "folder/", "k" * 1000}
    assert {s.removeprefix(here) for s in skipped} - {"both", "both/file"} == unfit
    arrived = places.contents(str(target))
    assert arrived.items() <= HOSTILE.items()
    assert set(HOSTILE) - set(arrived) - unfit <= {"both", "both/file"}
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "outer" / "inner").iterdir()] == ["target"]


def test_content_headers_and_metadata_cross_the_clouds(main_job: MainJob, places: Places) -> None:
    """Type, encoding, caching and metadata arrive in the other cloud's own words."""
    here, there, back = places.new("s3"), places.new("oci"), places.new("s3")
    bucket = here.partition("://")[2].partition("/")[0]
    main_job.aws.client("s3").put_object(
        Bucket=bucket,
        Key="in/report.csv.gz",
        Body=b"x",
        ContentType="text/csv",
        ContentEncoding="gzip",
        CacheControl="no-store",
        Metadata={"team": "finops"},
    )
    assert main_job.keepstep("sync", here, there).code == 0
    assert main_job.keepstep("sync", there, back).code == 0
    head = main_job.aws.client("s3").head_object(
        Bucket=back.partition("://")[2].partition("/")[0], Key="in/report.csv.gz"
    )
    assert (head["ContentType"], head["ContentEncoding"], head["CacheControl"]) == ("text/csv", "gzip", "no-store")
    assert head["Metadata"] == {"team": "finops"}


def test_types_are_guessed_for_files(main_job: MainJob, places: Places) -> None:
    """A file's content type follows from its name, as with the AWS CLI."""
    here, there = places.new("local"), places.new("s3")
    places.put(here, "page.html", b"<p>")
    assert main_job.keepstep("sync", here, there).code == 0
    head = main_job.aws.client("s3").head_object(
        Bucket=there.partition("://")[2].partition("/")[0], Key="in/page.html"
    )
    assert head["ContentType"] == "text/html"
