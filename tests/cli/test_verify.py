"""``keepstep verify``: what it finds, what it says, its exit codes, and that it changes nothing."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import MainJob
from tests.cli.inprocess import keepstep
from tests.cli.test_compare import Pair
from tests.cli.test_pairs import KINDS, Places
from tests.servers import FaultProxy

FILES = {"same": b"same", "d/other": b"1234", "size": b"12", "here": b"1", "empty": b""}
THEIRS = {"same": b"same", "d/other": b"4321", "size": b"123", "there": b"2", "empty": b""}


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


def filled(job: MainJob, places: Places, source: str, target: str) -> Pair:
    pair = Pair(job, places, source, target)
    for address, files in ((pair.source, FILES), (pair.target, THEIRS)):
        for key, data in files.items():
            pair.put(address, key, data)
    return pair


@pytest.mark.parametrize(
    ("source", "target"), [("local", "local"), ("local", "s3"), ("oci", "s3"), ("s3", "local")]
)
def test_everything_that_differs_is_named(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """Contents, sizes, and what is only at one side, each with the addresses where it is; exit 1; all stays."""
    pair = filled(main_job, places, source, target)
    ran = pair.run("verify")
    assert (ran.code, ran.err) == (1, "")
    report = ran.report
    found = {
        (_under(action["source"], pair.source), _under(action["target"], pair.target)): action["reason"]
        for action in report["actions"]
    }
    assert found == {
        ("d/other", "d/other"): "contents differ",
        ("size", "size"): "size differs",
        ("here", None): "only at the source",
        (None, "there"): "only at the target",
    }
    assert {action["action"] for action in report["actions"]} == {"different"}
    counts = {"equal": 2, "different": 2, "source_only": 1, "target_only": 1, "failed": 0}
    assert counts.items() <= report["counts"].items()
    assert (report["kind"], report["outcome"]) == ("verify", "failed")
    assert (places.contents(pair.source), places.contents(pair.target)) == (FILES, THEIRS)


def _under(address: str | None, folder: str) -> str | None:
    return address.removeprefix(folder).lstrip("/") if address else None


@pytest.mark.parametrize(("source", "target"), list(itertools.product(KINDS, KINDS)))
def test_after_a_sync_both_sides_are_equal(main_job: MainJob, places: Places, source: str, target: str) -> None:
    """Exit 0, whatever went between which places; times play no role."""
    pair = Pair(main_job, places, source, target)
    for key, data in {"a": b"1", "d/b": b"22", "empty": b""}.items():
        pair.put(pair.source, key, data)
    assert keepstep("sync", pair.source, pair.target, env=main_job.variables).code == 0
    ran = pair.run("verify")
    assert (ran.code, ran.report["counts"]["equal"], ran.report["actions"]) == (0, 3, []), ran.err


def test_what_people_read(tmp_path: Path) -> None:
    """A line for each finding with its reason, a summary when more is asked for, and nothing when less is."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for side, key, text in (("a", "x", "1"), ("b", "x", "2"), ("a", "y", "1"), ("b", "z", "1")):
        (tmp_path / side / key).write_text(text)
    ran = keepstep("verify", str(tmp_path / "a"), str(tmp_path / "b"), "--verbose")
    assert ran.code == 1
    where = {name: os.path.relpath(tmp_path / name) for name in ("a", "b")}
    assert sorted(ran.out.splitlines()) == sorted(
        [
            f"different: {where['a']}/x and {where['b']}/x (contents differ)",
            f"different: {where['a']}/y (only at the source)",
            f"different: {where['b']}/z (only at the target)",
        ]
    )
    assert "0 equal, 1 different, 1 only at the source, 1 only at the target" in ran.err
    quiet = keepstep("verify", str(tmp_path / "a"), str(tmp_path / "b"), "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (1, "", "")


def test_explain_names_what_is_equal(tmp_path: Path) -> None:
    """Also keys that are equal are named, in the report too."""
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x").write_text("1")
    ran = keepstep("verify", str(tmp_path / "a"), str(tmp_path / "b"), "--explain", "--json")
    assert [(a["action"], a["reason"]) for a in ran.report["actions"]] == [("skip", "same contents")]
    assert ran.code == 0


def test_filters_count_as_in_sync(tmp_path: Path) -> None:
    """What is out of scope at both sides is not looked at."""
    for side, text in (("a", "1"), ("b", "2")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.tmp").write_text(text)
        (tmp_path / side / "x").write_text("same")
    words = ["verify", str(tmp_path / "a"), str(tmp_path / "b")]
    assert keepstep(*words).code == 1
    assert keepstep(*words, "--exclude", "*.tmp").code == 0


def test_a_job_is_verified_with_its_filters(tmp_path: Path) -> None:
    """Its places and params count; options that only move things are no trouble; no run of the job is recorded."""
    for side, text in (("a", "1"), ("b", "2")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.tmp").write_text(text)
    config = tmp_path / "keepstep.toml"
    config.write_text(
        f"[state]\nurl = 'sqlite:///{tmp_path}/state.db'\n[job.copy]\nkind = 'sync'\nsource = '{tmp_path}/a'\n"
        f"target = '{tmp_path}/b'\nparams = \"--delete --size-only --exclude '*.tmp'\"\n"
    )
    assert keepstep("--config", str(config), "verify", "copy").code == 0
    assert keepstep("--config", str(config), "verify", "copy", "--include", "x*").code == 1
    assert not (tmp_path / "state.db").exists()
    missing = keepstep("verify", "other", "--config", str(config))
    assert (missing.code, "there is no job other" in missing.err) == (5, True)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("place", ["{tmp}/none", "s3://no-such-bucket-here/", "oci://no-such-bucket@{namespace}/"])
def test_a_place_that_is_missing_is_5(main_job: MainJob, tmp_path: Path, side: str, place: str) -> None:
    """A folder or bucket that is not there is a mistake, not a difference."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here/x").write_text("1")
    missing = place.format(tmp=tmp_path, namespace=main_job.cloud.namespace)
    places = [missing, str(tmp_path / "here")] if side == "source" else [str(tmp_path / "here"), missing]
    ran = keepstep("verify", *places, env=main_job.variables)
    assert ran.code == 5
    assert "error:" in ran.err
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    """A socket at the source is skipped by name with exit 2, as a sync does it."""
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "a/sock"))
    ran = keepstep("verify", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    assert (ran.code, ran.report["counts"]["skip"]) == (2, 1)
    assert "is a socket" in ran.report["warnings"][0]


def test_a_listing_that_breaks_is_no_difference(main_job: MainJob, places: Places) -> None:
    """Exit 1 with the failure, and nothing behind the fault is called missing."""
    pair = Pair(main_job, places, "local", "s3")
    for n in range(3):
        pair.put(pair.source, f"k{n}", b"1")
    main_job.aws.fault("ListObjectsV2", {"status": 403})
    ran = pair.run("verify")
    assert (ran.code, ran.report["actions"]) == (5, [])
    assert [failure["action"] for failure in ran.report["failures"]] == ["list"]


def test_the_first_signal_ends_it_in_good_order(
    main_job: MainJob, places: Places, proxied: Callable[[str], FaultProxy]
) -> None:
    """SIGTERM: what is being read is finished, the report is written, exit 143."""
    pair = Pair(main_job, places, "oci", "s3")
    for n in range(30):
        pair.put(pair.source, f"k{n}", b"1%d" % n)
        pair.put(pair.target, f"k{n}", b"2%d" % n)
    proxy = proxied(main_job.aws.url)
    proxy.add(match="^HEAD ", times=None, latency=1)
    env = dict(os.environ) | main_job.variables | {"AWS_ENDPOINT_URL": proxy.url}
    command = [sys.executable, "-m", "keepstep", "verify", pair.source, pair.target, "--jobs", "1", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        while not proxy.counts["HEAD"]:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    report = json.loads(out)
    assert (report["exit_code"], report["failures"]) == (143, [])
    assert proxy.counts["HEAD"] == report["counts"]["different"] < 30
