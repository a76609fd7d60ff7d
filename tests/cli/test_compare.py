"""``--compare checksum`` from end to end: every pair of places, what the clouds are asked, other clients' parts."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.conftest import MainJob, Ran
from tests.cli.inprocess import keepstep
from tests.cli.test_pairs import KINDS, Places
from tests.servers import program

MIB = 1024 * 1024
OLD = 1_600_000_000
SMALL = {f"d/{n}": b"contents %d" % n for n in range(3)} | {"empty": b"", "ü": random.Random(1).randbytes(70_000)}
LARGE = random.Random(2).randbytes(17 * MIB + 3)
READS = {"GetObject", "HeadObject"}


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


class Pair:
    """Two places that are compared by contents."""

    def __init__(self, job: MainJob, places: Places, source: str, target: str) -> None:
        self.places = places
        self.source, self.target = places.new(source), places.new(target)
        self._env: Mapping[str, str] = job.variables

    def put(self, address: str, key: str, data: bytes) -> None:
        """By somebody else; files get an old time, and another change time than before."""
        path = Path(address) / key
        before = path.stat().st_ctime_ns if path.exists() else 0
        self.places.put(address, key, data)
        while path.exists() and path.stat().st_ctime_ns == before:
            self.places.put(address, key, data)
        if path.exists():
            os.utime(path, (OLD, OLD))

    def run(self, command: str = "sync", *words: str) -> Ran:
        compare = ["--compare", "checksum"] if command == "sync" else []
        return keepstep(command, self.source, self.target, *compare, "--json", *words, env=self._env)

    def moved(self, *words: str) -> dict[str, str]:
        """What a run moves, and why; it went well."""
        ran = self.run("sync", *words)
        assert ran.code == 0, ran.err
        self.requests = ran.report["requests"]
        return {action["target"].rpartition("/")[2]: action["reason"] for action in ran.report["actions"]}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(KINDS, KINDS)))
def test_every_pair(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """What is equal is left alone without a request; a change of the same size is found at either side, once."""
    pair = Pair(main_job, places, source, target)
    for key, data in SMALL.items():
        pair.put(pair.source, key, data)
        pair.put(pair.target, key, data)
    assert pair.moved() == {}
    assert not READS & set(pair.requests), "all of them are MD5s, or files"
    pair.put(pair.source, "d/1", b"CONTENTS 1")
    pair.put(pair.target, "d/2", b"CONTENTS 2")
    assert pair.moved() == {"1": "contents differ", "2": "contents differ"}
    assert places.contents(pair.target) == SMALL | {"d/1": b"CONTENTS 1"}
    assert pair.moved() == {}
    assert not READS & set(pair.requests)


@pytest.mark.parametrize(("source", "target"), [("local", "s3"), ("local", "oci"), ("s3", "s3"), ("oci", "s3")])
def test_what_we_have_sent_in_parts_is_known(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """The run after an upload in parts reads nothing and asks for nothing, whatever its ETag looks like."""
    pair = Pair(main_job, places, source, target)
    pair.put(pair.source, "large", LARGE)
    assert pair.moved() == {"large": "only at the source"}
    assert pair.moved() == {}
    assert not READS & set(pair.requests)


def aws(job: MainJob, *words: str) -> None:
    command = [program("aws", "the AWS CLI"), *words]
    subprocess.run(command, env=dict(os.environ) | job.variables, capture_output=True, check=True, timeout=120)


def rclone(job: MainJob, *words: str) -> None:
    env = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_ENDPOINT": job.variables["AWS_ENDPOINT_URL"],
        "RCLONE_S3_FORCE_PATH_STYLE": "true",
    }
    command = [program("rclone", "rclone"), *words, "--s3-upload-cutoff", "6M", "--s3-chunk-size", "6M"]
    env |= dict(os.environ) | job.variables
    subprocess.run(command, env=env, capture_output=True, check=True, timeout=120)


@pytest.mark.parametrize("client", ["aws", "rclone"])
def test_what_others_have_sent_in_parts_is_recognised(main_job: MainJob, places: Places, client: str) -> None:
    """The file alone tells, with parts of 8 MiB or 6 MiB as without: no request is made for it."""
    pair = Pair(main_job, places, "local", "s3")
    pair.put(pair.source, "large", LARGE)
    if client == "aws":
        aws(main_job, "s3", "cp", f"{pair.source}/large", f"{pair.target}large")
    else:
        bucket = pair.target.removeprefix("s3://")
        rclone(main_job, "copyto", f"{pair.source}/large", f":s3:{bucket}large")
    for _ in range(2):
        assert pair.moved() == {}
        assert not READS & set(pair.requests)


def test_parts_that_nobody_can_guess_are_resolved_once(main_job: MainJob, places: Places) -> None:
    """One request, one reading, one note; and between two clouds likewise."""
    pair = Pair(main_job, places, "local", "s3")
    pair.put(pair.source, "large", LARGE)
    _odd_parts(main_job, pair.target, LARGE)
    assert pair.moved() == {}
    assert (pair.requests["HeadObject"], pair.requests["GetObject"]) == (1, 3), "in pieces of 8 MiB"
    assert pair.moved() == {}
    assert not READS & set(pair.requests)
    clouds = Pair(main_job, places, "oci", "s3")
    clouds.put(clouds.source, "large", LARGE)
    clouds.target = pair.target
    assert clouds.moved() == {}
    assert clouds.requests["GetObject"] == 3, "OCI tells its MD5"
    assert clouds.moved() == {}
    assert not READS & set(clouds.requests)


def _odd_parts(job: MainJob, target: str, data: bytes) -> None:
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    s3, key = job.aws.client("s3"), {"Bucket": bucket, "Key": prefix + "large"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    parts = []
    for number, (start, stop) in enumerate(itertools.pairwise([0, 7 * MIB + 11, 13 * MIB, len(data)]), 1):
        sent = s3.upload_part(**key, UploadId=upload, PartNumber=number, Body=data[start:stop])
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})


def test_a_change_in_a_large_object_is_found(main_job: MainJob, places: Places) -> None:
    """One byte in an object that came in parts; its file is sent, and then known."""
    pair = Pair(main_job, places, "local", "s3")
    pair.put(pair.source, "large", LARGE[:-1] + b"!")
    aws_source = places.new("local")
    places.put(aws_source, "large", LARGE)
    aws(main_job, "s3", "cp", f"{aws_source}/large", f"{pair.target}large")
    assert pair.moved() == {"large": "contents differ"}
    assert places.contents(pair.target) == {"large": LARGE[:-1] + b"!"}
    assert pair.moved() == {}


def test_without_notes_nothing_is_lost_but_work(main_job: MainJob, places: Places, nobodys_machine: Path) -> None:
    """Where the state is gone, files are read once more, and the outcome is the same."""
    pair = Pair(main_job, places, "local", "s3")
    pair.put(pair.source, "large", LARGE)
    pair.moved()
    shutil.rmtree(nobodys_machine / ".local")
    assert pair.moved() == {}
    assert not READS & set(pair.requests), "the file and the ETag of our parts tell"


def test_sizes_alone(main_job: MainJob, places: Places) -> None:
    """--compare size takes no other difference for one."""
    pair = Pair(main_job, places, "local", "s3")
    pair.put(pair.source, "a", b"1")
    pair.put(pair.source, "b", b"22")
    pair.put(pair.target, "a", b"2")
    pair.put(pair.target, "b", b"2")
    os.utime(Path(pair.source) / "a")
    assert pair.moved("--compare", "size") == {"b": "size differs"}


@pytest.mark.parametrize(
    "words",
    [
        "--compare checksum --size-only",
        "--compare checksum --exact-timestamps",
        "--compare size --exact-timestamps",
    ],
)
def test_contradictions_are_refused(tmp_path: Path, words: str) -> None:
    """Two rules at once: exit 2, and the message names both."""
    ran = keepstep("sync", str(tmp_path), str(tmp_path / "there"), *words.split())
    assert ran.code == 2
    assert all(word in ran.err for word in words.split() if word.startswith("--")), ran.err
    assert not (tmp_path / "there").exists()


def test_two_processes_share_what_was_found(main_job: MainJob, places: Places) -> None:
    """The notes outlive the process, also one that was only asked what it would do."""
    pair = Pair(main_job, places, "oci", "s3")
    pair.put(pair.source, "large", LARGE[: 6 * MIB])
    bucket, _, prefix = pair.target.removeprefix("s3://").partition("/")
    s3, key = main_job.aws.client("s3"), {"Bucket": bucket, "Key": prefix + "large"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    tag = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=LARGE[: 6 * MIB])["ETag"]
    s3.complete_multipart_upload(
        **key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}
    )
    for reads in (1, 0):
        ran = main_job.keepstep("sync", pair.source, pair.target, "--compare", "checksum", "--dryrun", "--json")
        assert (ran.code, ran.report["actions"]) == (0, []), ran.err
        assert ran.report["requests"].get("GetObject", 0) == reads
