"""The units, and notices to units, on a real systemd."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.containers.systemd import REPOSITORY, Machine, analyze, machine
from tests.secrets.hosts import CloudSecrets

UNITS = REPOSITORY / "deploy" / "systemd"
SEED = {
    "run-secrets.mount": """[Unit]
Description=tmpfs for container secrets
After=network.target

[Mount]
What=tmpfs
Where=/run/secrets
Type=tmpfs
Options=mode=0700,noexec,nosuid,nodev,size=8M

[Install]
WantedBy=multi-user.target
""",
    "oci-secretsync.service": """[Unit]
Description=Sync secrets from OCI Vault to /run/secrets
Wants=network-online.target
After=network-online.target run-secrets.mount

[Service]
Type=oneshot
ExecStart=/usr/local/bin/oci-secretsync /etc/oci-secretsync/map.csv
User=root
Group=root
SuccessExitStatus=0 3
""",
    "oci-secretsync.timer": """[Unit]
Description=Run oci-secretsync periodically

[Timer]
OnBootSec=2min
OnUnitActiveSec=6h
RandomizedDelaySec=5m
Persistent=true

[Install]
WantedBy=timers.target
""",
}
"""The units of the script that keepstep replaces, letter by letter."""
FAST = """[Timer]
OnBootSec=
OnUnitActiveSec=
RandomizedDelaySec=0
AccuracySec=100ms
OnActiveSec=1s
OnUnitActiveSec=2s
"""
"""The timer, but soon."""
SERVER = """[Service]
Type=exec
ExecStart=/bin/sh -c 'trap "echo USR1 >> /run/told" USR1; echo up >> /run/told; while :; do sleep 0.1; done'
ExecReload=/bin/sh -c 'echo reload >> /run/told'
"""


def units(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("whose", ["ours", "the old script's"])
def test_units_are_right(tmp_path: Path, whose: str) -> None:
    """``systemd-analyze verify`` has nothing to say."""
    for name, text in (units(UNITS) if whose == "ours" else SEED).items():
        # the programs are not installed where tests run
        (tmp_path / name).write_text(re.sub(r"/usr/local/bin/[a-z-]+", "/bin/true", text))
    ran = analyze("verify", *[str(path) for path in tmp_path.iterdir() if path.is_file()])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["oci-secretsync.service", "keepstep-secrets@.service"])
def test_services_have_little_power(tmp_path: Path, name: str) -> None:
    """``systemd-analyze security`` rates each service OK (below 3 of 10); the old one is UNSAFE with 9.6."""
    for path in UNITS.iterdir():
        shutil.copy(path, tmp_path)
    ran = analyze("security", "--offline=yes", "--threshold=25", "--no-pager", str(tmp_path / name))
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"Overall exposure level for .*: [0-2]\.\d OK", ran.stdout)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, str]]:
    """A machine that is an OCI instance, and the OCID of a secret in its vault."""
    folder = tmp_path_factory.mktemp("cloud")
    with LocalCloud(folder) as cloud:
        ocid = CloudSecrets(cloud).create("value\n")
        found = {name: cloud.env[name] for name in ("OCI_ENDPOINT_URL", "OCI_METADATA_BASE_URL")}
    with machine() as here:
        shutil.copytree(folder, here.root / "cloud")
        here.start("keepstep localcloud --no-aws --dir /cloud >/run/cloud.log 2>&1")
        here.wait(lambda: "ready" in here.sh("cat /run/cloud.log", check=False))
        environment = "".join(f'Environment="{name}={value}"\n' for name, value in found.items())
        for service in ("oci-secretsync.service", "keepstep-secrets@.service"):
            here.install(f"{service}.d/cloud.conf", f"[Service]\n{environment}")
        here.install("oci-secretsync.timer.d/fast.conf", FAST)
        here.install("server.service", SERVER)
        (here.root / "etc" / "oci-secretsync").mkdir()
        (here.root / "etc" / "oci-secretsync" / "map.csv").write_text(f"{ocid},/run/secrets/db,0600,,\n")
        (here.root / "etc" / "keepstep").mkdir()
        (here.root / "etc" / "keepstep" / "keepstep.toml").write_text(f"""
[job.app]
kind = "secrets"
[[job.app.file]]
path = "/run/secrets/unit"
secret = "{ocid}"
owner = "nobody"
notify = [
    {{ unit = "server.service" }},
    {{ unit = "server.service", signal = "USR1" }},
    {{ unit = "not-there.service" }},
]
""")
        yield here, ocid


@pytest.mark.parametrize("whose", ["the old script's", "ours"])
def test_the_timer_delivers(booted: tuple[Machine, str], whose: str) -> None:
    """The mount is a tmpfs, the timer starts the service, 3 and 0 are success, and the file is the secret."""
    here, ocid = booted
    for name, text in (units(UNITS) if whose == "ours" else SEED).items():
        here.install(name, text)
    here.sh("systemctl daemon-reload && systemctl enable --now run-secrets.mount oci-secretsync.timer")
    try:
        here.wait(lambda: "run-secrets.mount" in here.sh("systemctl list-units --state=active", check=False))
        here.wait(lambda: here.sh("test -e /run/secrets/db && echo there", check=False) == "there\n")
        assert here.sh("cat /run/secrets/db; stat -c %a:%u /run/secrets/db") == "value\n600:0\n"
        assert here.sh("findmnt -no FSTYPE /run/secrets") == "tmpfs\n"
        service = "oci-secretsync.service"
        here.wait(
            lambda: here.shows(service, "ExecMainStatus") == "0" and here.shows(service, "Result") == "success"
        )
        journal = here.sh(f"journalctl -o cat --no-pager -u {service}")
        assert journal.count(f"Updated /run/secrets/db from {ocid}") == 1
        assert "warning" not in journal
        assert here.sh("systemctl --failed --no-legend") == ""
    finally:
        here.sh(
            "systemctl disable --now oci-secretsync.timer; systemctl stop oci-secretsync.service run-secrets.mount"
        )
        here.sh("journalctl --rotate --vacuum-time=1s", check=False)


def test_units_are_told(booted: tuple[Machine, str]) -> None:
    """A sandboxed job gives its file to another user, tells a unit, and owes a notice to one that is not active."""
    here, ocid = booted
    for name, text in units(UNITS).items():
        here.install(name, text)
    here.sh("systemctl daemon-reload && systemctl start server.service")
    here.wait(lambda: "up" in here.sh("cat /run/told", check=False))
    here.sh("systemctl start keepstep-secrets@app.service")
    assert here.sh("stat -c %U:%a /run/secrets/unit") == "nobody:600\n"
    here.wait(lambda: sorted(here.sh("cat /run/told").split()) == ["USR1", "reload", "up"])
    journal = here.sh("journalctl -o cat --no-pager -u keepstep-secrets@app.service")
    assert f"Updated /run/secrets/unit from {ocid}" in journal
    assert "Notified unit server.service: reload" in journal
    assert "unit not-there.service: reload is still due: the unit not-there.service is not active" in journal
    assert here.sh("ls /run/secrets/.keepstep-*.notice | wc -l") == "1\n"
