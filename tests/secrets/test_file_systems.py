"""File systems that are full, read-only, or memory: mounted beneath the test's own folder, for one process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.secrets.hosts import CloudSecrets, Host
from tests.servers import absent

RUN = '"$PYTHON" -m keepstep.cli.oci_secretsync "$MAP"; echo "exit $?"; ls -A "$DIR"; cat "$DIR/x" 2>/dev/null'


def in_a_mount(host: Host, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script where mounts are its own. ``$DIR`` is the folder for secrets."""
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    env = host.env | {"PYTHON": sys.executable, "MAP": str(host.map), "DIR": str(host.run)}
    command = ["unshare", "-m", "sh", "-c", script]
    ran = subprocess.run(command, cwd=host.folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    return ran


def test_a_tmpfs_is_where_secrets_belong(host: Host, vault: CloudSecrets) -> None:
    """On a tmpfs nothing is to be warned of; on a disk there is."""
    host.write_map(host.line(vault.create("value"), "x"))
    ran = in_a_mount(host, f'mount -t tmpfs -o mode=0700 tmpfs "$DIR" && {RUN}')
    assert ran.stdout.splitlines()[1:] == ["exit 3", "x", "value"]
    assert ran.stderr == ""


def test_a_full_file_system(host: Host, vault: CloudSecrets) -> None:
    """What does not fit fails with a hint, the old file stays whole, and nothing is left behind."""
    small, large = vault.create("small"), vault.create("y" * 20_000)
    host.write_map(host.line(large, "x"), host.line(small, "small"))
    fill = 'mount -t tmpfs -o mode=0700,size=16k tmpfs "$DIR" && printf old >"$DIR/x" && chmod 600 "$DIR/x"'
    ran = in_a_mount(host, f"{fill} && {RUN}")
    assert ran.stdout.splitlines()[1:] == ["exit 1", "small", "x", "old"]
    assert f"error: {host.run}/x: No space left on device" in ran.stderr
    assert "hint: the file system is full; the last file stays" in ran.stderr


def test_a_read_only_file_system(host: Host, vault: CloudSecrets) -> None:
    """Nothing can be written: the run fails with the reason, and what is in step there is in step."""
    same, other = vault.create("same"), vault.create("new")
    host.write_map(host.line(same, "same"), host.line(other, "x", "0600", "web", "HUP"))
    fill = (
        'mount -t tmpfs -o mode=0700 tmpfs "$DIR" && printf same >"$DIR/same" && printf old >"$DIR/x" '
        '&& chmod 600 "$DIR"/* && mount -o remount,ro "$DIR"'
    )
    ran = in_a_mount(host, f"{fill} && {RUN}")
    assert ran.stdout.splitlines() == ["exit 1", "same", "x", "old"]
    assert f"error: {host.run}/x: Read-only file system" in ran.stderr
    assert "hint: the file system is mounted read-only" in ran.stderr
    assert "is still due" not in ran.stderr
