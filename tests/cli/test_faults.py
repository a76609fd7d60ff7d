"""When something breaks: nothing is deleted, nothing is torn, and the exit code says so."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.cli.conftest import MainJob, Ran, new_job
from tests.cli.test_pairs import Places
from tests.servers import Aws, FaultProxy
from tests.unprivileged import unprivileged

OBJECTS = 120
"""A little more than a page of a hundred."""
PAGES = ("--page-size", "100")


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


@pytest.fixture(scope="class")
def full(
    _tenancy: tuple[LocalCloud, int], _moto: Aws, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, str]:
    """A source folder, a source bucket with the same objects, and a target that has ten objects more."""
    main_job = new_job(_tenancy, _moto)
    places = Places(main_job, tmp_path_factory.mktemp("full"))
    folder, bucket, target = places.new("local"), places.new("s3"), places.new("s3")
    for number in range(OBJECTS):
        places.put(folder, f"{number % 10}/{number:05}", b"x")
    for where in (bucket, target):
        assert main_job.keepstep("sync", folder, where, "--only-show-errors").code == 0
    for number in range(10):
        places.put(target, f"0-only-here/{number}", b"x")
    return folder, bucket, target


def unharmed(places: Places, target: str, result: Ran, code: int) -> None:
    """The run ended with this code, deleted nothing, and said why."""
    assert result.code == code, (result.code, result.err)
    assert [a for a in result.report["actions"] if a["action"] == "delete"] == []
    assert len(places.keys(target)) == OBJECTS + 10
    assert result.report["failures"]


class TestDeleteMatrix:
    """The four faults under which other tools delete what they should keep."""

    @pytest.mark.parametrize("status", [403, 500])
    def test_second_page_of_the_source_fails(
        self, main_job: MainJob, places: Places, full: tuple[str, str, str], status: int
    ) -> None:
        """A source listing that breaks after a page: exit 1, no delete."""
        _, bucket, target = full
        match = {"match": bucket.partition("://")[2].partition("/")[0]}
        do = {"status": status, "code": "AccessDenied" if status == 403 else "InternalError"}
        main_job.aws.fault("ListObjectsV2", do, after=1, times=None, **match)
        result = main_job.keepstep("sync", bucket, target, *PAGES, "--delete", "--max-delete", "100%", "--json")
        main_job.aws.clear_faults()
        unharmed(places, target, result, 1)
        assert "withheld" in str(result.report["failures"])

    def test_a_folder_cannot_be_read(self, main_job: MainJob, places: Places, full: tuple[str, str, str]) -> None:
        """A source folder that cannot be read: exit 1, no delete, and the rest is compared."""
        folder, _, target = full
        os.chmod(f"{folder}/3", 0)
        command = unprivileged([sys.executable, "-m", "keepstep"])
        result = _run(main_job, [*command, "sync", folder, target, "--delete", "--max-delete", "100%", "--json"])
        os.chmod(f"{folder}/3", 0o755)
        unharmed(places, target, result, 1)
        assert f"{folder}/3" in str(result.report["failures"])

    def test_the_source_is_empty(self, main_job: MainJob, places: Places, full: tuple[str, str, str]) -> None:
        """An empty source: exit 4, no delete, whatever the cap."""
        target = full[2]
        result = main_job.keepstep(
            "sync", places.new("local"), target, "--delete", "--max-delete", "100%", "--json"
        )
        unharmed(places, target, result, 4)

    def test_more_deletes_than_the_cap(self, main_job: MainJob, places: Places, full: tuple[str, str, str]) -> None:
        """One delete more than the cap: exit 4, no delete at all; exactly the cap is done."""
        folder, _, target = full
        result = main_job.keepstep("sync", folder, target, "--delete", "--max-delete", "9", "--json")
        unharmed(places, target, result, 4)
        result = main_job.keepstep("sync", folder, target, "--delete", "--max-delete", "10", "--json")
        assert result.code == 0
        assert result.report["counts"]["delete"] == 10
        assert result.report["requests"]["DeleteObjects"] == 1
        assert len(places.keys(target)) == OBJECTS


def test_second_page_of_an_oci_listing_fails(main_job: MainJob, places: Places) -> None:
    """The same on OCI, at the target's side: what is certain is copied, nothing is deleted."""
    folder, target = places.new("local"), places.new("oci")
    for number in range(OBJECTS):
        places.put(folder, f"{number:05}", b"x")
    assert main_job.keepstep("sync", folder, target, "--only-show-errors").code == 0
    (Path(folder) / "00001").write_bytes(b"changed")
    (Path(folder) / f"{OBJECTS + 5:05}").write_bytes(b"new, but nobody knows whether the target has it")
    (Path(folder) / "00000").unlink()
    main_job.cloud.fault("ListObjects", after=1, times=None, status=500)
    result = main_job.keepstep("sync", folder, target, *PAGES, "--delete", "--json")
    main_job.cloud.clear_faults()
    assert result.code == 1
    assert [a["source"] for a in result.report["actions"]] == [f"{folder}/00001"]
    assert len(places.keys(target)) == OBJECTS


