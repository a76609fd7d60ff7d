"""A sync under what machines and networks do: the exit code is right, nothing is torn, the next run finishes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import MainJob
from tests.cli.test_pairs import Places
from tests.servers import FaultProxy, absent, program

SOAK = int(os.environ.get("SOAK", "300"))

FAULTY = 0.002 if SOAK > 10_000 else 0.01
"""Of the requests that a fault of the soak concerns."""


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


def in_a_mount(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a shell script where mounts are its own."""
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=dict(os.environ) | env | {"KEEPSTEP": f"{sys.executable} -m keepstep"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    return ran


def test_a_full_disk(tmp_path: Path) -> None:
    """What does not fit fails by name, what does is whole, nothing else is left, and with room the rest comes."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for n in range(40):
        (source / f"{n:02}").write_bytes(bytes([n]) * 100_000)
    sync = '$KEEPSTEP sync "$FROM" "$TO" --only-show-errors; echo "exit $?"; ls -A "$TO" | wc -l'
    script = (
        f'mount -t tmpfs -o size=1m tmpfs "$TO" && {sync}; find "$TO" -name ".keepstep*"; '
        'for f in "$TO"/*; do cmp "$f" "$FROM/${f##*/}" || echo torn; done; '
        f'mount -o remount,size=64m "$TO" && {sync}; diff -r "$FROM" "$TO" && echo equal'
    )
    ran = in_a_mount(script, {"FROM": str(source), "TO": str(target)})
    first, some, second, all_of_them, equal = ran.stdout.splitlines()
    assert (first, second, all_of_them, equal) == ("exit 1", "exit 0", "40", "equal"), ran.stdout + ran.stderr
    assert 1 <= int(some) <= 10
    assert "No space left on device" in ran.stderr
    assert "free space on the device; the next run finishes the rest" in ran.stderr


def test_a_read_only_target(tmp_path: Path) -> None:
    """Nothing can be written or deleted: the run fails with the reason, and what was there stays."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "new").write_bytes(b"new")
    (source / "kept").write_bytes(b"kept")
    script = (
        'mount -t tmpfs tmpfs "$TO" && cp -p "$FROM/kept" "$TO" && echo x > "$TO/gone" && '
        'mount -o remount,ro "$TO" && '
        '$KEEPSTEP sync "$FROM" "$TO" --delete --only-show-errors; echo "exit $?"; ls -A "$TO"'
    )
    ran = in_a_mount(script, {"FROM": str(source), "TO": str(target)})
    assert ran.stdout.split() == ["exit", "1", "gone", "kept"]
    assert "Read-only file system" in ran.stderr
    assert "hint: the file system is mounted read-only" in ran.stderr


def test_a_clock_that_is_off(main_job: MainJob, places: Places) -> None:
    """With this machine's clock a quarter of an hour off, OCI's own date is taken, and the run goes well."""
    faketime = program("faketime", "faketime (Debian package)")
    source, target = places.new("oci"), places.new("local")
    places.put(source, "key", b"contents")
    command = [faketime, "-f", "+15m", sys.executable, "-m", "keepstep", "sync", source, target, "--json"]
    env = dict(os.environ) | main_job.variables | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert places.contents(target) == {"key": b"contents"}


def test_a_storm_of_503(main_job: MainJob, places: Places, proxied: Callable[[str], FaultProxy]) -> None:
    """While a store turns one request in three away everything still arrives, and nothing is sent without need."""
    source, target = places.new("local"), places.new("s3")
    for n in range(60):
        places.put(source, f"{n:03}", bytes([n]) * 1000)
    proxy = proxied(main_job.aws.url)
    storm = proxy.add(match="^(PUT|GET)", share=0.33, times=None, status=503, headers={"retry-after": "0"})
    result = main_job.keepstep("sync", source, target, "--json", AWS_ENDPOINT_URL=proxy.url)
    assert result.code == 0, result.err
    assert storm.seen > 5
    assert proxy.counts["PUT"] + proxy.counts["GET"] == 61 + storm.seen
    assert len(places.keys(target)) == 60


@pytest.mark.long
def test_thousands_of_keys_behind_one_long_prefix(main_job: MainJob, places: Places) -> None:
    """900 bytes that all keys share change nothing: all arrive once, and what is deleted is what is gone."""
    source, target = places.new("local"), places.new("s3")
    folder = Path(source) / "/".join(["d" * 224] * 4)
    folder.mkdir(parents=True)
    for n in range(5000):
        (folder / f"{n:04}").touch()
    first = main_job.keepstep("sync", source, target, "--json")
    assert (first.code, first.report["counts"]["upload"]) == (0, 5000)
    for n in range(0, 5000, 100):
        (folder / f"{n:04}").unlink()
    second = main_job.keepstep("sync", source, target, "--delete", "--json")
    assert second.code == 0, second.err
    assert second.report["counts"]["delete"] == 50
    assert second.report["counts"]["upload"] == 0
    assert second.report["counts"]["unchanged"] == 4950


def test_soak(main_job: MainJob, places: Places, proxied: Callable[[str], FaultProxy], tmp_path: Path) -> None:
    """Of a hundred requests at either side one goes wrong, in every way there is; the end is equality."""
    folder = tmp_path / "made"
    for n in range(SOAK):
        path = folder / f"{n % 100:02}" / f"{n:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(n.to_bytes(4, "big") * (1 + n % 2000))
    source, target = places.new("oci"), places.new("s3")
    assert main_job.keepstep("sync", str(folder), source, "--only-show-errors", timeout=7200).code == 0
    from_, to = proxied(main_job.cloud.endpoint), proxied(main_job.aws.url)
    for proxy in (from_, to):
        for kind in ({"status": 503}, {"cut": 3}, {"latency": 0.5}):
            proxy.add(share=FAULTY, times=None, **kind)
    from_.add(match="^GET .*/o/", share=FAULTY, times=None, corrupt=2)
    from_.add(match="^GET .*/o/", share=FAULTY, times=None, status=401)
    to.add(match="^PUT", share=FAULTY, times=None, cut_upload=10)
    to.add(match="^PUT", share=FAULTY, times=None, corrupt_upload=2)
    result = main_job.keepstep(
        "sync", source, target, "--json", timeout=7200, AWS_ENDPOINT_URL=to.url, OCI_ENDPOINT_URL=from_.url
    )
    assert result.code == 0, result.err[-2000:]
    assert sum(fault.seen for proxy in (from_, to) for fault in proxy.faults) >= SOAK / 100
    back = places.new("local")
    assert main_job.keepstep("sync", target, back, "--only-show-errors", timeout=7200).code == 0
    assert subprocess.run(["diff", "-r", str(folder), back], capture_output=True, check=False).stdout == b""
