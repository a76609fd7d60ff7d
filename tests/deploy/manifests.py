"""The manifests of deploy/kubernetes, as kustomize puts them together, and what their network policies mean."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.images import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = tuple(
    sorted(
        f"{path.parent.parent.name}/{path.parent.name}" for path in FOLDER.glob("[eo]k[se]/*/kustomization.yaml")
    )
)


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    """As ``kubectl apply -k`` would send it."""
    return build(FOLDER / overlay)


def build(folder: Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("kubectl, which has kustomize, is not here")
    ran = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [document for document in yaml.safe_load_all(ran.stdout) if document]


def of_kind(documents: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] in kinds]


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each workload and its pod."""
    for document in of_kind(documents, "CronJob", "Deployment"):
        spec = document["spec"]
        spec = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
        yield document["metadata"]["name"], spec["template"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def ours(pod: dict[str, Any]) -> dict[str, Any]:
    """The container that runs keepstep."""
    [found] = [each for each in containers(pod) if each["name"] == "keepstep"]
    return dict(found)


class Policies:
    """The NetworkPolicies that apply to a pod; rules add up, and what no rule allows is refused."""

    def __init__(self, documents: list[dict[str, Any]], labels: dict[str, str]) -> None:
        specs = [each["spec"] for each in of_kind(documents, "NetworkPolicy")]
        self._specs = [
            spec for spec in specs if spec["podSelector"].get("matchLabels", {}).items() <= labels.items()
        ]

    def may_reach(self, address: str, port: int, protocol: str = "TCP") -> bool:
        """An address outside of the cluster."""
        return self._allows("Egress", "to", port, protocol, lambda peer: _has(peer, address))

    def may_reach_pod(self, labels: dict[str, str], port: int, protocol: str = "TCP") -> bool:
        """A pod of any other namespace."""
        return self._allows(
            "Egress", "to", port, protocol, lambda peer: "ipBlock" not in peer and _selects(peer, labels, {})
        )

    def may_be_called(self, namespace: dict[str, str], port: int) -> bool:
        """By a pod of that namespace."""
        return self._allows("Ingress", "from", port, "TCP", lambda peer: _selects(peer, {}, namespace))

    def _allows(self, kind: str, side: str, port: int, protocol: str, fits: Any) -> bool:
        specs = [spec for spec in self._specs if kind in spec["policyTypes"]]
        assert specs, f"no policy of kind {kind} applies, so everything is allowed"
        rules = [rule for spec in specs for rule in spec.get(kind.lower(), ())]
        return any(
            {"port": port, "protocol": protocol} in rule["ports"] and any(fits(peer) for peer in rule[side])
            for rule in rules
        )


def _has(peer: dict[str, Any], address: str) -> bool:
    block = peer.get("ipBlock")
    return bool(
        block
        and ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(each) for each in block.get("except", ()))
    )


def _selects(peer: dict[str, Any], labels: dict[str, str], namespace: dict[str, str]) -> bool:
    def fits(selector: str, given: dict[str, str]) -> bool:
        return bool(peer.get(selector, {}).get("matchLabels", {}).items() <= given.items())

    return fits("podSelector", labels) and fits("namespaceSelector", namespace)
