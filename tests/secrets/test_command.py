"""The commands, run as users, timers and scripts run them, against a local OCI."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time

import pytest

from tests.secrets.hosts import CloudSecrets, Host
from tests.servers import Aws, free_port


def test_the_drop_in(host: Host, vault: CloudSecrets) -> None:
    """The old map gives the old exit codes and log line: 3 with a line for each file, 0 and silence, again 3."""
    first, second = vault.create("one\n\n"), vault.create(b"\0binary\xff")
    host.write_map(host.line(first, "db_password", "0600", "", ""), host.line(second, "key", "0440") + "\r")
    ran = host.apply()
    assert ran.returncode == 3, ran.stderr
    assert sorted(ran.stdout.splitlines()) == sorted(
        [f"Updated {host.run}/db_password from {first}", f"Updated {host.run}/key from {second}"]
    )
    assert (host.run / "db_password").read_bytes() == b"one\n\n"
    assert (host.run / "key").read_bytes() == b"\0binary\xff"
    assert [stat.S_IMODE((host.run / name).stat().st_mode) for name in host.files()] == [0o600, 0o440]
    before = (host.run / "key").stat()
    ran = host.apply()
    assert (ran.returncode, ran.stdout) == (0, "")
    vault.put(first, "two")
    ran = host.apply("--verbose")
    assert ran.returncode == 3
    assert sorted(ran.stdout.splitlines()) == [
        f"Kept {host.run}/key from {second}: it is in step",
        f"Updated {host.run}/db_password from {first}",
    ]
    assert (host.run / "db_password").read_bytes() == b"two"
    assert (host.run / "key").stat().st_ino == before.st_ino
    assert host.files() == ["db_password", "key"]


def test_what_fails_is_named_and_the_rest_is_done(host: Host, vault: CloudSecrets) -> None:
    """A bad line and a missing secret: exit code 1, both named with what to do, the others delivered."""
    good = vault.create("good")
    missing = f"ocid1.vaultsecret.oc1.iad.{'a' * 60}"
    host.write_map("hunter2,/run/x", host.line(missing, "missing"), host.line(good, "good"))
    ran = host.apply()
    assert ran.returncode == 1
    assert ran.stdout == f"Updated {host.run}/good from {good}\n"
    assert f"error: {host.map} line 3: not the address of a secret" in ran.stderr
    assert f"error: fetch {missing} failed: NotAuthorizedOrNotFound" in ran.stderr
    assert "read secret-bundles in compartment" in ran.stderr
    assert "hunter2" not in ran.stderr
    assert host.files() == ["good"]


def test_one_document_for_scripts(host: Host, vault: CloudSecrets) -> None:
    """``--json`` gives the run report and nothing else on stdout, before and behind the subcommand."""
    ocid = vault.create("S3cr3t")
    host.write_map(host.line(ocid, "x"))
    ran = host.keepstep("--json", "secrets", "apply", str(host.map))
    assert ran.returncode == 3
    report = json.loads(ran.stdout)
    assert (report["kind"], report["exit_code"], report["source"]) == ("secrets", 3, str(host.map))
    assert [(action["action"], action["target"]) for action in report["actions"]] == [("update", f"{host.run}/x")]
    assert "S3cr3t" not in ran.stdout + ran.stderr
    ran = host.keepstep("secrets", "apply", str(host.map), "--json", "--dryrun")
    assert json.loads(ran.stdout)["dryrun"] is True


def test_a_dry_run_says_what_would_be(host: Host, vault: CloudSecrets) -> None:
    """``--dryrun`` names each change and its reason, and leaves no trace."""
    ocid = vault.create("x")
    host.write_map(host.line(ocid, "x"))
    ran = host.apply("--dryrun")
    assert (ran.returncode, ran.stdout) == (3, f"(dryrun) Would update {host.run}/x from {ocid}: it was missing\n")
    assert host.files() == []
    assert not (host.folder / "state").exists()


def test_no_map(host: Host) -> None:
    """A map that is not there is exit code 5, with the format."""
    ran = host.apply()
    assert ran.returncode == 5
    assert f"there is no map file {host.map}" in ran.stderr
    assert "ocid,path,mode,container,signal" in ran.stderr


def test_a_job_of_the_configuration(host: Host, vault: CloudSecrets) -> None:
    """What the map cannot say: a template of two secrets, several places, a set, and a map next to them."""
    db, key = vault.create('{"user": "app", "password": "S3cr3t"}'), vault.create("KEY")
    host.write_map(host.line(db, "db-password"))
    with (host.folder / "keepstep.toml").open("a") as config:
        config.write(f"""
