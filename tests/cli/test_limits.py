"""Machines with little: few open files, a full temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keepstep.objects.keylog import KeyLog
from keepstep.spool import Spool
from tests.cli.buckets import Buckets
from tests.cli.test_options_own import contents
from tests.servers import absent
from tests.unprivileged import run_unprivileged

COUNT = 800


def _limited(files: int, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script = f'ulimit -n {files} && exec "$@"'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "keepstep", *words]
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("files", [100])
def test_few_open_files(buckets: Buckets, tmp_path: Path, files: int) -> None:
    """Fewer objects are in flight then, and all arrive: up, down, and to their trash; also with too many jobs."""
    source, down = tmp_path / "source", tmp_path / "down"
    source.mkdir()
    for number in range(COUNT):
        (source / f"{number}").write_text(str(number))
    place = f"s3://{buckets.name}/"
    for words in (
        ("sync", str(source), place, "--jobs", "1000"),
        ("sync", place, str(down)),
        ("verify", place, str(down)),
    ):
        ran = _limited(files, *words, "--quiet", **buckets.env)
        assert ran.returncode == 0, ran.stderr
    assert contents(down) == contents(source)
    (tmp_path / "empty").mkdir()
    options = ("--delete", "--allow-empty-source", "--quiet", "--trash", str(tmp_path / "trash"))
    ran = _limited(files, "sync", str(tmp_path / "empty"), place, *options, **buckets.env)
    assert ran.returncode == 0, ran.stderr
    assert contents(tmp_path / "trash") == contents(source)


def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    """What the administrator allows is used; a program that exec starts keeps the limit it would have had."""
    script = "import resource; from keepstep.limits import raise_open_files, objects_at_once; "
    script += "print(objects_at_once(256)); raise_open_files(); print(objects_at_once(256))"
    command = ["bash", "-c", 'ulimit -Sn 128 && exec "$@"', "bash", sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split() == ["16", "256"]
    (tmp_path / "map.csv").write_text("")
    os.chmod(tmp_path, 0o755)
    words = ("exec", "--map", str(tmp_path / "map.csv"), "--", "bash", "-c", "ulimit -Sn")
    script = 'ulimit -Sn 128 && exec "$@"'
    ran = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "keepstep", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "128", ran.stderr


def test_too_few_open_files_are_named(tmp_path: Path) -> None:
    """A folder that cannot be listed for want of descriptors is not taken for a forbidden one."""
    deep = tmp_path / "source" / "/".join("d" * 40)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "keep").touch()
    ran = _limited(40, "sync", str(tmp_path / "source"), str(tmp_path / "target"), "--delete", "--json")
    assert ran.returncode == 1, ran.stderr
    failures = json.loads(ran.stdout)["failures"]
    assert any("Too many open files" in failure["error"] for failure in failures)
    assert any("ulimit -n" in (failure["hint"] or "") for failure in failures)
    assert (tmp_path / "target" / "keep").exists()


FULL = """
import subprocess, sys, os
words = [sys.executable, "-m", "keepstep", "sync", sys.argv[1] + "/source", sys.argv[1] + "/target"]
os.environ["TMPDIR"] = sys.argv[1] + "/tmp"
sys.exit(subprocess.run([*words, "--delete", "--max-delete", "100%", "--json"]).returncode)
"""


def test_a_full_temporary_folder(tmp_path: Path) -> None:
    """What is certain is done and reported; more deletes than can be remembered are withheld, and why is said."""
    for name in ("source", "target", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "new").touch()
    for number in range(40_000):
        os.close(os.open(tmp_path / "target" / f"{number:0240}", os.O_CREAT))
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    script = 'mount -t tmpfs -o size=64k tmpfs "$1/tmp" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FULL]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    report = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert (report["counts"]["copy"], report["counts"]["delete"]) == (1, 0)
    (failure,) = report["failures"]
    assert f"the temporary folder {tmp_path}/tmp: No space left on device" in failure["error"]
    assert "TMPDIR" in failure["hint"]
    assert len(os.listdir(tmp_path / "target")) == 40_001


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_spool_gives_what_it_was_given(step: int) -> None:
    """In memory, in its file, and across the seam; while more is written."""
    spool, expected = Spool(1000), b""
    for number in range(300_000 // step if step > 1 else 3000):
        data = bytes([number % 251]) * step
        spool.write(data)
        expected += data
        if number % 997 == 0:
            assert spool.reader().read() == expected
    assert spool.reader().read() == expected
    spool.close()


def test_keys_of_every_kind_come_back() -> None:
    """In their order, also those that are no text."""
    log = KeyLog()
    keys = ["", "a\nb", "\udcff", "ü" * 200_000, *(f"{n}" for n in range(500_000))]
    log.extend(keys)
    log.extend(["last"])
    assert list(log) == [*keys, "last"]
    log.close()


@pytest.mark.parametrize("command", ["sync", "verify"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_counts_say_what_was_done(tmp_path: Path, command: str, side: str) -> None:
    """What one side cannot read was not compared: it is unknown, neither equal nor unchanged."""
    for place in ("source", "target"):
        for name in ("a", "closed/1", "closed/2", "z"):
            path = tmp_path / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("same")
            os.utime(path, (1e9, 1e9))
    (tmp_path / side / "closed").chmod(0)
    words = [
        sys.executable,
        "-m",
        "keepstep",
        command,
        str(tmp_path / "source"),
        str(tmp_path / "target"),
        "--json",
    ]
    ran = run_unprivileged([*words, "--explain"] if command == "sync" else words)
    (tmp_path / side / "closed").chmod(0o700)
    counts = json.loads(ran.stdout)["counts"]
    assert ran.returncode == 1
    assert (counts["equal" if command == "verify" else "unchanged"], counts["unknown"]) == (2, 2)
