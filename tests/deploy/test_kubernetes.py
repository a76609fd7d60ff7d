"""The manifests of deploy/kubernetes: each by itself, and as kustomize puts them together."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from keepstep.config import load
from tests.deploy.images import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
VERSION = "1.31"
OVERLAYS = ("base", "aws", "oci", "secrets")
_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""What the restricted profile of the Pod Security Standards allows."""


def read(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    """As ``kubectl apply -k`` would send it."""
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("kubectl is not here: the manifests are looked at one by one, and not put together")
    ran = subprocess.run([kubectl, "kustomize", FOLDER / overlay], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return read(ran.stdout)


def written() -> list[dict[str, Any]]:
    """Everything in the files that is whole by itself."""
    patches = {"role.yaml", "workload-identity-sync.yaml", "workload-identity-rotation.yaml", "kustomization.yaml"}
    paths = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name not in patches]
    return [document for path in paths for document in read(path.read_text())]


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield document["metadata"]["name"], spec["template"]


def complaints(pod: dict[str, Any]) -> list[str]:
    """Where a pod's specification is not of the restricted profile, or could write its own program."""
    common = pod.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    found += [f"volume {each['name']}" for each in pod.get("volumes", ()) if not set(each) - {"name"} <= _VOLUMES]
    if common.get("seccompProfile", {}).get("type") != "RuntimeDefault" or common.get("runAsNonRoot") is not True:
        found.append("seccomp or root")
    for each in (*pod["containers"], *pod.get("initContainers", ())):
        own = each.get("securityContext", {})
        wanted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        found += [f"{each['name']}: {name}" for name, value in wanted.items() if own.get(name) != value]
        found += [f"{each['name']}: no memory limit" for _ in (1,) if "memory" not in each["resources"]["limits"]]
        found += [f"{each['name']}: host port" for port in each.get("ports", ()) if "hostPort" in port]
    return found


def test_every_manifest_is_of_its_schema() -> None:
    """The API's own schemas, strict: no unknown field, no wrong type."""
    for document in written():
        kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_are_of_the_schema(overlay: str) -> None:
    """So is what kustomize makes of them; everything is in one namespace, and nothing is there twice."""
    documents = rendered(overlay)
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))
    assert {document["metadata"].get("namespace", "keepstep") for document in documents} == {"keepstep"}


def test_pods_are_restricted() -> None:
    """Each pod passes the restricted profile, has a root that cannot be written, and a limit of memory."""
    found = dict(pods(written()))
    assert set(found) == {"keepstep-sync", "keepstep-rotation", "app"}
    assert {name: complaints(pod["spec"]) for name, pod in found.items()} == {name: [] for name in found}


def test_a_lax_pod_is_found() -> None:
    """The check above finds what is wrong: a pod that says nothing has all the faults."""
    lax = {
        "containers": [{"name": "x", "resources": {"limits": {}}}],
        "hostPID": True,
        "volumes": [{"name": "v", "hostPath": {}}],
    }
    assert len(complaints(lax)) == 7


def test_every_pod_has_a_policy() -> None:
    """A NetworkPolicy that lets nobody in applies to each pod."""
    documents = written()
    policies = [
        each["spec"] for each in documents if each["kind"] == "NetworkPolicy" and each["spec"].get("ingress") == []
    ]
    selected = [policy["podSelector"]["matchLabels"] for policy in policies]
    for name, pod in pods(documents):
        assert any(labels.items() <= pod["metadata"]["labels"].items() for labels in selected), name


def test_jobs_are_configured(tmp_path: Path) -> None:
    """The configuration in each ConfigMap is right, and every job that a container runs is in it."""
    documents = written()
    configs = {}
    for document in documents:
        if document["kind"] == "ConfigMap":
            path = tmp_path / "keepstep.toml"
            path.write_text(document["data"]["keepstep.toml"])
            configs[document["metadata"]["name"]] = load(path)
    for _, pod in pods(documents):
        mounted = next(each["configMap"]["name"] for each in pod["spec"]["volumes"] if "configMap" in each)
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
            words = container.get("args", [])
            if len(words) == 2:
                assert configs[mounted].job[words[1]].kind == words[0]
            elif words:
                assert words == ["run"]


def test_identities() -> None:
    """EKS: the role's annotation. OKE: the token is mounted and the principal chosen; elsewhere no token is."""
    account = next(each for each in rendered("aws") if each["kind"] == "ServiceAccount")
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
    for _, pod in pods(rendered("oci")):
        assert pod["spec"]["automountServiceAccountToken"] is True
        env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        assert env["OCI_CLI_AUTH"] == "oke_workload_identity"
    for overlay in ("aws", "secrets"):
        assert all(pod["spec"]["automountServiceAccountToken"] is False for _, pod in pods(rendered(overlay)))
