"""The Compose example: who has what, and that its files are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from keepstep.config import load
from keepstep.secrets.map import parse_map
from tests.deploy.images import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "compose"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


def test_programs_read_files_of_a_folder_that_they_cannot_write(services: dict[str, dict[str, Any]]) -> None:
    """The folder is mounted read-only, and never a single file; ``*_FILE`` names what the map delivers."""
    app = services["myapp"]
    assert app["volumes"] == ["/run/secrets:/run/secrets:ro"]
    assert app["environment"] == {"DB_PASSWORD_FILE": "/run/secrets/db_password"}
    delivered = parse_map((FOLDER / "map.csv").read_bytes())
    assert not delivered.mistakes
    assert [each.path for each in delivered.rows] == ["/run/secrets/db_password"]
    assert app["container_name"] == "myapp"


def test_ours_have_little_power(services: dict[str, dict[str, Any]]) -> None:
    """No capability but those that give files away, no new privileges, a root that cannot be written."""
    for name in ("keepstep", "files"):
        ours = services[name]
        assert ours["cap_drop"] == ["ALL"]
        assert ours["security_opt"] == ["no-new-privileges:true"]
        assert ours["read_only"] is True
        assert not ours.get("privileged")
    assert set(services["keepstep"]["cap_add"]) == {"CHOWN", "FOWNER", "DAC_OVERRIDE"}
    assert "cap_add" not in services["files"]


def test_the_configuration_is_right(services: dict[str, dict[str, Any]]) -> None:
    """keepstep takes the file that is mounted, its map is mounted where it says, and its state is kept."""
    config = load(FOLDER / "keepstep.toml")
    job = config.job["secrets"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in services["keepstep"]["volumes"]}
    assert job.kind == "secrets"
    assert mounted[job.map or ""] == "./map.csv"
    assert mounted["/etc/keepstep/keepstep.toml"] == "./keepstep.toml"
    assert str(config.state.place.path).startswith("/var/lib/keepstep/")
    assert mounted["/var/lib/keepstep"] == "state"


def test_programs_wait_for_their_secrets(services: dict[str, dict[str, Any]]) -> None:
    """A program starts once the service is healthy, which it is with the secret in its place."""
    assert services["myapp"]["depends_on"] == {"keepstep": {"condition": "service_healthy"}}
    check = services["keepstep"]["healthcheck"]["test"]
    assert check == ["CMD-SHELL", "test -s /run/secrets/db_password && exec /usr/local/bin/healthcheck"]


def test_there_is_time_to_end(services: dict[str, dict[str, Any]]) -> None:
    """Drain, and 20 s for runs that were asked to stop, fit into the grace period; the drop-in does not drain."""
    drain = load(FOLDER / "keepstep.toml").daemon.drain.total_seconds()
    for name, waits in (("keepstep", drain), ("files", 0)):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= waits + 20 + 15


def test_the_folder_is_the_mount() -> None:
    """What the containers share is the tmpfs of deploy/systemd; programs that are not root get to their files."""
    unit = (REPOSITORY / "deploy" / "systemd" / "run-secrets.mount").read_text()
    assert "Where=/run/secrets\nType=tmpfs\nOptions=mode=0711," in unit


def test_docker_sees_as_little_as_buildah() -> None:
    """Docker's builder reads a file of another name, and that is the same: no secret of the clone is sent."""
    assert (REPOSITORY / ".dockerignore").readlink() == Path(".containerignore")
