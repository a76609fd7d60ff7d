"""The overlays of deploy/kubernetes as kustomize builds them: complete, restricted, and reachable as they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from keepstep.config import load
from tests.deploy.images import REPOSITORY
from tests.deploy.manifests import FOLDER, OVERLAYS, Policies, build, containers, of_kind, ours, pods, rendered

VERSION = "1.31"
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


def test_the_overlays_of_the_documentation() -> None:
    """Each overlay has a line and its command in docs/deploy/kubernetes.md, and no other is named there."""
    page = (REPOSITORY / "docs" / "deploy" / "kubernetes.md").read_text()
    assert set(re.findall(r"`kubectl apply -k deploy/kubernetes/(\w+/[\w-]+)`", page)) == set(OVERLAYS)
    assert len(OVERLAYS) == 8


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_is_of_the_schema(overlay: str) -> None:
    """The API's own schemas, strict; everything is in one namespace, and nothing is there twice."""
    documents = rendered(overlay)
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))
    assert {document["metadata"].get("namespace", "keepstep") for document in documents} == {"keepstep"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay: str) -> None:
    """Each pod passes the restricted profile, has a root that cannot be written, and a limit of memory."""
    [(_, pod)] = pods(rendered(overlay))
    assert complaints(pod["spec"]) == []


def test_a_lax_pod_is_found() -> None:
    """The check above finds what is wrong: a pod that says nothing has all the faults."""
    lax = {
        "containers": [{"name": "x", "resources": {"limits": {}}}],
        "hostPID": True,
        "volumes": [{"name": "v", "hostPath": {}}],
    }
    assert len(complaints(lax)) == 7


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_that_is_named_is_there(overlay: str) -> None:
    """Accounts, claims, ConfigMaps and volumes are in the overlay; only the key of OCI is the user's to bring."""
    documents = rendered(overlay)
    there = {(document["kind"], document["metadata"]["name"]) for document in documents}
    [(_, pod)] = pods(documents)
    named = {("ServiceAccount", pod["spec"]["serviceAccountName"])}
    for volume in pod["spec"]["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            named.add(("PersistentVolumeClaim", claim["claimName"]))
        if configuration := volume.get("configMap"):
            named.add(("ConfigMap", configuration["name"]))
        if secret := volume.get("secret"):
            assert secret["secretName"] == "keepstep-oci"
    assert named <= there
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    mounted = {mount["name"] for each in containers(pod) for mount in each.get("volumeMounts", ())}
    assert mounted == volumes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_jobs_are_configured(overlay: str, tmp_path: Path) -> None:
    """The configuration is right, the jobs that containers run are in it, and files that it names are mounted."""
    documents = rendered(overlay)
    [configuration] = of_kind(documents, "ConfigMap")
    for name, text in configuration["data"].items():
        (tmp_path / name).write_text(text)
    config = load(tmp_path / "keepstep.toml")
    [(_, pod)] = pods(documents)
    container = ours(pod)
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    if container["args"] != ["run"]:
        kind, name = container["args"]
        assert config.job[name].kind == kind
    else:
        assert all(job.schedule for job in config.job.values())
    for job in config.job.values():
        for database in getattr(job, "database", None) or ():
            assert str(database.ca).startswith("/etc/keepstep/")
            assert Path(str(database.ca)).name in configuration["data"]
        for each in getattr(job, "file", None) or ():
            assert {str(Path(path).parent) for path in each.path} <= mounts.keys()
    state = Path(str(config.state.place.path))
    assert mounts[str(state.parent)]["name"] == "state"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_jobs_remember_outlives_the_pod(overlay: str) -> None:
    """The state is on a claim where a job's alerts need it; a sidecar's ends with the files that it is about."""
    [(_, pod)] = pods(rendered(overlay))
    state = next(volume for volume in pod["spec"]["volumes"] if volume["name"] == "state")
    [configuration] = of_kind(rendered(overlay), "ConfigMap")
    if overlay.endswith("/secrets"):
        assert "emptyDir" in state
        assert "stale_after" not in configuration["data"]["keepstep.toml"]
    else:
        assert "persistentVolumeClaim" in state


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_edited_configuration_reaches_the_pods(overlay: str, tmp_path: Path) -> None:
    """Another configuration is another ConfigMap, and so another pod: also the sidecar's."""
    folder = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, folder)
    with (folder / overlay / "keepstep.toml").open("a") as file:
        file.write("# edited\n")
    [(_, before)], [(_, after)] = pods(rendered(overlay)), pods(build(folder / overlay))

    def mounted(pod: dict[str, Any]) -> str:
        found = [each["configMap"]["name"] for each in pod["spec"]["volumes"] if "configMap" in each]
        return str(found[0])

    assert mounted(before) != mounted(after)
    assert mounted(before).rsplit("-", 1)[0] == mounted(after).rsplit("-", 1)[0]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_cloud_has_an_identity(overlay: str) -> None:
    """Whatever cloud a configuration names, the pod has a way into: a role, workload identity, or a mounted key."""
    documents = rendered(overlay)
    [configuration] = of_kind(documents, "ConfigMap")
    text = configuration["data"]["keepstep.toml"]
    [(_, pod)] = pods(documents)
    env = {each["name"]: each["value"] for each in ours(pod)["env"]}
    [account] = of_kind(documents, "ServiceAccount")
    role = account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn", "")
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in ours(pod)["volumeMounts"]}
    has_oci = bool(re.search(r'"oci://|ocid1\.', text))
    has_aws = bool(re.search(r'"s3://|"aws-s|arn:aws', text))
    if overlay.startswith("eks/"):
        assert role.startswith("arn:aws:iam::")
        assert has_aws
        assert ("oci" in volumes) == has_oci
        if has_oci:
            assert env["OCI_CLI_CONFIG_FILE"] == f"{mounts['oci']}/config"
        assert pod["spec"]["automountServiceAccountToken"] is False
    else:
        assert has_oci
        assert env["OCI_CLI_AUTH"] == "oke_workload_identity"
        assert pod["spec"]["automountServiceAccountToken"] is True
        assert ("AWS_ROLE_ARN" in env) == has_aws
        if has_aws:
            [source] = volumes["aws"]["projected"]["sources"]
            assert source["serviceAccountToken"]["audience"] == "sts.amazonaws.com"
            token = source["serviceAccountToken"]["path"]
            assert env["AWS_WEB_IDENTITY_TOKEN_FILE"] == f"{mounts['aws']}/{token}"


