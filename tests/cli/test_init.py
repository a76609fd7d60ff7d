"""``keepstep init``: a file that is whole, private, right, and never in the place of another one."""

from __future__ import annotations

import errno
import os
import pty
import select
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from keepstep.config import load
from tests.cli.conftest import Ran
from tests.cli.inprocess import keepstep

SEED = Path(__file__).parents[1] / "deploy/oci_rclone_sync.tfvars"
CONTAINER: dict[str, str | None] = {
    "SYNC_FROM": "s3://bucket/${HOME}/",
    "SYNC_TO": "/data",
    "SYNC_PARAMS": "--delete --exclude 'é \"q\" ${X}'",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def checked(path: Path) -> Ran:
    return keepstep("--config", str(path), "config", "check")


def test_the_file_is_private_and_passes_the_check(folder: Path) -> None:
    """Mode 0600 whatever the umask, nothing beside it, and the next command is named."""
    before = os.umask(0)
    try:
        ran = keepstep("init", "--from-env", env=CONTAINER)
    finally:
        os.umask(before)
    path = folder / "keepstep.toml"
    assert ran.code == 0 and ran.out.splitlines()[-1].startswith("next: keepstep doctor ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(folder) == ["keepstep.toml"]
    assert checked(path).code == 0
    job = load(path).job["sync"]
    assert job.kind == "sync" and (job.source, job.params) == (CONTAINER["SYNC_FROM"], CONTAINER["SYNC_PARAMS"])


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder"])
def test_nothing_is_overwritten(folder: Path, kind: str) -> None:
    """Neither a file, nor a link, wherever it leads: exit 4, and it is as it was."""
    path = folder / "keepstep.toml"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder / "other")
        if kind == "link":
            (folder / "other").write_text("mine")
    before = sorted(os.listdir(folder))
    ran = keepstep("init", "--from-env", env=CONTAINER)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: keepstep.toml exists") and "hint: name another file" in ran.err
    assert sorted(os.listdir(folder)) == before
    assert kind in ("folder", "dangling") or path.read_text() == "mine"


def test_a_file_system_without_links_gets_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and some network file systems have no hard links; a name that is taken meanwhile is still respected."""

    def no_links(*args: object, **rest: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert keepstep("init", "--from-env", "--output", "a.toml", env=CONTAINER).code == 0
    assert stat.S_IMODE((folder / "a.toml").stat().st_mode) == 0o600 and os.listdir(folder) == ["a.toml"]


def test_stdout_has_the_file_alone(folder: Path) -> None:
    """What is to be said goes to stderr; nothing is made."""
    ran = keepstep("init", "--from-tfvars", str(SEED), "--output", "-")
    assert ran.code == 0 and "cost-reports" in tomllib.loads(ran.out)["job"]
    assert "next: keepstep doctor" in ran.err and "warning: not taken over: existing_compartment_id" in ran.err
    assert os.listdir(folder) == []


def test_json_says_what_was_done(folder: Path) -> None:
    """One document; --config names the file as everywhere else."""
    ran = keepstep("--config", "other.toml", "init", "--json", "--from-tfvars", str(SEED))
    assert (ran.code, ran.err) == (0, "") and os.listdir(folder) == ["other.toml"]
    found = ran.report
    assert (found["version"], found["kind"], found["path"]) == (1, "init", "other.toml")
    assert found["jobs"] == [{"name": "cost-reports", "kind": "sync"}]
    assert len(found["left_to_do"]) == 3 and len(found["ignored"]) == 4


def test_doctor_says_what_is_left(folder: Path) -> None:
    """The profiles that the file names are not there yet: it says which, and how to make them."""
    assert keepstep("init", "--from-tfvars", str(SEED)).code == 0
    ran = keepstep("--config", "keepstep.toml", "doctor", env={"HOME": str(folder)})
    assert ran.code == 1 and "FAIL" in ran.out and "OCI configuration" in ran.out and "profile" in ran.out


def test_a_map_becomes_a_job(folder: Path) -> None:
    """With its absolute path; a map with a bad line is refused by that line."""
    (folder / "map.csv").write_text("ocid1.vaultsecret.oc1..aaaa,/run/secrets/a,0600,app,HUP\n")
    assert keepstep("init", "--from-map", "map.csv").code == 0
    assert checked(folder / "keepstep.toml").code == 0
    job = load(folder / "keepstep.toml").job["secrets"]
    assert job.kind == "secrets" and job.map == str(folder / "map.csv")
    (folder / "bad.csv").write_text("# one\nnonsense\n")
    ran = keepstep("init", "--from-map", "bad.csv", "--output", "b.toml")
    assert ran.code == 5 and "bad.csv line 2" in ran.err and not (folder / "b.toml").exists()


def test_rclone_becomes_jobs(folder: Path) -> None:
    """What is to be synced is said as for rclone; the file of it passes the check."""
    (folder / "rclone.conf").write_text(
        "[oci]\ntype = oracleobjectstorage\nnamespace = ns\nprovider = instance_principal_auth\n"
        "[aws]\ntype = s3\naccess_key_id = AKIAHUSH\nsecret_access_key = hush\n"
    )
    ran = keepstep("init", "--from-rclone", "rclone.conf", "--sync", "oci:in/a", "aws:out")
    assert ran.code == 0 and "aws configure --profile aws" in ran.out
    text = (folder / "keepstep.toml").read_text()
    assert "hush" not in text.lower() and checked(folder / "keepstep.toml").code == 0
    job = load(folder / "keepstep.toml").job["oci-to-aws"]
    assert job.kind == "sync" and (job.source, job.target) == ("oci://in@ns/a/", "s3://out/")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "there is no terminal to ask questions at"),
        (["--from-env"], 5, "no variable of the sync container or of the rotation worker is set"),
        (["--from-env", "--from-map", "m"], 2, "--from-env and --from-map: a file has one origin"),
        (["--from-rclone", "m", "--sync", "a:b", "--quiet"], 2, "--sync needs two values"),
        (["--from-env", "--json", "--output", "-"], 2, "--json and --output - both want stdout"),
        (["--sync", "a", "b"], 2, "--sync belongs to --from-rclone"),
        (["--from-map", "absent"], 5, "there is no map file absent"),
        (["--from-tfvars", "absent"], 5, "cannot read absent"),
        (["--from-rclone", "absent"], 5, "cannot read absent"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(folder: Path, words: list[str], code: int, says: str) -> None:
    """An error, a hint, and no file."""
    ran = subprocess.run(
        [sys.executable, "-m", "keepstep", "init", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (code, "")
    assert f"error: {says}" in ran.stderr and "hint: " in ran.stderr and os.listdir(folder) == []


def test_a_schedule_that_makes_no_sense_is_the_variable_s(folder: Path) -> None:
    """Named as its user wrote it; nothing is written."""
    ran = keepstep("init", "--from-env", env=CONTAINER | {"CRON_SCHEDULE": "often"})
    assert ran.code == 5 and "CRON_SCHEDULE" in ran.err and "job.sync" not in ran.err and os.listdir(folder) == []


def test_a_folder_that_is_absent_is_named(folder: Path) -> None:
    """With the command that makes it."""
    ran = keepstep("init", "--from-env", "--output", "no/keepstep.toml", env=CONTAINER)
    assert ran.code == 5 and "the folder no does not exist" in ran.err and "mkdir -p no" in ran.err


def at_terminal(answers: list[str | None], *words: str) -> tuple[int, str]:
    """Answers each prompt at a terminal; None is Ctrl-D. Returns the exit code and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "keepstep", "init", *words]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    asked = 0
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # which is how a terminal ends
            break
        shown += piece
        while shown.count(b"]: ") > asked and asked < len(answers):
            answer = answers[asked]
            os.write(ours, b"\x04" if answer is None else f"{answer}\n".encode())
            asked += 1
    os.close(ours)
    return process.wait(30), shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("first", ["", "sync", "secrets", "rotate"])
