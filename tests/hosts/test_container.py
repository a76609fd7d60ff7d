"""The drop-in container as a process, against the local AWS: each variable of periodic-s3-sync."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.hosts.fixtures import COPY, Place, Service, service, until
from tests.servers import Aws

COMMAND = [sys.executable, "-m", "keepstep.hosts.container"]


class Container:
    """A bucket, a folder for data, and the variables that a user would give."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.bucket = f"data-{uuid.uuid4().hex[:10]}"
        self.s3 = aws.client("s3")
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.variables = {
            **aws.env,
            "SYNC_FROM": f"s3://{self.bucket}/files/",
            "SYNC_TO": str(self.data),
            "SYNC_MODE": "STARTUP",
        }

    def put(self, **files: str) -> None:
        self.s3.create_bucket(Bucket=self.bucket)
        for name, text in files.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"files/{name.replace('__', '/')}", Body=text)

    def run(self, **changed: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            COMMAND,
            env=self.env(changed),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def env(self, changed: dict[str, str | None]) -> dict[str, str]:
        merged = {**os.environ, **self.variables, **changed}
        return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def container(moto: Aws, tmp_path: Path) -> Container:
    return Container(moto, tmp_path)


def test_startup_syncs_once(container: Container) -> None:
    """``STARTUP`` brings the files, prints the AWS CLI's lines, and ends with the run's exit code."""
    container.put(a="1", sub__b="2")
    result = container.run()
    assert result.returncode == 0, result.stderr
    assert f"download: s3://{container.bucket}/files/a to data/a" in result.stdout
    assert {path.name: path.read_text() for path in container.data.rglob("*") if path.is_file()} == {
        "a": "1",
        "b": "2",
    }


def test_modes_and_owners_of_the_whole_tree(container: Container) -> None:
    """``CHMOD_MODE`` and ``CHOWN_OWNER`` apply to files and folders, changed or not; links lead nowhere."""
    container.put(a="1", sub__b="2")
    container.data.mkdir()
    outside = container.folder / "outside"
    outside.write_text("precious")
    outside.chmod(0o600)
    (container.data / "mine").write_text("was here before")
    (container.data / "link").symlink_to(outside)
    owner = {"CHOWN_OWNER": "65534:65534"} if os.getuid() == 0 else {}
    result = container.run(CHMOD_MODE="u=rwX,go=rX", **owner)
    assert result.returncode == 0, result.stderr
    found = {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in (container.data, *container.data.rglob("*"))
        if path.name != "link"
    }
    assert found == {"data": 0o755, "a": 0o644, "sub": 0o755, "b": 0o644, "mine": 0o644}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600
    if owner:
        assert {path.lstat().st_uid for path in container.data.rglob("*")} == {65534}
        assert outside.stat().st_uid == 0


def test_completion_is_marked_and_never_synced(container: Container) -> None:
    """``COMPLETION_FILENAME`` appears under the local side, survives ``--delete``, and is sent nowhere."""
    container.put(a="1")
    for _ in range(2):
        assert container.run(COMPLETION_FILENAME=".done[1]", SYNC_PARAMS="--delete").returncode == 0
        assert (container.data / ".done[1]").exists()
    back = container.run(
        COMPLETION_FILENAME=".done[1]", SYNC_FROM=str(container.data), SYNC_TO=f"s3://{container.bucket}/back/"
    )
    assert back.returncode == 0
    listed = container.s3.list_objects_v2(Bucket=container.bucket, Prefix="back/")["Contents"]
    assert [item["Key"] for item in listed] == ["back/a"]


def test_a_failed_startup_marks_nothing(container: Container) -> None:
    """No bucket: the exit code is the run's, and completion is not claimed."""
    result = container.run(COMPLETION_FILENAME=".done")
    assert result.returncode == 5
    assert "error:" in result.stderr
    assert not (container.data / ".done").exists()


def test_params_are_split_without_globbing(container: Container) -> None:
    """``SYNC_PARAMS`` are split as a shell would, quotes and all, but ``*`` stays a star."""
    container.put(a="1", keep="2")
    (container.folder / "decoy").write_text("would be globbed")
    name = "files/with space.txt"
    container.s3.put_object(Bucket=container.bucket, Key=name, Body=b"3")
    result = container.run(SYNC_PARAMS="""--exclude * --include 'with space.txt' --include "ke?p" """)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in container.data.iterdir()) == ["keep", "with space.txt"]


def test_a_failing_start_does_not_end_a_periodic_container(container: Container) -> None:
    """``STARTUP+PERIODIC`` (the default) goes on after a failure; when the bucket is there, so are the files."""
    env = container.env({"SYNC_MODE": None, "CRON_SCHEDULE": "@every 2s"})
    with service(COMMAND, container.log, **env) as daemon:
        assert daemon.wait("run ended")["exit_code"] == 5
        assert daemon.events("run started")[0]["cause"] == "startup"
        container.put(a="1")
        until(lambda: (container.data / "a").exists(), container.log)
        assert daemon.stop() == 0


def test_periodic_waits_for_its_time(container: Container) -> None:
    """``PERIODIC`` alone runs nothing at the start; the schedule is hourly unless somebody says otherwise."""
    container.put(a="1")
    with service(COMMAND, container.log, **container.env({"SYNC_MODE": "PERIODIC"})) as daemon:
        assert daemon.stop() == 0
        assert daemon.events("run started") == []
    assert not container.data.exists()


