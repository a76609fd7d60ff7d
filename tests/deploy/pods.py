"""Pods of overlays, run by Podman as Kubernetes would run them: with their mounts, users and read-only roots.

Podman plays no CronJob, exchanges no token and knows no native sidecar. Its release 4.3 does not decode Secrets:
their files are laid as the kubelet lays them, root's and readable for the pod's group. All else is taken as it is.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.images import Images
from tests.deploy.manifests import of_kind, ours, pods, rendered


@dataclass
class Played:
    """A pod that runs, or has run."""

    store: Images
    path: Path
    name: str
    grace: int

    @property
    def container(self) -> str:
        return f"{self.name}-keepstep"

    def logs(self) -> str:
        said = self.store.podman("logs", self.container, check=False)
        return said.stdout + said.stderr

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return int(self.store.podman("wait", self.container).stdout)

    def stop(self) -> tuple[int, float]:
        """SIGTERM, and SIGKILL after the pod's own grace period: the exit code, and the seconds that it took."""
        begun = time.monotonic()
        self.store.podman("stop", "--time", str(self.grace), self.container)
        took = time.monotonic() - begun
        return int(self.store.podman("inspect", "--format", "{{.State.ExitCode}}", self.container).stdout), took

    def inspect(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.store.podman("inspect", self.container).stdout)
        return found[0]

    def down(self) -> None:
        self.store.podman("kube", "down", str(self.path), check=False)
        self.store.podman("volume", "rm", "--all", "--force", check=False)


def play(
    store: Images,
    folder: Path,
    overlay: str,
    image: str,
    *,
    files: Mapping[str, str],
    variables: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
) -> Played:
    """``files`` take the place of the ConfigMap's, ``variables`` are added, ``secrets`` the user would bring."""
    documents = copy.deepcopy(rendered(overlay))
    [(workload, template)] = pods(documents)
    [configuration] = of_kind(documents, "ConfigMap")
    assert set(files) == set(configuration["data"])
    configuration["data"] = dict(files)
    pod, container = template["spec"], ours(template)
    container["image"] = image
    added = [{"name": name, "value": value} for name, value in variables.items()]
    container["env"] = [each for each in container["env"] if each["name"] not in variables] + added
    container.pop("ports", None)  # the pod has the host's network
    pod["containers"] = [container]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            # Podman 4.3 does not know that it may be left out
            volume["configMap"]["optional"] = False
        if "secret" in volume:
            source = volume.pop("secret")
            group, mode = pod["securityContext"]["fsGroup"], source["defaultMode"]
            content = secrets[source["secretName"]]
            volume["hostPath"] = {"path": str(_laid(folder / source["secretName"], content, group, mode))}
        if "projected" in volume:
            del volume["projected"]
            volume["emptyDir"] = {}
    name = workload.removeprefix("keepstep-")
    whole: list[dict[str, Any]] = [*of_kind(documents, "PersistentVolumeClaim"), configuration]
    whole.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump_all(whole))
    played = Played(store, path, name, pod["terminationGracePeriodSeconds"])
    ran = store.podman("kube", "play", "--network", "host", str(path), check=False)
    if ran.returncode:
        played.down()
    assert ran.returncode == 0, ran.stderr
    return played


def _laid(folder: Path, content: Mapping[str, str], group: int, mode: int) -> Path:
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
        os.chown(folder / name, 0, group)
        (folder / name).chmod(mode)
    folder.chmod(0o755)
    return folder
