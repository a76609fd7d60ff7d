"""What keepstep has beside the AWS CLI's options: a trash, a bandwidth, modes and owners."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.buckets import Buckets
from tests.cli.inprocess import keepstep
from tests.cli.test_options_oci import Oci, world

__all__ = ["world"]
MIB = 1024 * 1024


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_trash_of_a_folder(tmp_path: Path) -> None:
    """What is deleted and what is overwritten is in the trash, under its key; what stays is not."""
    source, target, trash = (tmp_path / name for name in ("source", "target", "trash"))
    for folder, files in (
        (source, {"a": b"new", "b": b"b"}),
        (target, {"a": b"old!", "b": b"b", "d/gone": b"gone"}),
    ):
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            os.utime(folder / name, (1e9, 1e9))
    words = (str(source), str(target), "--delete", "--trash", str(trash))
    assert (keepstep("sync", *words, "--dryrun").code, trash.exists()) == (0, False)
    ran = keepstep("sync", *words)
    assert (ran.code, ran.err) == (0, "")
    assert contents(target) == {"a": b"new", "b": b"b"}
    assert contents(trash) == {"a": b"old!", "d/gone": b"gone"}


def test_the_trash_keeps_to_the_bandwidth(tmp_path: Path) -> None:
    """What goes to the trash passes through here as well, and waits for its turn."""
    source, target, trash = (tmp_path / name for name in ("source", "target", "trash"))
    for folder in (source, target):
        folder.mkdir()
        (folder / "keep").write_bytes(b"1")
    for name in "ab":
        (target / name).write_bytes(bytes(MIB))
    words = ("--delete", "--max-delete", "2", "--trash", str(trash), "--bandwidth", "2MiB/s")
    start = time.monotonic()
    assert keepstep("sync", str(source), str(target), *words).code == 0
    assert time.monotonic() - start >= 0.5  # the first MiB goes at once, the second one half a second later
    assert sorted(contents(trash)) == ["a", "b"]


def test_a_dry_run_skips_what_the_run_would_skip(buckets: Buckets, tmp_path: Path) -> None:
    """A key that can be no file is named, skipped, and makes the exit code 2 before anything is done, too."""
    for key in ("in/a", "in/" + "L" * 260, "in/x//y"):
        buckets.s3.put_object(Bucket=buckets.name, Key=key, Body=b"1")
    words = (f"s3://{buckets.name}/in", str(tmp_path / "t"), "--json")
    dry = buckets.sync(*words, "--dryrun")
    wet = buckets.sync(*words)
    assert (dry.code, wet.code) == (2, 2)
    assert sorted(a["action"] for a in dry.report["actions"]) == ["download", "skip", "skip"]
    planned, done = ({(a["source"], a["action"]) for a in ran.report["actions"]} for ran in (dry, wet))
    assert planned == done


WRONG = [
    (("--max-delete", "101%"), "error: --max-delete 101%: neither a number"),
    (("--bandwidth", "0"), "error: invalid value for '--bandwidth': 0 is not a rate"),
    (("--nosuchthing",), "error: no such option"),
    (("--compare", "luck"), "error: invalid value for '--compare'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_a_wrong_command_line_is_an_error_with_a_hint(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Exit 2, what is wrong, and where to read what there is."""
    ran = keepstep("sync", str(tmp_path), str(tmp_path / "t"), *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(said), ran.err
    assert "\nhint: " in ran.err


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("--exclude '1", "error: job.j.params: no closing quotation"),
        ("--nosuchthing", "error: job.j.params: no such option"),
        ("--max-delete 101%", "error: job.j.params: --max-delete 101%: neither a number"),
        ("--help", "error: job.j.params: --help is for the command line"),
        ("--config other.toml", "error: job.j.params: --config is for the command line"),
    ],
)
def test_wrong_params_name_the_job(tmp_path: Path, params: str, said: str) -> None:
    """sync, verify and config check say the same of them: the job's key, what is wrong, exit 5."""
    config = tmp_path / "k.toml"
    place = tmp_path / "s"
    place.mkdir()
    text = f'[job.j]\nkind = "sync"\nsource = "{place}"\ntarget = "{tmp_path}/t"\nparams = "{params}"\n'
    config.write_text(f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n{text}')
    for command in (("sync", "j"), ("verify", "j"), ("config", "check")):
        ran = keepstep("--config", str(config), *command)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith(said), ran.err
        assert "hint: write them as on the command line" in ran.err


@pytest.mark.parametrize("words", [("sync", "j"), ("verify", "j"), ("status",), ("config", "check"), ("doctor",)])
def test_config_may_stand_behind_the_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    """As every global option may; the one behind the command is the nearer one."""
    place = tmp_path / "s"
    place.mkdir()
    (place / "f").write_text("1")
    config = tmp_path / "k.toml"
    config.write_text(
        f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n'
        f'[job.j]\nkind = "sync"\nsource = "{place}"\ntarget = "{tmp_path}/t"\n'
    )
    assert keepstep("sync", "j", "--config", str(config), "--quiet").code == 0
    ran = keepstep("--config", str(tmp_path / "none.toml"), *words, "--config", str(config))
    assert ran.code == 0, ran.err
    missing = keepstep(*words, "--config", str(tmp_path / "none.toml"))
    assert (missing.code, missing.err.splitlines()[0]) == (
        5,
        f"error: there is no configuration file {tmp_path}/none.toml",
    )


def test_trash_of_a_bucket(buckets: Buckets) -> None:
    """In S3 the server moves things to the trash, their headers and metadata with them."""
    source = buckets.folder(a=b"new!", keep=b"1", keep2=b"2")
    for key in ("a", "gone"):
        buckets.s3.put_object(Bucket=buckets.name, Key=f"in/{key}", Body=b"old", Metadata={"made": "before"})
    words = ("--delete", "--max-delete", "100%", "--trash", f"s3://{buckets.name}/trash/")
    ran = buckets.sync(source, f"s3://{buckets.name}/in", *words, "--json")
    assert (ran.code, ran.report["requests"]["CopyObject"], "GetObject" in ran.report["requests"]) == (0, 2, False)
    for key in ("a", "gone"):
        assert buckets.s3.get_object(Bucket=buckets.name, Key=f"trash/{key}")["Body"].read() == b"old"
        assert buckets.head(f"trash/{key}")["Metadata"] == {"made": "before"}
    assert buckets.head("in/a")["ContentLength"] == 4


def test_trash_of_oci(world: Oci) -> None:
    """OCI's target, and a trash in another bucket."""
    target, trash = world.places.new("oci"), world.places.new("oci")
    world.places.put(target, "gone", b"old")
    ran = world.sync(world.folder(a=b"1"), target, "--delete", "--max-delete", "100%", "--trash", trash)
    assert (ran.code, ran.err) == (0, "")
    assert (world.places.contents(trash), world.places.keys(target)) == ({"gone": b"old"}, ["a"])


def test_what_the_trash_cannot_hold_is_not_lost(buckets: Buckets) -> None:
    """When the trash cannot be written, nothing is deleted and nothing is overwritten."""
    for key in ("a", "gone"):
        buckets.s3.put_object(Bucket=buckets.name, Key=key, Body=b"old")
    words = ("--delete", "--max-delete", "100%", "--trash", "s3://no-such-bucket-here/")
    ran = buckets.sync(buckets.folder(a=b"new!", b=b"1"), f"s3://{buckets.name}/", *words)
    assert ran.code == 1
    assert "NoSuchBucket" in ran.err
    assert [buckets.head(key)["ContentLength"] for key in ("a", "gone", "b")] == [3, 3, 1]


@pytest.mark.parametrize("trash", ["target", "target/trash", "source", "source/x", "."])
def test_a_trash_in_the_way_is_refused(tmp_path: Path, trash: str) -> None:
    """A trash within the source or the target, or around them, would be synced itself: exit 2."""
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    ran = keepstep("sync", str(tmp_path / "source"), str(tmp_path / "target"), "--trash", str(tmp_path / trash))
    assert (ran.code, "--trash" in ran.err) == (2, True)


def test_bandwidth(buckets: Buckets) -> None:
    """No more bytes a second than allowed, over all objects together; the profile's max_bandwidth likewise."""
    source = buckets.folder(**{f"f{n}": os.urandom(256 * 1024) for n in range(8)})
    began = time.monotonic()
    ran = buckets.sync(source, f"s3://{buckets.name}/1", "--bandwidth", "1MiB/s")
    assert (ran.code, time.monotonic() - began >= 1.75) == (0, True)
    config = buckets.tmp / "aws-config"
    config.write_text("[default]\ns3 =\n  max_bandwidth = 1MB/s\n")
    began = time.monotonic()
    ran = buckets.sync(source, f"s3://{buckets.name}/2", AWS_CONFIG_FILE=str(config))
    assert (ran.code, time.monotonic() - began >= 1.75) == (0, True)


@pytest.mark.parametrize("rate", ["fast", "0", "-1", "5 parsecs/s"])
def test_what_is_no_bandwidth_is_refused(tmp_path: Path, rate: str) -> None:
    """A rate that cannot be read is named, exit 2."""
    ran = keepstep("sync", str(tmp_path), str(tmp_path / "there"), f"--bandwidth={rate}")
    assert (ran.code, rate in ran.err) == (2, True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_modes_and_owners(buckets: Buckets, tmp_path: Path) -> None:
    """After the run everything beneath the target has the mode and the owner, also what did not change."""
    there = tmp_path / "there"
    (there / "old").mkdir(parents=True)
    (there / "old" / "file").touch(0o600)
    buckets.s3.put_object(Bucket=buckets.name, Key="d/new", Body=b"1")
    ran = buckets.sync(f"s3://{buckets.name}/", str(there), "--chmod", "u=rwX,go=rX", "--chown", "12:34")
    assert (ran.code, ran.err) == (0, "")
    found = {path.relative_to(there): path.stat() for path in there.rglob("*")}
    assert {(s.st_uid, s.st_gid) for s in found.values()} == {(12, 34)}
    assert {stat.S_IMODE(s.st_mode) for path, s in found.items() if stat.S_ISREG(s.st_mode)} == {0o644}
    assert {stat.S_IMODE(s.st_mode) for path, s in found.items() if stat.S_ISDIR(s.st_mode)} == {0o755}


def test_modes_are_for_folders_alone(buckets: Buckets) -> None:
    """A cloud has no modes: --chmod and --chown are refused there, and a wrong mode before anything moves."""
    source = buckets.folder(a=b"1")
    for words in (("--chmod", "0644"), ("--chown", "root")):
        ran = buckets.sync(source, f"s3://{buckets.name}/", *words)
        assert (ran.code, words[0] in ran.err) == (2, True)
    there = buckets.tmp / "there"
    assert (buckets.sync(source, str(there), "--chmod", "rwx").code, there.exists()) == (2, False)


def test_escaped_keys_come_back(buckets: Buckets, tmp_path: Path) -> None:
    """Keys that no file can have travel to a folder and back with --escape-keys; without it they are skipped."""
    keys = ["a", "b//c", "d/../e", "f/.", "100%", "/g"]
    for key in keys:
        buckets.s3.put_object(Bucket=buckets.name, Key=f"in/{key}", Body=key.encode())
    there, source = str(tmp_path / "there"), f"s3://{buckets.name}/in/"
    ran = buckets.sync(source, str(tmp_path / "plain"))
    assert (ran.code, ran.err.count("warning: skipped")) == (2, 4)
    ran = buckets.sync(source, there, "--escape-keys")
    assert (ran.code, ran.err) == (0, "")
    again = buckets.sync(source, there, "--escape-keys", "--delete", "--json").report
    assert (again["counts"]["unchanged"], again["actions"]) == (len(keys), [])
    assert buckets.sync(there, f"s3://{buckets.name}/back/", "--escape-keys").code == 0
    listed = buckets.s3.list_objects_v2(Bucket=buckets.name, Prefix="back/")["Contents"]
    assert sorted(item["Key"].removeprefix("back/") for item in listed) == sorted(keys)


def test_modes_and_owners_of_a_target_that_is_a_link(tmp_path: Path) -> None:
    """The folder that it leads to is what was named, as for chmod -R; links within are left alone."""
    source, folder = tmp_path / "source", tmp_path / "folder"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").touch()
    folder.mkdir()
    (tmp_path / "outside").touch(0o600)
    (folder / "link").symlink_to("../outside")
    (tmp_path / "target").symlink_to("folder")
    for target in (tmp_path / "target", f"{tmp_path}/target/"):
        words = ("--chmod", "u=rwX,go=", "--chown", "12345:54321")
        assert keepstep("sync", str(source), str(target), *words).code == 0
        found = [folder, *(path for path in folder.rglob("*") if path.name != "link")]
        assert {(s.st_uid, s.st_gid, s.st_mode & 0o077) for s in map(os.stat, found)} == {(12345, 54321, 0)}
        assert len(found) == 3
        assert os.stat(tmp_path / "outside").st_uid == os.geteuid()
        for path in found:
            os.chown(path, 0, 0)


def test_modes_are_set_as_far_as_possible(tmp_path: Path) -> None:
    """One file that refuses does not keep the others from their mode; it is named, and the run has failed."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"{number}").touch(0o600)
    keepstep("sync", str(source), str(tmp_path / "target"), "--quiet")
    subprocess.run(["chattr", "+i", str(tmp_path / "target" / "1")], check=False, capture_output=True)
    try:
        with suppress(PermissionError):
            os.utime(tmp_path / "target" / "1")
            pytest.skip("no immutable files here")
        ran = keepstep("sync", str(source), str(tmp_path / "target"), "--chmod", "0640", "--size-only")
        assert (ran.code, "target/1: its mode" in ran.err) == (1, True)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "target").iterdir()}
        assert modes == {"0": 0o640, "1": modes["1"], "2": 0o640}
    finally:
        subprocess.run(["chattr", "-i", str(tmp_path / "target" / "1")], check=False, capture_output=True)


def test_a_trash_with_escaped_keys(tmp_path: Path, buckets: Buckets) -> None:
    """What --escape-keys wrote is kept in a local trash under the same names, and so is what S3 holds."""
    for key in ("keep", "a//b", "c/../d", "e/"):
        buckets.s3.put_object(Bucket=buckets.name, Key=key, Body=b"1")
    place, folder, trash = f"s3://{buckets.name}/", str(tmp_path / "folder"), str(tmp_path / "trash")
    assert buckets.sync(place, folder, "--escape-keys").code == 0
    names = {name: data for name, data in contents(tmp_path / "folder").items() if name != "keep"}
    assert set(names) == {"a/%/b", "c/%2E%2E/d", "e/%"}
    options = ("--delete", "--max-delete", "100%", "--escape-keys", "--exclude", "no", "--trash")
    only_keep = buckets.folder(keep=b"1")
    ran = buckets.sync(only_keep, folder, *options, trash, "--size-only")
    assert (ran.code, contents(tmp_path / "trash")) == (0, names), ran.err
    ran = buckets.sync(only_keep, place, *options, trash + "2", "--size-only")
    assert (ran.code, contents(tmp_path / "trash2")) == (0, names), ran.err
    found = buckets.s3.list_objects_v2(Bucket=buckets.name)["Contents"]
    assert [each["Key"] for each in found] == ["keep"]


def test_oci_keeps_things_in_its_trash_itself(world: Oci) -> None:
    """From one bucket of OCI to another the service copies: no byte passes through here."""
    target, trash = world.places.new("oci"), world.places.new("oci")
    world.places.put(target, "gone", b"old")
    world.places.put(target, "a", b"old!")
    options = ("--delete", "--max-delete", "100%", "--trash", trash, "--json")
    ran = world.sync(world.folder(a=b"1"), target, *options)
    assert ran.code == 0, ran.err
    assert world.places.contents(trash) == {"gone": b"old", "a": b"old!"}
    assert (ran.report["requests"]["CopyObject"], "GetObject" in ran.report["requests"]) == (2, False)
