"""What is said where a user lacks a permission: who that is, whose the folder is, and the two ways out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.servers import Aws, absent, program

CONTAINER = "keepstep.hosts.container"


def as_65532(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As the user of the image, who has no power over others' files."""
    if os.geteuid():
        absent("another user", "the tests run it as root")
    if not all(folder.stat().st_mode & 0o001 for folder in Path(sys.executable).resolve().parents):
        pytest.skip("this Python is installed where other users cannot start it, such as in root's home")
    words = [
        program("setpriv", "setpriv (util-linux)"),
        "--reuid=65532",
        "--regid=65532",
        "--clear-groups",
        *command,
    ]
    env = {**os.environ, "HOME": "/nonexistent", **variables}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a folder of root's that all may read, and one of the user's."""
    everything = Path(tempfile.gettempdir()).resolve()
    for each in (tmp_path, *tmp_path.parents):
        if everything in each.parents:  # pytest's own folders; with workers there is one more of them
            each.chmod(0o755)
    for name in ("in", "data", "tmp", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    (tmp_path / "in" / "a").write_text("1")
    for name in ("tmp", "mine"):
        os.chown(tmp_path / name, 65532, 65532)
    return tmp_path


def drop_in(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    places = {"SYNC_FROM": f"{folder}/in", "SYNC_TO": f"{folder}/{target}", "SYNC_MODE": "STARTUP"}
    return as_65532(sys.executable, "-P", "-m", CONTAINER, TMPDIR=f"{folder}/tmp", **places, **variables)


def test_a_folder_of_roots(folder: Path) -> None:
    """A host's folder mounted at the target: the hint names user 65532, the folder, chown, and --user."""
    ran = drop_in(folder, "data")
    assert ran.returncode == 1
    where = f"{folder}/data"
    assert f"keepstep runs as the user 65532, and {where} belongs to the user 0 (mode 0755)" in ran.stderr
    assert f"chown 65532 {where}, or run as its owner (a container: --user 0:0)" in ran.stderr


def test_a_file_that_stands_there(folder: Path) -> None:
    """Where the file is there already the folder is named, since it is what cannot be written."""
    (folder / "data" / "a").write_text("older and longer")
    ran = drop_in(folder, "data")
    assert f"chown 65532 {folder}/data, or" in ran.stderr


def test_giving_files_away(folder: Path) -> None:
    """CHOWN_OWNER as the image's user: the files are there, and the hint has the two ways out."""
    ran = drop_in(folder, "mine", CHOWN_OWNER="1000")
    assert ran.returncode == 1
    assert (folder / "mine" / "a").read_text() == "1"
    assert "keepstep runs as the user 65532, and only root can change an owner" in ran.stderr
    assert "--user 0 --cap-drop=all --cap-add=CHOWN,FOWNER,DAC_OVERRIDE" in ran.stderr
    assert "without CHOWN_OWNER as that owner (--user)" in ran.stderr


def test_a_mark_of_completion(folder: Path) -> None:
    """COMPLETION_FILENAME in a folder that cannot be written says the same of it."""
    (folder / "in" / "a").unlink()
    ran = drop_in(folder, "data", COMPLETION_FILENAME=".done", SYNC_PARAMS="--allow-empty-source")
    assert ran.returncode != 0
    assert f"chown 65532 {folder}/data" in ran.stderr


def test_the_state(folder: Path) -> None:
    """A state folder of root's: the user, the folder, the two ways out, and the setting."""
    config = folder / "keepstep.toml"
    config.write_text(
        f'[state]\nurl = "sqlite:///{folder}/data/state.db"\n'
        f'[job.x]\nkind = "sync"\nsource = "{folder}/in"\ntarget = "{folder}/mine"\n'
    )
    command = [sys.executable, "-P", "-m", "keepstep", "--config", str(config)]
    for words in (["sync", "x"], ["run"]):
        ran = as_65532(*command, *words)
        assert ran.returncode == 5, ran.stderr
        assert f"keepstep runs as the user 65532, and {folder}/data belongs to the user 0" in ran.stderr
        assert "or set [state] url to a" in ran.stderr


def test_the_folder_of_secrets(folder: Path, moto: Aws) -> None:
    """A folder for secrets that this user cannot write is named with its owner and the two ways out."""
    name = f"permissions-{uuid.uuid4().hex[:8]}"
    moto.client("secretsmanager").create_secret(Name=name, SecretString="S3cr3t")
    (folder / "map.csv").write_text(f"aws-sm:{name},{folder}/data/sub/password,0400,,\n")
    config = folder / "keepstep.toml"
    config.write_text(f'[job.x]\nkind = "secrets"\nmap = "{folder}/map.csv"\n')
    command = [sys.executable, "-P", "-m", "keepstep", "--config", str(config)]
    ran = as_65532(*command, "secrets", "apply", "x", **moto.env)
    assert ran.returncode != 0
    assert "S3cr3t" not in ran.stderr + ran.stdout
    assert f"chown 65532 {folder}/data" in ran.stderr, ran.stderr


def test_a_read_only_mount(tmp_path: Path) -> None:
    """A volume that is mounted with :ro says so, and what takes it away."""
    script = (
        f"mkdir {tmp_path}/in {tmp_path}/data && echo 1 > {tmp_path}/in/a && "
        f"mount -t tmpfs -o ro tmpfs {tmp_path}/data && "
        f"exec {sys.executable} -P -m keepstep sync {tmp_path}/in {tmp_path}/data"
    )
    words = [program("unshare", "unshare (util-linux)"), "--mount", "sh", "-c", script]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "the file system is mounted read-only; a container's volume is writable without :ro" in ran.stderr