def test_one_overlay_copies_cost_reports(tmp_path: Path) -> None:
    """With the key that Oracle asks for, and from the bucket where Oracle writes them."""
    [configuration] = of_kind(rendered("eks/cost-reports"), "ConfigMap")
    (tmp_path / "keepstep.toml").write_text(configuration["data"]["keepstep.toml"])
    [job] = load(tmp_path / "keepstep.toml").job.values()
    assert str(getattr(job, "source", "")).endswith("@bling/")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network(overlay: str) -> None:
    """DNS and the clouds for all, databases for rotations and the daemon, and nothing else; no metadata service."""
    documents = rendered(overlay)
    [(_, pod)] = pods(documents)
    policies = Policies(documents, pod["metadata"]["labels"])
    dns = {"k8s-app": "kube-dns"}
    assert policies.may_reach_pod(dns, 53, "UDP")
    assert policies.may_reach_pod(dns, 53)
    assert policies.may_reach("169.254.20.10", 53, "UDP")
    assert policies.may_reach("52.46.1.1", 443)
    assert policies.may_reach("2600:1f00::1", 443)
    has_databases = overlay.endswith(("/rotation", "/daemon"))
    for port in (5432, 3306, 1521, 1522, 2484):
        assert policies.may_reach("10.1.2.3", port) is has_databases
        assert not policies.may_reach("52.46.1.1", port)
    is_oke = overlay.startswith("oke/")
    assert policies.may_reach("10.96.0.1", 12250) is is_oke
    for address, port in (
        ("169.254.169.254", 80),
        ("169.254.169.254", 443),
        ("fd00:ec2::254", 443),
        ("10.1.2.3", 22),
        ("10.1.2.3", 80),
        ("10.1.2.3", 8731),
    ):
        assert not policies.may_reach(address, port)
    assert not policies.may_reach_pod({"app": "other"}, 53)
    is_scraped = overlay.endswith("/daemon")
    assert policies.may_be_called({"kubernetes.io/metadata.name": "monitoring"}, 8731) is is_scraped
    assert not policies.may_be_called({"kubernetes.io/metadata.name": "default"}, 8731)
    assert not policies.may_be_called({"kubernetes.io/metadata.name": "monitoring"}, 80)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_there_is_time_to_end(overlay: str, tmp_path: Path) -> None:
    """Drain, 20 s for runs that were asked to stop, and what ending takes fit into the pod's grace period."""
    [configuration] = of_kind(rendered(overlay), "ConfigMap")
    (tmp_path / "keepstep.toml").write_text(configuration["data"]["keepstep.toml"])
    [(_, pod)] = pods(rendered(overlay))
    drain = load(tmp_path / "keepstep.toml").daemon.drain.total_seconds() if ours(pod)["args"] == ["run"] else 0
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 20 + 15


@pytest.mark.parametrize("overlay", ["eks/daemon", "oke/daemon"])
def test_the_daemon_is_probed_and_scraped(overlay: str, tmp_path: Path) -> None:
    """Probes and annotations name the port that the configuration serves to others."""
    [(_, pod)] = pods(rendered(overlay))
    [configuration] = of_kind(rendered(overlay), "ConfigMap")
    (tmp_path / "keepstep.toml").write_text(configuration["data"]["keepstep.toml"])
    host, _, port = load(tmp_path / "keepstep.toml").dashboard.listen.rpartition(":")
    assert host == "0.0.0.0"
    container = ours(pod)
    assert container["ports"] == [{"name": "metrics", "containerPort": int(port)}]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: (probe["path"], probe["port"]) for name, probe in probes.items()} == {
        "startup": ("/healthz", "metrics"),
        "liveness": ("/healthz", "metrics"),
        "readiness": ("/readyz", "metrics"),
    }
    assert pod["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": port,
        "prometheus.io/path": "/metrics",
    }


@pytest.mark.parametrize("overlay", ["eks/secrets", "oke/secrets"])
def test_tokens_find_their_place(overlay: str) -> None:
    """No volume is mounted where platforms mount tokens, /var/run/secrets, which is /run/secrets in most images."""
    [(_, pod)] = pods(rendered(overlay))
    mounts = [mount["mountPath"] for each in containers(pod) for mount in each.get("volumeMounts", ())]
    assert [path for path in mounts if path.startswith(("/run/secrets", "/var/run/secrets"))] == []
