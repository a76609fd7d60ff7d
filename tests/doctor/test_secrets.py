"""A secrets job, looked at: map, folders, vault, containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.doctor import reboot
from keepstep.doctor.check import Verdict
from keepstep.doctor.containers import listens
from keepstep.secrets.memory_fs import is_in_memory
from tests.containers.podman import Podman
from tests.doctor.worlds import Report, doctor
from tests.rotation.fixture import Clouds

VALUE = "s3cret-Value-of-the-test"
Look = Callable[..., Report]


@pytest.fixture
def secret(clouds: Clouds) -> tuple[str, str]:
    """A secret in both vaults: ARN and OCID."""
    return clouds.create(VALUE)


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """``look(lines)``: the report on a map with these lines."""

    def visit(*lines: str, **env: str) -> Report:
        path = tmp_path / "map.csv"
        path.write_text("".join(f"{line}\n" for line in lines))
        report = doctor(None, str(path), env=env)
        assert VALUE not in str(report)
        return report

    return visit


def test_a_healthy_map_has_nothing_that_fails(look: Look, secret: tuple[str, str], memory: Path) -> None:
    """Secrets of both vaults into a folder in memory: nothing fails, and nothing was written."""
    report = look(f"{secret[1]},{memory}/a", f"{secret[0]},{memory}/b,0440")
    assert report.failed == set() and report.code == 0, report.checks
    assert [report.verdict("secret", each) for each in secret] == ["ok", "ok"]
    assert report.verdict("tmpfs") == report.verdict("folder") == report.verdict("map") == "ok"
    assert report.verdict("kms") == "ok" and list(memory.iterdir()) == []


def test_a_secret_that_is_not_there_is_found(look: Look, secret: tuple[str, str], memory: Path) -> None:
    """ERR: fetch failed: OCI's 404 has both meanings and the policy, AWS's the name."""
    report = look(f"{secret[1][:-4]}none,{memory}/a", f"aws-sm:nobody-has-it,{memory}/b")
    assert report.failed == {"secret"} and report.code == 1
    assert "to read secret-bundles in compartment" in report.of("secret", "none")["fix"]
    assert "nobody-has-it" in report.of("secret", "aws-sm")["text"]


def test_a_denied_secret_is_found(look: Look, secret: tuple[str, str], memory: Path, clouds: Clouds) -> None:
    """What IAM denies fails with the statement; a key that may not be looked at is unknown."""
    denied = {"status": 400, "code": "AccessDeniedException", "message": "no"}
    for operation in ("GetSecretValue", "DescribeSecret"):
        clouds.aws.fault(operation, denied, times=None)
    report = look(f"{secret[0]},{memory}/a")
    assert report.failed == {"secret"} and "secretsmanager:GetSecretValue" in report.of("secret")["fix"]
    assert report.verdict("kms") == "unknown" and "DescribeSecret" in report.of("kms")["fix"]


def test_a_disabled_key_is_found(look: Look, memory: Path, clouds: Clouds) -> None:
    """A secret whose KMS key was disabled fails, with the command that enables it."""
    kms = clouds.aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    name = clouds.sm.create_secret(Name=f"with-key-{os.getpid()}", SecretString=VALUE, KmsKeyId=key)["Name"]
    kms.disable_key(KeyId=key)
    report = look(f"aws-sm:{name},{memory}/a")
    assert "kms" in report.failed and f"enable-key --key-id {key}" in report.of("kms")["fix"]


def test_lines_that_make_no_sense_are_found(look: Look, secret: tuple[str, str], memory: Path) -> None:
    """A bad line is named with its number; the good ones are looked at all the same."""
    report = look("only-one-field", f"{secret[1]},{memory}/a")
    assert report.failed == {"map"} and "line 1" in report.of("map")["about"]
    assert report.verdict("secret") == "ok"


def test_a_folder_on_a_disk_is_found(look: Look, secret: tuple[str, str], tmp_path: Path) -> None:
    """Secrets on a disk fail, with the mount that would help."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    in_memory = is_in_memory(descriptor)
    os.close(descriptor)
    folder = tmp_path / "secrets"
    folder.mkdir(0o700)
    report = look(f"{secret[1]},{folder}/a")
    assert ("tmpfs" in report.failed) is (not in_memory)
    if not in_memory:
        assert "run-secrets.mount" in report.of("tmpfs")["fix"] and str(folder) in report.of("tmpfs")["fix"]


def test_a_folder_that_others_can_write_is_found(look: Look, secret: tuple[str, str], memory: Path) -> None:
    """Where others have a hand in the folder, that is said, and what to do."""
    (memory / "open").mkdir()
    (memory / "open").chmod(0o777)
    report = look(f"{secret[1]},{memory}/open/a")
    assert report.failed == {"folder"} and "chmod go-w" in report.of("folder")["fix"]


