"""The daemon's unit: verified, rated, and booted on a real systemd with credentials that only it can read."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.containers.systemd import OURS, VENV, Machine, analyze, machine
from tests.deploy.images import REPOSITORY

pytestmark = pytest.mark.long

UNIT = REPOSITORY / "deploy" / "systemd" / "keepstep.service"
TOML = """
[job.{name}]
kind = "sync"
source = "oci://data@{namespace}/"
target = "/var/lib/keepstep/{name}"
startup = true
schedule = "@every 2s"
memory = "2GiB"
"""


def test_the_unit_is_right(tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say."""
    unit = tmp_path / UNIT.name
    # the program is not installed where tests run
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/keepstep", "/bin/true"))
    ran = analyze("verify", str(unit))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_daemon_has_little_power() -> None:
    """``systemd-analyze security`` rates it below 2 of 10."""
    ran = analyze("security", "--offline=yes", "--threshold=19", "--no-pager", str(UNIT))
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"Overall exposure level for .*: [01]\.\d OK", ran.stdout)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, str]]:
    """A machine with an Oracle Cloud that has a bucket, an API key for it, and the unit; and the namespace."""
    folder = tmp_path_factory.mktemp("cloud")
    with LocalCloud(folder) as cloud:
        import oci

        config = oci.config.from_file(cloud.env["OCI_CLI_CONFIG_FILE"])
        client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.env["OCI_ENDPOINT_URL"])
        namespace = str(client.get_namespace().data)
        bucket = oci.object_storage.models.CreateBucketDetails(name="data", compartment_id=cloud.tenancy)
        client.create_bucket(namespace, bucket)
        client.put_object(namespace, "data", "a", b"1")
        endpoint = cloud.env["OCI_ENDPOINT_URL"]
        given = Path(cloud.env["OCI_CLI_CONFIG_FILE"])
    with machine() as here:
        here.sh("mount --make-rshared /")
        _install_for_everybody(here)
        shutil.copytree(folder, here.root / "cloud")
        here.start("keepstep localcloud --no-aws --dir /cloud >/run/cloud.log 2>&1")
        here.wait(lambda: "ready" in here.sh("cat /run/cloud.log", check=False))
        _write_credentials(here.root / "etc" / "keepstep" / "credentials", given)
        (here.root / "etc" / "keepstep" / "keepstep.toml").write_text(TOML.format(name="one", namespace=namespace))
        (here.root / "etc" / "keepstep" / "environment").write_text(f"OCI_ENDPOINT_URL={endpoint}\n")
        here.install(UNIT.name, UNIT.read_text())
        here.sh("systemctl daemon-reload && systemctl start keepstep.service", check=False)
        here.wait(lambda: here.shows("keepstep.service", "ActiveState") == "active")
        yield here, namespace


def _install_for_everybody(here: Machine) -> None:
    """As in /opt; the Python of tests may be in root's home, which the unit does not see."""
    base = Path(sys.base_prefix).resolve()
    here.sh(f"mkdir -p /opt/python && mount --bind {base} /opt/python")
    packages = Path(sysconfig.get_paths()["purelib"]).relative_to(sys.prefix)
    (here.root / "usr-local-bin" / "keepstep").write_text(
        f"#!/bin/sh\nexport PYTHONPATH={OURS}/src:{OURS}/localcloud/src:{VENV}/{packages}\n"
        "export LD_LIBRARY_PATH=/opt/python/lib\n"
        f'exec /opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor} -m keepstep "$@"\n'
    )


def _write_credentials(folder: Path, given: Path) -> None:
    """The key and the configuration that names it where systemd puts it, as docs/deploy/systemd.md says."""
    config = ConfigParser(default_section="")
    config.read(given)
    folder.mkdir(parents=True)
    shutil.copy(config["DEFAULT"]["key_file"], folder / "oci-key.pem")
    config["DEFAULT"]["key_file"] = "/run/credentials/keepstep.service/keys_oci-key.pem"
    with (folder / "oci-config").open("w") as out:
        config.write(out)
    for path in folder.iterdir():
        path.chmod(0o600)
    folder.chmod(0o700)


def test_it_runs_and_reloads(booted: tuple[Machine, str]) -> None:
    """Started is ready; jobs run with the key; a reload takes new jobs, and keeps the old ones when it is wrong."""
    here, namespace = booted
    assert here.shows("keepstep.service", "ActiveState") == "active"
    here.wait(lambda: here.sh("cat /var/lib/keepstep/one/a", check=False) == "1")
    config = here.root / "etc" / "keepstep" / "keepstep.toml"
    right = config.read_text()
    config.write_text(right + TOML.format(name="two", namespace=namespace))
    here.sh("systemctl reload keepstep.service")
    here.wait(lambda: here.sh("cat /var/lib/keepstep/two/a", check=False) == "1")
    config.write_text("[job]")
    here.sh("systemctl reload keepstep.service")
    journal = "journalctl -o cat --no-pager -u keepstep.service"
    here.wait(lambda: "configuration refused" in here.sh(journal))
    assert here.shows("keepstep.service", "ActiveState") == "active"
    config.write_text(right)


def test_it_is_nobody_and_keeps_its_keys(booted: tuple[Machine, str]) -> None:
    """Not root, no capability, its keys and its state unreadable to other users, and no key in its journal."""
    here, _ = booted
    pid = here.shows("keepstep.service", "MainPID")
    status = here.sh(f"cat /proc/{pid}/status")
    assert int(re.findall(r"Uid:\s+(\d+)", status)[0]) >= 61184  # systemd's range for dynamic users
    assert {int(found, 16) for found in re.findall(r"Cap(?:Eff|Prm|Bnd|Amb):\s+(\w+)", status)} == {0}
    key = "/run/credentials/keepstep.service/keys_oci-key.pem"
    assert "PRIVATE KEY" in here.sh(f"cat {key}")
    for path in (key, "/var/lib/private/keepstep/state.db", "/etc/keepstep/credentials/oci-key.pem"):
        there = f"setpriv --reuid=65534 --regid=65534 --clear-groups cat {path} 2>&1"
        assert "Permission denied" in here.sh(there, check=False)
    assert "PRIVATE KEY" not in here.sh("journalctl --no-pager")


def test_it_ends_in_order(booted: tuple[Machine, str]) -> None:
    """A stop drains and is a success; afterwards the credentials are gone, the state is kept."""
    here, _ = booted
    here.sh("systemctl stop keepstep.service")
    assert here.shows("keepstep.service", "Result") == "success"
    assert here.sh("ls -d /run/credentials/keepstep.service 2>/dev/null", check=False) == ""
    assert here.sh("ls /var/lib/private/keepstep/state.db") != ""