@pytest.mark.parametrize("do", [{"status": 503}, {"cut": 3}, {"lose_reply": True}, {"latency_ms": 300}])
def test_passing_faults_pass(main_job: MainJob, places: Places, do: dict[str, Any]) -> None:
    """Faults that pass are repeated until they have passed, on both clouds; everything arrives once and whole."""
    source, target = places.new("oci"), places.new("s3")
    data = {f"k{number}": bytes([number]) * 50_000 for number in range(6)}
    for key, value in data.items():
        places.put(source, key, value)
    for operation in ("ListObjects", "GetObject"):
        main_job.cloud.fault(operation, times=2, **do)
    for operation in ("ListObjectsV2", "PutObject"):
        main_job.aws.fault(operation, dict(do), times=2)
    result = main_job.keepstep("sync", source, target, "--json")
    assert result.code == 0, result.err
    assert places.contents(target) == data


def test_a_lost_reply_to_a_commit_is_no_failure(main_job: MainJob, places: Places) -> None:
    """A large object whose last answer is lost is found to be there."""
    folder, s3, cloud = places.new("local"), places.new("s3"), places.new("oci")
    places.put(folder, "large", os.urandom(17 * 1024 * 1024))
    main_job.aws.fault("CompleteMultipartUpload", {"lose_reply": True})
    main_job.cloud.fault("CommitMultipartUpload", lose_reply=True)
    for target in (s3, cloud):
        result = main_job.keepstep("sync", folder, target, "--json")
        assert result.code == 0, result.err
        assert places.contents(target) == places.contents(folder)


def test_credentials_are_renewed_once_when_they_are_refused(main_job: MainJob) -> None:
    """A 401 from OCI and an ExpiredToken from AWS cause one renewal each, in mid-run, and no failure."""
    main_job.cloud.fault("GetObject", after=3, times=1, status=401)
    main_job.aws.fault("PutObject", {"status": 400, "code": "ExpiredToken"}, after=5, times=1)
    result = main_job.sync("--json", OCI_CLI_AUTH="instance_principal")
    assert result.code == 0, result.err
    assert len(main_job.keys()) == main_job.reports


def test_a_refusal_that_comes_twice_in_mid_run(main_job: MainJob) -> None:
    """Whoever was let in before is let in again soon; whoever never was is told after two tries."""
    main_job.cloud.fault("GetObject", after=3, times=2, status=401)
    result = main_job.sync("--json", "--jobs", "1")
    assert result.code == 0, result.err
    assert len(main_job.keys()) == main_job.reports
    main_job.cloud.fault("*", times=2, status=401)
    result = main_job.sync("--json", "--jobs", "1")
    assert (result.code, result.report["requests"]["ListObjects"]) == (5, 2), result.err


def test_corrupted_bodies_are_fetched_again(
    main_job: MainJob, places: Places, proxied: Callable[[str], FaultProxy]
) -> None:
    """What does not arrive as it is stored is noticed by its checksum, and never reaches the target."""
    source, target = places.new("s3"), places.new("local")
    places.put(source, "data.bin", b"0123456789" * 1000)
    proxy = proxied(main_job.aws.url)
    fault = proxy.add(match="GET .*data.bin", corrupt=5000)
    result = main_job.keepstep("sync", source, target, "--json", AWS_ENDPOINT_URL=proxy.url)
    assert result.code == 0, result.err
    assert places.contents(target) == {"data.bin": b"0123456789" * 1000}
    assert fault.seen == 2


def test_progress_on_a_terminal(main_job: MainJob) -> None:
    """On a terminal stderr shows objects, bytes and rate while it works; stdout stays what scripts read."""
    master, slave = pty.openpty()
    env = dict(os.environ) | main_job.variables | {"TERM": "xterm", "COLUMNS": "100"}
    main_job.cloud.fault("GetObject", times=None, latency_ms=80)
    command = [sys.executable, "-m", "keepstep", "sync", main_job.source, main_job.target, "--jobs", "2"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = _drain(master)
    assert process.stdout
    out = process.stdout.read().decode()
    assert process.wait() == 0
    main_job.cloud.clear_faults()
    assert f"/{main_job.reports} objects" in shown
    assert "/s" in shown
    assert f"{main_job.reports} transferred" in shown
    assert len(out.splitlines()) == main_job.reports
    assert "\x1b" not in out


def _drain(master: int) -> str:
    chunks = []
    while select.select([master], [], [], 60)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode(errors="replace")


def _run(job: MainJob, command: list[str]) -> Ran:
    assert shutil.which("setpriv")
    env = dict(os.environ) | job.variables
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    return Ran(result.returncode, result.stdout, result.stderr)
