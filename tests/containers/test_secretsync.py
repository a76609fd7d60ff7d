"""``oci-secretsync`` and real containers: from a change in the vault to what a container reads and hears."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.containers.podman import Podman
from tests.secrets.hosts import CloudSecrets, Host


@pytest.fixture(scope="module")
def vault() -> Iterator[CloudSecrets]:
    with LocalCloud() as cloud:
        yield CloudSecrets(cloud)


@pytest.fixture
def host(tmp_path: Path, vault: CloudSecrets, engine: Podman) -> Host:
    (tmp_path / "host").mkdir(mode=0o700)
    host = Host(tmp_path / "host", vault.cloud)
    host.env["DOCKER_HOST"] = engine.socket
    return host


def test_from_the_vault_to_the_container(host: Host, vault: CloudSecrets, engine: Podman) -> None:
    """A container that mounts the folder reads the new value, and hears of it once for all of its files."""
    password, key = vault.create("one"), vault.create("k")
    host.write_map(
        host.line(password, "password", "0600", "web", "HUP"), host.line(key, "key", "0600", "web", "HUP")
    )
    engine.start("web", "-v", f"{host.run}:/run/secrets:ro")
    ran = host.apply()
    assert ran.returncode == 3, ran.stderr
    assert ran.stdout.splitlines()[-1] == "Notified container web: SIGHUP"
    engine.wait_for("web", "HUP")
    assert engine.run("exec", "web", "cat", "/run/secrets/password") == "one"
    assert host.apply().returncode == 0
    vault.put(password, "two")
    vault.put(key, "l")
    assert host.apply().returncode == 3
    engine.wait_for("web", "HUP", times=2)
    assert engine.run("exec", "web", "cat", "/run/secrets/password", "/run/secrets/key") == "twol"
    assert engine.heard("web") == ["up", "HUP", "HUP"]
    assert host.files() == ["key", "password"]


def test_an_engine_that_is_away_and_a_container_that_is_late(
    host: Host, vault: CloudSecrets, engine: Podman
) -> None:
    """What cannot be told now is a warning, the files are delivered (exit code 3), and later runs tell the rest."""
    ocid = vault.create("one")
    lines = [host.line(ocid, "x", "0600", name, signal) for name, signal in (("a", "HUP"), ("late", "USR1"))]
    host.write_map(*lines, host.line(vault.create("y"), "y", "0600", "b", "restart"))
    for name in ("a", "b"):
        engine.start(name)
    host.env["DOCKER_HOST"] = f"unix://{host.folder}/nobody.sock"
    ran = host.apply()
    assert ran.returncode == 3
    assert "warning: container a: SIGHUP is still due: the container engine at" in ran.stderr
    assert (host.run / "x").read_text() == "one"
    host.env["DOCKER_HOST"] = engine.socket
    ran = host.apply()
    assert ran.returncode == 0
    assert "warning: container late: SIGUSR1 is still due: no container named late is running" in ran.stderr
    engine.wait_for("a", "HUP")
    engine.wait_for("b", "up", times=2)
    engine.start("late")
    ran = host.apply()
    assert (ran.returncode, ran.stdout) == (0, "Notified container late: SIGUSR1\n")
    engine.wait_for("late", "USR1")
    assert engine.heard("a") == ["up", "HUP"]
    assert host.files() == ["x", "y"]
