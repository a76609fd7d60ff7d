"""The Compose example, started by podman-compose: the secret arrives, the program reads it, a stop is in time."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.images import REPOSITORY, Images
from tests.deploy.waiting import until
from tests.servers import Aws, program

FOLDER = REPOSITORY / "deploy" / "compose"
_PROGRAM = 'until test -s "$$DB_PASSWORD_FILE"; do sleep 0.2; done; cat "$$DB_PASSWORD_FILE"; exec sleep 1000'


@dataclass(frozen=True)
class Project:
    """The example with the addresses of this machine."""

    store: Images
    folder: Path

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [program("podman-compose", "podman-compose"), "-p", self.folder.name, *words]
        ran = subprocess.run(
            command, cwd=self.folder, env=self.store.env, capture_output=True, text=True, timeout=240, check=False
        )
        # it ends with 0 whatever its Podman said
        assert "exit code: 1" not in ran.stderr and ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    def container(self, service: str) -> str:
        listed = json.loads(self.store.podman("ps", "--all", "--format", "json").stdout)
        [name] = [
            each["Names"][0]
            for each in listed
            if each["Labels"].get("com.docker.compose.service") == service
            and each["Labels"].get("com.docker.compose.project") == self.folder.name
        ]
        return str(name)

    def logs(self, service: str) -> str:
        said = self.store.podman("logs", self.container(service))
        return said.stdout + said.stderr


@pytest.fixture
def project(store: Images, image: str, moto: Aws, tmp_path: Path) -> Iterator[Project]:
    """As shipped but for addresses: images, the host's folder of secrets, no engine's socket, a local AWS."""
    folder = tmp_path / f"compose-{uuid.uuid4().hex[:6]}"
    shutil.copytree(FOLDER, folder)
    (folder / "run").mkdir(mode=0o711)
    name = folder.name
    moto.client("secretsmanager").create_secret(Name=name, SecretString="The Value")
    moto.client("s3").create_bucket(Bucket=name)
    moto.client("s3").put_object(Bucket=name, Key="path/to/files/a", Body=b"1")
    # no container is told: the socket of an engine is not mounted
    (folder / "map.csv").write_text(f"aws-sm:{name},/run/secrets/db_password,0444,,\n")
    document: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())
    for service in document["services"].values():
        service["network_mode"] = "host"
        service["volumes"] = [
            each.replace("/run/secrets:", f"{folder}/run:", 1) if each.startswith("/run/secrets:") else each
            for each in service["volumes"]
            if "docker.sock" not in each
        ]
    keepstep, app, files = (document["services"][each] for each in ("keepstep", "myapp", "files"))
    keepstep["image"] = app["image"] = files["image"] = image
    keepstep["environment"] = moto.env
    app |= {"entrypoint": ["/bin/sh", "-c", _PROGRAM], "container_name": f"{name}-myapp"}
    files["environment"] |= {
        **moto.env,
        "SYNC_FROM": f"s3://{name}/path/to/files/",
        "SYNC_MODE": "STARTUP+PERIODIC",
    }
    (folder / "compose.yaml").write_text(yaml.safe_dump(document))
    project = Project(store, folder)
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "0")


def test_it_starts_works_and_stops(project: Project) -> None:
    """The secret arrives, the check is well, the program reads it, files come; a stop ends them with 0 in time."""
    project.compose("up", "-d")
    until(lambda: "The Value" in project.logs("myapp"), lambda: project.logs("keepstep"))
    assert "The Value" not in project.logs("keepstep")
    store, keepstep, files = project.store, project.container("keepstep"), project.container("files")
    until(
        lambda: store.podman("healthcheck", "run", keepstep, check=False).returncode == 0,
        lambda: project.logs("keepstep"),
    )
    until(lambda: "files/a" in project.logs("files"), lambda: project.logs("files"))
    grace = yaml.safe_load((project.folder / "compose.yaml").read_text())["services"]
    for service, name in (("keepstep", keepstep), ("files", files)):
        limit = int(grace[service]["stop_grace_period"].removesuffix("s"))
        begun = time.monotonic()
        store.podman("stop", "--time", str(limit), name)
        assert time.monotonic() - begun < limit
        code = store.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout
        assert code == "0\n", project.logs(service)


def test_who_has_not_delivered_is_not_healthy(project: Project) -> None:
    """Without its secret the service never counts as healthy, so that programs which depend on it do not start."""
    (project.folder / "map.csv").write_text("aws-sm:missing,/run/secrets/db_password,0444,,\n")
    project.compose("up", "-d", "keepstep")
    name = project.container("keepstep")
    until(lambda: '"run ended"' in project.logs("keepstep"), lambda: project.logs("keepstep"))
    assert project.store.podman("healthcheck", "run", name, check=False).returncode != 0