def test_a_file_that_is_mounted_by_itself_is_found(secret: tuple[str, str], memory: Path, tmp_path: Path) -> None:
    """A bind mount over the very file, in a mount namespace of the test's own, fails with what to mount instead."""
    (memory / "a").write_text("old")
    (tmp_path / "map.csv").write_text(f"{secret[1]},{memory}/a\n")
    script = f'mount --bind "$0" {memory}/a && exec "$@"'
    (tmp_path / "other").write_text("x")
    command = [sys.executable, "-m", "keepstep", "doctor", f"{tmp_path}/map.csv"]
    unshared = ["unshare", "--mount", "sh", "-c", script, str(tmp_path / "other"), *command]
    ran = subprocess.run(unshared, capture_output=True, text=True, timeout=120, check=False)
    if "unshare" in ran.stderr:
        pytest.skip(f"mount namespaces are not to be had: {ran.stderr}")
    assert ran.returncode == 1, ran.stderr
    assert f"FAIL  bind-mount  {tmp_path}/map.csv: {memory}/a: is a mount point of its own" in ran.stdout


def test_no_engine_is_found(look: Look, secret: tuple[str, str], memory: Path, tmp_path: Path) -> None:
    """Where no engine listens the socket fails, and what would start one."""
    report = look(f"{secret[1]},{memory}/a,0600,app,HUP", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert "container-socket" in report.failed and "DOCKER_HOST" in report.of("container-socket")["fix"]


def test_containers_are_looked_at(look: Look, secret: tuple[str, str], memory: Path, engine: Podman) -> None:
    """One that runs and takes the signal is ok; one that is not there, and one that takes no such signal, fail."""
    engine.start("listens")
    lines = [f"{secret[1]},{memory}/{n},0600,{whom},{signal}" for n, (whom, signal) in enumerate(_TOLD)]
    report = look(*lines, DOCKER_HOST=engine.socket)
    assert report.verdict("container-socket") == "ok"
    assert report.failed == {"container", "signal"}
    assert (
        report.verdict("container", "absent") == "fail" and "docker ps" in report.of("container", "absent")["fix"]
    )
    verdicts = {check["verdict"]: check for check in report.checks if check["name"] == "signal"}
    assert "handles SIGHUP" in verdicts["ok"]["text"]
    assert "SIGUSR2" in verdicts["fail"]["text"] and "restart" in verdicts["fail"]["fix"]
    assert engine.heard("listens") == ["up"]


_TOLD = [("listens", "HUP"), ("listens", "USR2"), ("absent", "HUP")]


def test_a_single_file_in_a_container_is_found(
    look: Look, secret: tuple[str, str], memory: Path, engine: Podman
) -> None:
    """A container that mounts the very file goes on seeing the old one: found before anybody wonders."""
    (memory / "a").write_text("old")
    engine.start("pinned", "-v", f"{memory}/a:/run/a")
    report = look(f"{secret[1]},{memory}/a,0600,pinned,HUP", DOCKER_HOST=engine.socket)
    assert report.failed == {"bind-mount"}
    assert "mount its folder instead" in report.of("bind-mount", f"{memory}/a")["fix"]


def test_a_process_that_is_not_to_be_seen_is_unknown() -> None:
    """Whether a process takes a signal is unknown where its status cannot be read."""
    assert listens("app", 0, "SIGHUP").verdict is Verdict.UNKNOWN


SYSTEMCTL = """#!/bin/sh
# --no-ask-password, is-enabled or is-active, --quiet, --, unit
grep -qx "$2 $5" "$(dirname "$0")/units"
"""


@pytest.mark.parametrize(
    ("units", "verdict"),
    [
        ("", "fail"),
        ("is-enabled oci-secretsync.timer", "fail"),
        ("is-enabled oci-secretsync.timer\nis-active oci-secretsync.timer", "ok"),
        ("is-enabled keepstep.service\nis-active keepstep.service", "ok"),
    ],
    ids=["nothing enabled", "not active", "timer", "daemon"],
)
def test_secrets_come_back_after_a_reboot(tmp_path: Path, units: str, verdict: str) -> None:
    """A unit that is enabled and active brings secrets back; anything less fails, with the command.

    ``systemctl`` is a script that answers with its exit codes: systemd itself is no part of this.
    """
    (tmp_path / "units").write_text(units + "\n")
    script = tmp_path / "systemctl"
    script.write_text(SYSTEMCTL)
    script.chmod(0o755)
    check = run(reboot.check("app", reboot.Units(str(script)), booted=True))
    assert check.verdict == verdict and ("systemctl" in (check.fix or "")) is (verdict == "fail")


def test_without_systemd_a_reboot_is_unknown() -> None:
    """Elsewhere nobody here knows what starts keepstep."""
    assert run(reboot.check("app", reboot.Units(), booted=False)).verdict is Verdict.UNKNOWN
