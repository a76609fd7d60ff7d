"""Large transfers that were cut short: what has arrived is not sent again, and nothing stays behind."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oci
import pytest

from keepstep.objects.transfer import PART_SIZE
from tests.cli.conftest import MainJob
from tests.servers import FaultProxy, program

PARTS = 4
DATA = random.Random(20).randbytes(PART_SIZE) * (PARTS - 1) + b"the last part"


class Target:
    """A fresh bucket behind a proxy, and what a client that is not ours sees in it."""

    def __init__(self, kind: str, job: MainJob, proxied: Callable[[str], FaultProxy]) -> None:
        self.kind, self.bucket = kind, f"resume-{uuid.uuid4().hex[:10]}"
        self.env = dict(os.environ) | job.variables
        if kind == "s3":
            self.proxy = proxied(job.aws.url)
            self.env["AWS_ENDPOINT_URL"] = self.proxy.url
            self._s3 = job.aws.client("s3")
            self._s3.create_bucket(Bucket=self.bucket)
            self.address = f"s3://{self.bucket}/"
        else:
            self.proxy = proxied(job.cloud.endpoint)
            self.env["OCI_ENDPOINT_URL"] = self.proxy.url
            config = oci.config.from_file(str(job.cloud.config))
            self._oci = oci.object_storage.ObjectStorageClient(config, service_endpoint=job.cloud.endpoint)
            self._namespace = job.cloud.namespace
            details = oci.object_storage.models.CreateBucketDetails(
                name=self.bucket, compartment_id=job.cloud.tenancy
            )
            self._oci.create_bucket(self._namespace, details)
            self.address = f"oci://{self.bucket}@{self._namespace}/"

    @property
    def part_request(self) -> str:
        """The pattern of a request that sends a part of the object."""
        name = "partNumber=" if self.kind == "s3" else "uploadPartNum="
        return rf"^PUT .*large\.bin.*{name}"

    def uploads(self) -> list[Any]:
        if self.kind == "s3":
            return list(self._s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()))
        return list(self._oci.list_multipart_uploads(self._namespace, self.bucket).data)

    def read(self, key: str) -> bytes:
        if self.kind == "s3":
            return bytes(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        return bytes(self._oci.get_object(self._namespace, self.bucket, key).data.content)

    def parts_sent(self) -> int:
        return sum(bool(re.search(self.part_request, line)) for line in self.proxy.requests)


@pytest.fixture(params=["s3", "oci"])
def target(
    request: pytest.FixtureRequest, main_job: MainJob, proxied: Callable[[str], FaultProxy]
) -> Iterator[Target]:
    yield Target(request.param, main_job, proxied)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "large.bin").write_bytes(DATA)
    return folder


def start(source: Path, target: Target, tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [program("keepstep", "keepstep"), "sync", str(source), target.address, "--json"]
    env = target.env | {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(source: Path, target: Target, tmp_path: Path) -> int:
    process = start(source, target, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return process.returncode


def cut_short(source: Path, target: Target, tmp_path: Path, number: signal.Signals) -> None:
    """Ends a run by a signal once two parts have arrived; the others hang."""
    hung = target.proxy.add(match=target.part_request, after=2, times=None, latency=600)
    process = start(source, target, tmp_path)
    deadline = time.monotonic() + 60
    while target.parts_sent() < PARTS and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert hung.seen
    target.proxy.clear()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_a_transfer_that_was_cut_short_goes_on(
    source: Path, target: Target, tmp_path: Path, number: signal.Signals
) -> None:
    """The next run sends what is missing and nothing else; the object is whole, and no upload stays open."""
    cut_short(source, target, tmp_path, number)
    assert len(target.uploads()) == 1
    finish(source, target, tmp_path)
    assert target.parts_sent() == PARTS - 2
    assert target.read("large.bin") == DATA
    assert target.uploads() == []


@pytest.mark.parametrize("target", ["oci"], indirect=True)
def test_a_file_that_changed_meanwhile_is_sent_anew(source: Path, target: Target, tmp_path: Path) -> None:
    """Parts of another state of the file are removed, not mixed in."""
    cut_short(source, target, tmp_path, signal.SIGKILL)
    changed = DATA[::-1]
    (source / "large.bin").write_bytes(changed)
    finish(source, target, tmp_path)
    assert target.parts_sent() == PARTS
    assert target.read("large.bin") == changed
    assert target.uploads() == []


@pytest.mark.parametrize("target", ["s3"], indirect=True)
def test_what_nobody_needs_any_more_is_removed(source: Path, target: Target, tmp_path: Path) -> None:
    """When the file is gone from the source, the next run removes the parts that had been sent of it."""
    cut_short(source, target, tmp_path, signal.SIGKILL)
    (source / "large.bin").unlink()
    (source / "small").write_bytes(b"1")
    finish(source, target, tmp_path)
    assert target.uploads() == []
    assert target.read("small") == b"1"