def test_an_empty_mode_waits_and_does_nothing(container: Container) -> None:
    """``SYNC_MODE=`` keeps the container up, and still; it ends when it is told to."""
    container.put(a="1")
    process = subprocess.Popen(COMMAND, env=container.env({"SYNC_MODE": ""}), cwd=container.folder)
    caught = Path(f"/proc/{process.pid}/status")
    # SIGTERM is asked for: the container has begun to wait
    mask = 1 << (signal.SIGTERM - 1)
    until(lambda: bool(int(caught.read_text().split("SigCgt:")[1].split()[0], 16) & mask), Path("/dev/null"))
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0
    assert not container.data.exists()


def test_a_role_is_assumed_and_shown(container: Container) -> None:
    """``ROLE_ARN`` switches the role; ``SESSION_DEBUG=1`` shows who we became and until when, and no key."""
    container.put(a="1")
    result = container.run(ROLE_ARN="arn:aws:iam::123456789012:role/sync", SESSION_DEBUG="1")
    assert result.returncode == 0, result.stderr
    assert "session: arn:aws:sts::123456789012:assumed-role/sync/" in result.stderr
    assert "until 20" in result.stderr
    assert container.variables["AWS_SECRET_ACCESS_KEY"] not in result.stderr + result.stdout
    assert "ASIA" not in result.stderr  # how the key of a role begins


def test_the_session_shown_is_the_run_s(container: Container, tmp_path: Path) -> None:
    """``SESSION_DEBUG=1`` shows the identity that the run has: that of ``--profile`` in ``SYNC_PARAMS`` too."""
    container.put(a="1")
    aws = container.variables
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[other]\naws_access_key_id = {aws['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {aws['AWS_SECRET_ACCESS_KEY']}\n"
    )
    result = container.run(SYNC_PARAMS="--profile other", AWS_SHARED_CREDENTIALS_FILE=str(keys), SESSION_DEBUG="1")
    assert result.returncode == 0, result.stderr
    assert "credentials by shared-credentials-file" in result.stderr


def test_a_role_that_is_none_is_explained(container: Container) -> None:
    """What is no role is said at the login, with what to write."""
    container.put(a="1")
    result = container.run(ROLE_ARN="sync", SESSION_DEBUG="1")
    assert result.returncode == 5
    assert "session: none: not a role's ARN" in result.stderr


def test_keys_come_from_the_environment(container: Container) -> None:
    """A key pair with a session token serves; without any the run says what to set."""
    container.put(a="1")
    assert container.run(AWS_SESSION_TOKEN="a-token").returncode == 0
    none = container.run(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert none.returncode == 5
    assert "AWS_ACCESS_KEY_ID" in none.stderr


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"SYNC_TO": ""}, "SYNC_TO is not set"),
        ({"SYNC_FROM": None}, "SYNC_FROM is not set"),
        ({"SYNC_MODE": "OFTEN"}, "SYNC_MODE=OFTEN"),
        ({"SYNC_MODE": "PERIODIC", "CRON_SCHEDULE": "61 * * * *"}, "CRON_SCHEDULE"),
        ({"SYNC_PARAMS": "--exclude 'a"}, "SYNC_PARAMS"),
        ({"COMPLETION_FILENAME": "../x"}, "COMPLETION_FILENAME"),
    ],
)
def test_mistakes_are_named(container: Container, changed: dict[str, str | None], complaint: str) -> None:
    """A variable that makes no sense ends the container with 5, an error and a hint; nothing is synced."""
    result = container.run(**changed)
    assert result.returncode == 5
    assert "error:" in result.stderr
    assert complaint in result.stderr
    assert "hint:" in result.stderr
    assert not container.data.exists()


def test_with_a_file_it_is_the_daemon(place: Place) -> None:
    """No ``SYNC_FROM``, but a keepstep.toml in the working folder: the daemon with its jobs."""
    place.configure(COPY.replace("@hourly", "@every 1s"))
    place.source(a="1")
    log = place.folder / "log"
    with service([*COMMAND], log, KEEPSTEP_CONFIG=str(place.config)) as daemon:
        assert isinstance(daemon, Service)
        daemon.wait("run ended", job="copy", outcome="done")
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"SYNC_MODE": "STARTUP+PERIODIC", "CRON_SCHEDULE": "61 * * * *"}, "CRON_SCHEDULE"),
        ({"SYNC_FROM": "gs://bucket/"}, "SYNC_FROM"),
        ({"SYNC_TO": "s3:///x"}, "SYNC_TO"),
        ({"SYNC_PARAMS": "--nonsense"}, "SYNC_PARAMS"),
    ],
)
def test_users_of_variables_are_told_the_names_of_variables(
    container: Container, changed: dict[str, str], complaint: str
) -> None:
    """Not of a file that they did not write."""
    result = container.run(**changed)
    assert result.returncode != 0
    assert complaint in result.stderr and "job.sync" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", ["uvicorn", "structlog", "starlette"])
def test_without_the_daemons_libraries_the_extra_is_named(place: Place, library: str) -> None:
    """As by every command, and no traceback."""
    place.configure(COPY)
    code = (
        f"import sys, runpy; sys.modules[{library!r}] = None\n"
        "runpy.run_module('keepstep.hosts.container', run_name='__main__')"
    )
    env = {**os.environ, "KEEPSTEP_CONFIG": str(place.config)}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 5
    assert "keepstep[daemon]" in result.stderr and "Traceback" not in result.stderr
