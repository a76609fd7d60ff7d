"""How a run asks, compares and tells: pages, archives, links, case, timeouts, progress, the ``s3 =`` block."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.buckets import Buckets
from tests.servers import Aws

MIB = 1024 * 1024


def test_page_size(buckets: Buckets) -> None:
    """--page-size is the number of keys in an answer: more pages, the same result."""
    source = buckets.folder(**{f"f{n}": b"1" for n in range(7)})
    assert buckets.sync(source, f"s3://{buckets.name}/").code == 0
    few = buckets.sync(source, f"s3://{buckets.name}/", "--page-size", "2", "--json").report
    assert (few["counts"]["unchanged"], few["requests"]["ListObjectsV2"] >= 4) == (7, True)
    many = buckets.sync(source, f"s3://{buckets.name}/", "--page-size", "5000", "--json").report
    assert (many["counts"]["unchanged"], many["requests"]["ListObjectsV2"]) == (7, 1)


@pytest.fixture
def archived(buckets: Buckets) -> Buckets:
    """One object in the archive, one beside it."""
    buckets.s3.put_object(Bucket=buckets.name, Key="frozen", Body=b"1", StorageClass="GLACIER")
    buckets.s3.put_object(Bucket=buckets.name, Key="warm", Body=b"1")
    return buckets


def test_archived_objects_are_skipped_with_a_warning(archived: Buckets, tmp_path: Path) -> None:
    """An object that has to be restored first is skipped by name, exit 2; the others arrive."""
    ran = archived.sync(f"s3://{archived.name}/", str(tmp_path / "d"))
    assert (ran.code, os.listdir(tmp_path / "d")) == (2, ["warm"])
    assert "frozen" in ran.err and "archived" in ran.err


def test_archive_warnings_can_be_ignored(archived: Buckets, tmp_path: Path) -> None:
    """--ignore-glacier-warnings passes over them without a word, exit 0; --explain still says why."""
    ran = archived.sync(f"s3://{archived.name}/", str(tmp_path / "d"), "--ignore-glacier-warnings")
    assert (ran.code, ran.err, os.listdir(tmp_path / "d")) == (0, "", ["warm"])
    ran = archived.sync(f"s3://{archived.name}/", str(tmp_path / "e"), "--ignore-glacier-warnings", "--explain")
    assert "frozen" in ran.out and "archived" in ran.out


def test_archived_objects_can_be_asked_for(archived: Buckets, tmp_path: Path) -> None:
    """--force-glacier-transfer asks for them all the same, and what the store says is reported."""
    ran = archived.sync(f"s3://{archived.name}/", str(tmp_path / "d"), "--force-glacier-transfer")
    assert (ran.code, os.listdir(tmp_path / "d")) == (1, ["warm"])
    assert "download failed" in ran.err and "InvalidObjectState" in ran.err


def test_links_are_followed_or_not(buckets: Buckets) -> None:
    """Uploads take what links lead to; with --no-follow-symlinks a link is nothing, of a file or of a folder."""
    source = Path(buckets.folder(a=b"1", d__b=b"2"))
    (source / "file-link").symlink_to("a")
    (source / "folder-link").symlink_to("d")
    followed = buckets.sync(str(source), f"s3://{buckets.name}/1").out
    plain = buckets.sync(str(source), f"s3://{buckets.name}/2", "--no-follow-symlinks")
    assert followed.count("upload: ") == 4
    assert (plain.code, plain.out.count("upload: "), "-link" in plain.out, plain.err) == (0, 2, False, "")


def test_no_links_but_pipes(buckets: Buckets) -> None:
    """With --no-follow-symlinks pipes are still named; only links are passed over."""
    source = Path(buckets.folder(a=b"1"))
    os.mkfifo(source / "pipe")
    (source / "dangling").symlink_to("nowhere")
    ran = buckets.sync(str(source), f"s3://{buckets.name}/", "--no-follow-symlinks")
    assert (ran.code, "pipe" in ran.err, "dangling" in ran.err) == (2, True, False)


def test_nothing_is_overwritten(buckets: Buckets) -> None:
    """--no-overwrite leaves alone what is at the target, whatever its size."""
    source = buckets.folder(a=b"longer", b=b"1")
    buckets.s3.put_object(Bucket=buckets.name, Key="a", Body=b"1")
    ran = buckets.sync(source, f"s3://{buckets.name}/", "--no-overwrite")
    assert (ran.code, ran.out.count("upload: ")) == (0, 1)
    assert buckets.head("a")["ContentLength"] == 1


@pytest.fixture
def cases(buckets: Buckets) -> Buckets:
    for key in ("README", "d/x", "readme", "z"):
        buckets.s3.put_object(Bucket=buckets.name, Key=key, Body=key.encode())
    return buckets


@pytest.mark.parametrize(
    ("policy", "code", "there"),
    [("ignore", 0, 4), ("warn", 0, 4), ("skip", 0, 3), ("error", 1, None)],
)
def test_names_that_differ_in_case(
    cases: Buckets, tmp_path: Path, policy: str, code: int, there: int | None
) -> None:
    """Of two downloads whose names differ only in case the second is taken, taken with a warning, or passed over;
    or the run ends with an error that names it."""
    ran = cases.sync(f"s3://{cases.name}/", str(tmp_path / "d"), "--case-conflict", policy)
    found = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert ran.code == code, ran.err
    assert there is None or len(found) == there
    assert ("readme" in ran.err) == (policy != "ignore")


def test_case_is_minded_in_downloads_only(buckets: Buckets) -> None:
    """Uploads keep names that differ only in case, whatever the option says: buckets mind case."""
    source = buckets.folder(README=b"1", readme=b"2")
    ran = buckets.sync(source, f"s3://{buckets.name}/", "--case-conflict", "error")
    assert (ran.code, ran.out.count("upload: ")) == (0, 2)


def test_read_timeout(buckets: Buckets) -> None:
    """--cli-read-timeout is the longest silence of a store; the error names the store and the time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        words = ("--endpoint-url", url, "--cli-read-timeout", "1", "--cli-connect-timeout", "0", "--page-size", "9")
        ran = _impatient(buckets, *words)
    assert ran.code == 1 and "was silent for 1 s" in ran.err
    assert time.monotonic() - began < 120


