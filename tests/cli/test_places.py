"""Source, target and trash that lie inside each other: nothing is lost, and nothing grows with every run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.buckets import Buckets
from tests.cli.inprocess import keepstep
from tests.cli.test_options_oci import Oci, world
from tests.cli.test_options_own import contents
from tests.servers import absent

__all__ = ["world"]


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9, 1e9))


TRASHES = [
    "{0}/dst",
    "{0}/dst/",
    "{0}/./dst",
    "{0}//dst//",
    "{0}/dst/../dst",
    "{0}/to-dst",
    "{0}/to-dst/",
    "{0}/to-dst/deeper/new",
    "file://{0}/dst",
    "file://{0}/%64st",
    "{0}/dst/trash",
    "{0}/src",
    "{0}/to-src/new",
    "{0}/src/sub",
    "{0}",
    "{0}/up",
    "dst",
    "./dst/.",
    "../{1}/dst",
]


@pytest.mark.parametrize("trash", TRASHES)
def test_a_trash_that_is_not_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trash: str) -> None:
    """However it is written, a trash that is, is inside or contains a side is refused, and nothing has changed."""
    _write(tmp_path, src__sub__a="new", dst__sub__a="old!", dst__gone="gone")
    for name, leads in (("to-dst", "dst"), ("to-src", "src"), ("up", ".")):
        (tmp_path / name).symlink_to(leads)
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    where = trash.format(tmp_path, tmp_path.name)
    ran = keepstep("sync", "src", "dst", "--delete", "--max-delete", "100%", "--trash", where)
    assert ran.code == 2, ran.err
    assert ran.err.startswith(f"error: --trash {where}: the trash "), ran.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("mount", ["dst", "dst/sub", "src"])
def test_a_trash_that_is_mounted_twice(tmp_path: Path, mount: str) -> None:
    """A bind mount of a side, or of a folder in it, is that folder."""
    _write(tmp_path, src__sub__a="new", dst__sub__a="old!", dst__gone="gone")
    (tmp_path / "trash").mkdir()
    sync = 'exec "$2" -m keepstep sync "$1/src" "$1/dst" --delete --trash "$1/trash"'
    script = f'mount --bind "$1/{mount}" "$1/trash" && {sync}'
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    assert (ran.returncode, "--trash" in ran.stderr) == (2, True), ran.stderr
    assert (tmp_path / "dst" / "gone").read_text() == "gone"


@pytest.mark.parametrize("trash", ["in", "in/", "in/trash", "", "in/trash/deeper/"])
def test_a_trash_in_the_target_bucket(buckets: Buckets, trash: str) -> None:
    """The same for prefixes of a bucket, with and without a slash at their end."""
    buckets.s3.put_object(Bucket=buckets.name, Key="in/gone", Body=b"old")
    words = ("--delete", "--max-delete", "100%", "--trash", f"s3://{buckets.name}/{trash}")
    ran = buckets.sync(buckets.folder(a=b"1"), f"s3://{buckets.name}/in", *words)
    assert (ran.code, "--trash" in ran.err) == (2, True)
    assert buckets.head("in/gone")["ContentLength"] == 3


def test_a_target_inside_the_source(tmp_path: Path) -> None:
    """It is left out of the source, which is said once; no run copies what the last one copied."""
    _write(tmp_path / "src", a="a", backups="not it", backup__old="old")
    words = ("sync", str(tmp_path / "src"), str(tmp_path / "src" / "backup"), "--delete")
    for _ in range(3):
        ran = keepstep(*words, "--max-delete", "100%")
        assert (ran.code, ran.err.count("left out")) == (0, 1), ran.err
        assert contents(tmp_path / "src" / "backup") == {"a": b"a", "backups": b"not it"}
    assert keepstep("verify", *words[1:3]).code == 0
    report = keepstep(*words, "--json").report
    assert (report["counts"]["source_keys"], len(report["warnings"])) == (2, 1)


def test_a_link_in_the_source_that_leads_to_the_target(tmp_path: Path) -> None:
    """It is skipped by name: following it would copy the target into itself, deeper with every run."""
    _write(tmp_path, src__a="a")
    (tmp_path / "dst").mkdir()
    (tmp_path / "src" / "link").symlink_to("../dst")
    for _ in range(2):
        ran = keepstep("sync", str(tmp_path / "src"), str(tmp_path / "dst"))
        assert ran.code == 2
        assert "src/link/: is " in ran.err
        assert contents(tmp_path / "dst") == {"a": b"a"}


def test_a_target_in_the_making(tmp_path: Path) -> None:
    """A target that does not exist yet is left out as well, though the run makes it while the source is listed."""
    _write(tmp_path / "src", **{f"z{number:04}": "" for number in range(1500)})
    for _ in range(2):
        assert keepstep("sync", str(tmp_path / "src"), str(tmp_path / "src" / "y" / "new"), "--quiet").code == 0
    assert len(list((tmp_path / "src" / "y").rglob("z*"))) == 1500


def test_a_source_inside_the_target(tmp_path: Path) -> None:
    """With --delete it is refused; without, the source itself is never written to."""
    _write(tmp_path, d__s__x="1", d__s__s__x="other contents", d__old="old")
    before = contents(tmp_path / "d" / "s")
    source, target = str(tmp_path / "d" / "s"), str(tmp_path / "d")
    refused = keepstep("sync", source, target, "--delete", "--max-delete", "100%")
    assert (refused.code, "the source is the folder s/ of the target" in refused.err) == (4, True)
    ran = keepstep("sync", source, target)
    assert (ran.code, "within the source itself" in ran.err) == (2, True)
    assert contents(tmp_path / "d" / "s") == before
    assert (tmp_path / "d" / "x").read_text() == "1"


@pytest.mark.parametrize("spelt", ["{0}", "{0}/", "{0}/.", "{1}", "file://{0}"])
def test_the_same_place_twice(tmp_path: Path, spelt: str) -> None:
    """It is a mistake, and refused; no link in it is replaced by what it leads to."""
    _write(tmp_path / "d", a="a")
    (tmp_path / "d" / "l").symlink_to("a")
    (tmp_path / "e").symlink_to("d")
    ran = keepstep("sync", str(tmp_path / "d"), spelt.format(tmp_path / "d", tmp_path / "e"), "--delete")
    assert (ran.code, ran.out) == (2, "")
    assert "same place" in ran.err
    assert (tmp_path / "d" / "l").is_symlink()


def test_prefixes_of_one_bucket(buckets: Buckets) -> None:
    """In a bucket likewise: a target below the source does not grow, a source below the target is not deleted."""
    for key in ("a", "x/b"):
        buckets.s3.put_object(Bucket=buckets.name, Key=key, Body=b"1")
    root, below = f"s3://{buckets.name}", f"s3://{buckets.name}/x[1]"
    for _ in range(2):
        ran = buckets.sync(root, below)
        assert (ran.code, ran.err.count("left out")) == (0, 1), ran.err
    assert keepstep("verify", root, below, env=buckets.env).code == 0
    found = buckets.s3.list_objects_v2(Bucket=buckets.name)["Contents"]
    assert [each["Key"] for each in found] == ["a", "x/b", "x[1]/a", "x[1]/x/b"]
    refused = buckets.sync(below, root, "--delete", "--max-delete", "100%")
    assert refused.code == 4
    assert buckets.s3.list_objects_v2(Bucket=buckets.name)["KeyCount"] == 4


def test_prefixes_of_one_oci_bucket(world: Oci) -> None:
    """And in OCI."""
    place = world.places.new("oci")
    world.places.put(place, "a", b"1")
    below = place.rstrip("/") + "/backup/"
    for _ in range(2):
        ran = world.sync(place, below)
        assert (ran.code, ran.err.count("left out")) == (0, 1), ran.err
    assert sorted(world.places.keys(place)) == ["a", "backup/a"]
    assert world.sync(below, place, "--delete", "--max-delete", "100%").code == 4
    assert sorted(world.places.keys(place)) == ["a", "backup/a"]


@pytest.mark.parametrize("words", ["", "--delete --max-delete 100%"])
def test_a_source_that_is_mounted_in_the_target(tmp_path: Path, words: str) -> None:
    """Nothing is written or deleted through the mount point: the source stays as it is, whatever its keys are."""
    _write(tmp_path, src__a="a", src__m__a="another", dst__old="old")
    (tmp_path / "dst" / "m").mkdir()
    sync = f'exec "$2" -m keepstep sync "$1/src" "$1/dst" {words}'
    script = f'mount --bind "$1/src" "$1/dst/m" && {sync}'
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    assert contents(tmp_path / "src") == {"a": b"a", "m/a": b"another"}, ran.stderr
    assert ran.returncode == (4 if words else 2), ran.stderr
    assert (tmp_path / "dst" / "old").read_text() == "old"