def test_every_question_has_a_default(folder: Path, first: str) -> None:
    """Enter alone, for each kind of job, makes a file that passes the check."""
    code, shown = at_terminal([first, *[""] * 10])
    assert code == 0, shown
    ran = checked(folder / "keepstep.toml")
    assert ran.code == 0, ran.err
    assert (
        list(load(folder / "keepstep.toml").job) == [first or "cost-reports"] and "next: keepstep doctor" in shown
    )


def test_answers_are_checked_and_written_as_they_are(folder: Path) -> None:
    """A wrong one is explained and asked for again."""
    code, shown = at_terminal(
        ["sync", "gs://x", './a é "b"', "s3://bucket/${x}/", "perhaps", "yes", "soon", "@every 30m"]
    )
    assert code == 0 and "unknown kind of address gs://" in shown and "it is yes or no" in shown
    job = load(folder / "keepstep.toml").job["sync"]
    assert job.kind == "sync"
    assert (job.source, job.target, job.params) == ('./a é "b"', "s3://bucket/${x}/", "--delete")
    assert job.schedule == "@every 30m" and job.startup


def test_the_end_of_the_input_writes_nothing(folder: Path) -> None:
    """Ctrl-D at any question: exit 130."""
    code, _ = at_terminal(["sync", None])
    assert code == 130 and os.listdir(folder) == []
