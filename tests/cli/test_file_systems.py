"""File systems that cannot do everything, and machines that fail at the wrong moment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_options_own import contents
from tests.preload import preloaded


def _sync(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepstep", "sync", *map(str, words)]
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small files, which are flushed together, and one that travels in parts."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(20):
        (folder / f"small{number}").write_text(str(number))
    (folder / "large").write_bytes(bytes(17 * 1024 * 1024))
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_no_flushing(tmp_path: Path, source: Path, number: int) -> None:
    """Where files cannot be flushed they arrive all the same; it is said once, and the run ends with 2."""
    refusing = preloaded(tmp_path, REFUSE_fsync=str(number), REFUSE_syncfs=str(number))
    ran = _sync(source, tmp_path / "target", **refusing)
    assert (ran.returncode, ran.stderr.count("cannot be flushed")) == (2, 1), ran.stderr
    assert contents(tmp_path / "target") == contents(source)


def test_a_device_that_fails(tmp_path: Path, source: Path) -> None:
    """EIO is no such file system: what could not be flushed has not arrived."""
    refusing = preloaded(tmp_path, REFUSE_fsync=str(errno.EIO), REFUSE_syncfs=str(errno.EIO))
    ran = _sync(source, tmp_path / "target", **refusing)
    assert ran.returncode == 1
    assert contents(tmp_path / "target") == {}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_no_times(tmp_path: Path, source: Path, number: int) -> None:
    """Where times cannot be set, likewise."""
    ran = _sync(source, tmp_path / "target", **preloaded(tmp_path, REFUSE_futimens=str(number)))
    assert (ran.returncode, ran.stderr.count("times of files cannot be set")) == (2, 1), ran.stderr
    assert contents(tmp_path / "target") == contents(source)


def _calls(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_what_is_in_the_trash_is_on_the_device(tmp_path: Path, source: Path) -> None:
    """Its name in the trash is flushed before the file is deleted or overwritten: a crash loses nothing."""
    target = tmp_path / "target"
    target.mkdir()
    for name in ("gone", "small0"):
        (target / name).write_text("before")
    words = (
        source,
        target,
        "--delete",
        "--max-delete",
        "100%",
        "--trash",
        tmp_path / "trash",
        "--exclude",
        "large",
    )
    ran = _sync(*words, **preloaded(tmp_path, CALLS=str(tmp_path / "calls")))
    assert ran.returncode == 0, ran.stderr
    calls = _calls(tmp_path / "calls")
    kept, deleted = calls.index("rename gone"), calls.index("unlink gone")
    assert "syncfs " in calls[kept:deleted]
    first, second = (n for n, call in enumerate(calls) if call == "rename small0")
    assert "syncfs " in calls[first:second]


def test_what_has_arrived_is_on_the_device_before_anything_is_deleted(tmp_path: Path, source: Path) -> None:
    """Files that have moved to other names at the source are not lost under both by a crash."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "gone").write_text("before")
    words = (source, target, "--delete", "--max-delete", "100%")
    ran = _sync(*words, **preloaded(tmp_path, CALLS=str(tmp_path / "calls")))
    assert ran.returncode == 0, ran.stderr
    calls = _calls(tmp_path / "calls")
    arrived = max(n for n, call in enumerate(calls) if call.startswith("rename "))
    assert "syncfs " in calls[arrived : calls.index("unlink gone")]
    (tmp_path / "calls").unlink()
    assert _sync(source, tmp_path / "other", **preloaded(tmp_path, CALLS=str(tmp_path / "calls"))).returncode == 0
    assert not _calls(tmp_path / "calls")[-1].startswith("unlink"), "and nothing is flushed for nobody"


def test_folders_above_a_file_are_flushed_with_it(tmp_path: Path) -> None:
    """A trash of large files in new folders: the flush follows the rename, whatever was made on the way."""
    (tmp_path / "source").mkdir()
    target = tmp_path / "target" / "a" / "b"
    target.mkdir(parents=True)
    (target / "large").write_bytes(bytes(17 * 1024 * 1024))
    words = (
        tmp_path / "source",
        tmp_path / "target",
        "--delete",
        "--allow-empty-source",
        "--trash",
        tmp_path / "t",
    )
    ran = _sync(*words, **preloaded(tmp_path, CALLS=str(tmp_path / "calls")))
    assert ran.returncode == 0, ran.stderr
    calls = _calls(tmp_path / "calls")
    assert "syncfs " in calls[calls.index("rename large") : calls.index("unlink large")]
    assert (tmp_path / "t" / "a" / "b" / "large").exists()


OTHERS = """
import os, sys
from keepstep.clouds.oci_token import write_token
from keepstep.secrets.files import FileAttributes, replace
os.chdir(sys.argv[1])
folder = os.open(".", os.O_RDONLY)
replace(folder, "secret", b"value", FileAttributes(0o600), lambda: None)
open("token", "w").close()
write_token("token", "a.b.c")
"""


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_secrets_and_tokens(tmp_path: Path, number: int) -> None:
    """They arrive, too, where nothing can be flushed; a device that fails is an error."""
    env = {**os.environ, **preloaded(tmp_path, REFUSE_fsync=str(number))}
    (tmp_path / "files").mkdir()
    command = [sys.executable, "-c", OTHERS, str(tmp_path / "files")]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    if number == errno.EIO:
        assert (ran.returncode, os.listdir(tmp_path / "files")) == (1, [])
    else:
        assert ran.returncode == 0, ran.stderr
        assert contents(tmp_path / "files") == {"secret": b"value", "token": b"a.b.c"}