def _impatient(buckets: Buckets, *words: str) -> Any:
    return buckets.sync(buckets.folder(a=b"1"), "s3://b/", *words, "--dryrun")


def test_progress_as_lines(buckets: Buckets) -> None:
    """--progress-multiline writes progress to stderr line by line, without a terminal; --no-progress forbids it."""
    source = buckets.folder(a=b"1" * 1000, b=b"2" * 1000)
    ran = buckets.sync(source, f"s3://{buckets.name}/1", "--progress-multiline", "--progress-frequency", "3600")
    lines = ran.err.splitlines()
    assert lines == [lines[-1]] and lines[-1].startswith("Completed 2.0 KiB/2.0 KiB (")
    assert lines[-1].endswith("with 0 file(s) remaining")
    assert buckets.sync(source, f"s3://{buckets.name}/2", "--progress-multiline", "--no-progress").err == ""


def test_debug_says_more(buckets: Buckets) -> None:
    """--debug and --verbose say at the end how much was done and asked for, also without a terminal."""
    for option in ("--debug", "--verbose"):
        ran = buckets.sync(buckets.folder(a=b"1"), f"s3://{buckets.name}/{option}", option)
        assert "1 transferred" in ran.err and "1 PutObject" in ran.err


def profile(buckets: Buckets, text: str) -> dict[str, str | None]:
    config = buckets.tmp / "aws-config"
    config.write_text(f"[default]\ns3 =\n  {text}\n")
    return {"AWS_CONFIG_FILE": str(config)}


def test_threshold_and_chunks_of_the_profile(buckets: Buckets) -> None:
    """The profile says from which size an object travels in parts, and how large they are.

    So few bytes are sent that it does not pay to try how the store checks bodies.
    """
    source = buckets.folder(a=os.urandom(5 * MIB), b=os.urandom(12 * MIB))
    env = profile(buckets, "multipart_threshold = 6MB\n  multipart_chunksize = 5MB")
    requests = buckets.sync(source, f"s3://{buckets.name}/1", "--json", **env).report["requests"]
    assert (requests["PutObject"], requests["UploadPart"]) == (1, 3)
    env = profile(buckets, "multipart_threshold = 40MB")
    requests = buckets.sync(source, f"s3://{buckets.name}/2", "--json", **env).report["requests"]
    assert (requests["PutObject"], "UploadPart" in requests) == (2, False)


@pytest.mark.parametrize(
    "text",
    ["multipart_threshold = lots", "max_bandwidth = 5", "max_bandwidth = 5MB", "max_concurrent_requests = 0"],
)
def test_a_wrong_setting_is_named(buckets: Buckets, text: str) -> None:
    """What the ``s3 =`` block cannot mean ends the run with 5, and the setting is named."""
    ran = buckets.sync(buckets.folder(a=b"1"), f"s3://{buckets.name}/", **profile(buckets, text))
    assert (ran.code, text.partition(" ")[0] in ran.err) == (
        (5, True) if text != "max_bandwidth = 5" else (0, False)
    )


def test_anonymous_requests(moto: Aws, buckets: Buckets, tmp_path: Path) -> None:
    """--no-sign-request needs no credentials at all."""
    buckets.s3.put_object(Bucket=buckets.name, Key="a", Body=b"1", ACL="public-read")
    none: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    ran = buckets.sync(f"s3://{buckets.name}/", str(tmp_path / "d"), "--no-sign-request", **none)
    assert ran.code == 0, ran.err


def test_options_of_a_job(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """``params`` of a configured job takes the same options, those with many values and those with none."""
    state, source = buckets.tmp / "state", buckets.folder(a=b"1")
    everyone = "uri=http://acs.amazonaws.com/groups/global/AllUsers"
    (buckets.tmp / "keepstep.toml").write_text(
        f'[state]\nurl = "sqlite:///{state}/state.db"\n[job.copy]\nkind = "sync"\nsource = "{source}"\n'
        f'target = "s3://{buckets.name}/"\n'
        f"""params = "--exclude 'x y*' --metadata 'a=1,b=two words' --grants read={everyone} full=id=1 --sse"\n"""
    )
    monkeypatch.chdir(buckets.tmp)
    ran = buckets.sync("copy", "--storage-class", "STANDARD_IA")
    assert (ran.code, ran.err) == (0, "")
    head = buckets.head("a")
    found = (head["Metadata"], head["ServerSideEncryption"], head["StorageClass"])
    assert found == ({"a": "1", "b": "two words"}, "AES256", "STANDARD_IA")