[job.app]
kind = "secrets"
map = "{host.map}"
max_stale = "1d"

[[job.app.file]]
path = ["{host.run}/app.env", "{host.run}/copy.env"]
template = "URL=postgres://{{{{ db.user }}}}:{{{{ db.password }}}}@db/\\nKEY={{{{ key | dotenv }}}}\\n"
secrets = {{ db = "{db}", key = "{key}" }}
mode = "0640"

[[job.app.set]]
path = "{host.run}/tls"
[[job.app.set.file]]
name = "tls.key"
secret = "{key}"
""")
    ran = host.keepstep("secrets", "apply", "app")
    assert ran.returncode == 3, ran.stderr
    assert (host.run / "app.env").read_text() == "URL=postgres://app:S3cr3t@db/\nKEY='KEY'\n"
    assert (host.run / "copy.env").read_bytes() == (host.run / "app.env").read_bytes()
    assert (host.run / "tls" / "tls.key").read_text() == "KEY"
    assert (host.run / "db-password").exists()
    assert host.keepstep("secrets", "apply", "app").returncode == 0


def test_drift_of_a_fleet(host: Host, vault: CloudSecrets) -> None:
    """``secrets drift`` says which file holds which version, for people and for scripts, and never a value."""
    key, ocid, other = vault.create("fleet key"), vault.create("S3cr3t-1"), vault.create("other")
    host.write_map(host.line(ocid, "x"), host.line(other, "y"))
    host.apply()
    assert host.keepstep("secrets", "drift", str(host.map)).returncode == 0
    vault.put(ocid, "S3cr3t-2")
    vault.cloud.fault("GetSecretBundle", status=403, match=other)
    ran = host.keepstep("secrets", "drift", str(host.map))
    assert ran.returncode == 1
    [behind, unknown] = ran.stdout.splitlines()
    assert re.match(rf"behind +version 1 of 2 +{host.run}/x +{ocid}", behind)
    assert re.match(rf"unknown +{host.run}/y +{other} +fetch {other} failed: ", unknown)
    assert ran.stderr.startswith("hint: allow ")
    ran = host.keepstep("secrets", "drift", str(host.map), "--json", "--fingerprint-key", key)
    document = json.loads(ran.stdout)
    assert [file["state"] for file in document["files"]] == ["behind", "in step"]
    assert document["fingerprint_key"]
    assert "S3cr3t" not in ran.stdout


def test_both_clouds_in_one_map(host: Host, vault: CloudSecrets, moto: Aws) -> None:
    """OCI Vault, Secrets Manager (64 KiB, binary) and Parameter Store are delivered by one run."""
    host.env |= moto.env
    name = f"host-{os.getpid()}"
    large = os.urandom(65536)
    moto.client("secretsmanager").create_secret(Name=name, SecretBinary=large)
    moto.client("ssm").put_parameter(Name=f"/{name}", Value="parameter\n", Type="SecureString")
    host.write_map(
        host.line(vault.create('{"n": 5432}') + "#n", "oci"),
        host.line(f"aws-sm:{name}", "sm"),
        host.line(f"aws-ssm:/{name}", "ssm"),
    )
    ran = host.apply()
    assert ran.returncode == 3, ran.stderr
    assert [(host.run / name).read_bytes() for name in ("oci", "sm", "ssm")] == [b"5432", large, b"parameter\n"]


def test_the_vault_is_away(host: Host, vault: CloudSecrets) -> None:
    """An outage fails the run, keeps the file and tells its age; with ``--max-stale`` it warns, with code 2."""
    ocid = vault.create("x")
    host.write_map(host.line(ocid, "x"))
    host.apply()
    vault.cloud.fault("GetSecretBundle", times=None, status=503, headers={"retry-after": "0"})
    ran = host.apply()
    assert ran.returncode == 1
    assert re.search(
        rf"fetch {ocid} failed: ServiceUnavailable: .*; {host.run}/x stays as it was \d+ s ago", ran.stderr
    )
    ran = host.apply("--max-stale", "1h")
    assert ran.returncode == 2
    assert "warning: fetch" in ran.stderr
    assert (host.run / "x").read_text() == "x"


def test_a_throttled_vault_is_asked_again_when_it_says(host: Host, vault: CloudSecrets) -> None:
    """429 with Retry-After: the run waits as long as it is asked to, and then delivers."""
    host.write_map(host.line(vault.create("x"), "x"))
    vault.cloud.fault("GetSecretBundle", status=429, headers={"retry-after": "2"})
    began = time.monotonic()
    assert host.apply().returncode == 3
    assert time.monotonic() - began >= 2


def test_the_instance_principal_is_the_default(host: Host, vault: CloudSecrets) -> None:
    """Without a configuration and OCI_CLI_AUTH the host is who its metadata service says, as it always was."""
    host.write_map(host.line(vault.create("x"), "x"))
    for name in ("OCI_CLI_CONFIG_FILE", "OCI_CLI_PROFILE"):
        del host.env[name]
    ran = host.apply()
    assert ran.returncode == 3, ran.stderr


def test_no_metadata_service(host: Host, vault: CloudSecrets) -> None:
    """Where nobody answers as metadata service the run gives up within a minute, and says so for each file."""
    host.write_map(host.line(vault.create("x"), "x"))
    for name in ("OCI_CLI_CONFIG_FILE", "OCI_CLI_PROFILE"):
        del host.env[name]
    host.env["OCI_METADATA_BASE_URL"] = f"http://127.0.0.1:{free_port()}/opc/v2"
    began = time.monotonic()
    ran = host.apply()
    assert time.monotonic() - began < 60
    assert ran.returncode == 1
    assert "no instance principal" in ran.stderr
    assert "instance principals exist on OCI compute instances only" in ran.stderr


def test_two_runs_at_once(host: Host, vault: CloudSecrets) -> None:
    """The second waits for the first and finds nothing left to do; no file is ever half."""
    ocid = vault.create("x" * 20_000)
    host.write_map(*[host.line(ocid, str(number)) for number in range(20)])
    vault.cloud.fault("GetSecretBundle", latency_ms=700)
    command = [sys.executable, "-m", "keepstep.cli.oci_secretsync", str(host.map)]
    both = [subprocess.Popen(command, cwd=host.folder, env=host.env, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 3]
    assert sum(output.count(b"Updated") for output in outputs) == 20
    assert all(path.stat().st_size == 20_000 for path in host.run.iterdir())
    assert len(host.files()) == 20


def test_a_read_only_system(host: Host, vault: CloudSecrets) -> None:
    """Where no lock and no age can be kept secrets are delivered all the same."""
    host.write_map(host.line(vault.create("x"), "x"))
    blocked = host.folder / "blocked"
    blocked.touch()
    (host.folder / "keepstep.toml").write_text(f'[state]\nurl = "sqlite:///{blocked}/state.db"\n')
    host.env["XDG_RUNTIME_DIR"] = str(blocked)
    ran = host.apply()
    assert ran.returncode == 3, ran.stderr


@pytest.mark.parametrize("words", [["secrets", "apply"], ["exec", "--map"]], ids=" ".join)
def test_interrupted(host: Host, vault: CloudSecrets, words: list[str]) -> None:
    """Ctrl-C while a vault takes its time ends a run, and what only asks, with 130 and without a trace."""
    host.write_map(host.line(vault.create("x"), "x"))
    vault.cloud.fault("GetSecretBundle", times=None, latency_ms=30_000)
    command = [sys.executable, "-m", "keepstep", *words, str(host.map)]
    command += ["--", "true"] if words[0] == "exec" else []
    with subprocess.Popen(command, cwd=host.folder, env=host.env, stderr=subprocess.PIPE, text=True) as running:
        vault.wait_until_asked()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert host.files() == []


def test_options_that_make_no_sense(host: Host) -> None:
    """A duration that is none is a wrong command line."""
    ran = host.apply("--max-stale", "soon")
    assert ran.returncode == 2
    assert "not a duration" in ran.stderr
