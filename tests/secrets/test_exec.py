"""``keepstep exec``: runs a program with secrets in its environment only."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.secrets.hosts import CloudSecrets, Host


def test_the_program_has_the_secrets(host: Host, vault: CloudSecrets) -> None:
    """Variables are named after the files, values are exact, and no file, folder or state comes of it."""
    host.write_map(
        host.line(vault.create("S3cr3t\n\n"), "db_password"), host.line(vault.create('{"k": 1}') + "#k", "api.key")
    )
    ran = host.keepstep("exec", "--map", str(host.map), "--", "env", "-0")
    assert ran.returncode == 0, ran.stderr
    found = dict(line.split("=", 1) for line in ran.stdout.split("\0") if line)
    assert (found["DB_PASSWORD"], found["API_KEY"]) == ("S3cr3t\n\n", "1")
    assert host.files() == []
    assert not (host.folder / "state").exists()


def test_half_of_the_secrets_is_none(host: Host, vault: CloudSecrets) -> None:
    """A secret that cannot be obtained stops the program from starting, and is named."""
    missing = f"ocid1.vaultsecret.oc1.iad.{'a' * 60}"
    host.write_map(host.line(vault.create("x"), "x"), host.line(missing, "y"))
    started = host.folder / "started"
    ran = host.keepstep("exec", "--map", str(host.map), "--", "touch", str(started))
    assert ran.returncode == 5, ran.stderr
    assert f"error: fetch {missing} failed" in ran.stderr
    assert not started.exists()


def test_exit_codes_and_signals_are_the_programs(host: Host, vault: CloudSecrets) -> None:
    """The program takes our place: the same process, its exit code, its signals, and SIGPIPE as it should be."""
    host.write_map(host.line(vault.create("x"), "x"))
    script = "trap 'exit 7' TERM; echo $$; grep SigIgn /proc/$$/status; while :; do sleep 0.05; done"
    command = [
        sys.executable,
        "-m",
        "keepstep",
        "exec",
        "--map",
        str(host.map),
        "--",
        "sh",
        "-c",
        script,
        "--x",
        "--map",
    ]
    with subprocess.Popen(command, cwd=host.folder, env=host.env, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert int(running.stdout.readline()) == running.pid
        ignored = int(running.stdout.readline().split()[1], 16)
        assert not ignored & (1 << signal.SIGPIPE - 1)
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 7


def test_programs_that_are_not_there(host: Host, vault: CloudSecrets) -> None:
    """127 and 126 as from env(1) and every shell."""
    host.write_map(host.line(vault.create("x"), "x"))
    assert host.keepstep("exec", "--map", str(host.map), "--", "no-such-program").returncode == 127
    assert host.keepstep("exec", "--map", str(host.map), "--", str(host.folder)).returncode == 126
