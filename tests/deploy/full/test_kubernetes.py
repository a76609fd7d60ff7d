"""The pods of the overlays, run in Podman with what they mount, against local clouds and a real PostgreSQL."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from keepstep_localcloud.focus import write_reports
from keepstep_localcloud.server import LocalCloud
from tests.database_servers.postgres import PostgresServer
from tests.deploy.images import Images
from tests.deploy.manifests import of_kind, ours, pods, rendered
from tests.deploy.pods import Played, play
from tests.deploy.waiting import until
from tests.rotation.conftest import authority as authority
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import database_folder as database_folder
from tests.rotation.conftest import postgres_server as postgres_server
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds
from tests.rotation.fixture import Clouds, Scene
from tests.servers import Aws, free_port

Play = Callable[..., Played]


@pytest.fixture
def played(store: Images, image: str, tmp_path: Path) -> Iterator[Play]:
    """``played(overlay, files=…, variables=…, secrets=…)``: a pod that ends with the test."""
    found: list[Played] = []

    def start(overlay: str, **options: Any) -> Played:
        found.append(play(store, tmp_path, overlay, image, **options))
        return found[-1]

    yield start
    for each in found:
        each.down()


def shipped(overlay: str, **places: str) -> str:
    """The configuration that the overlay ships, with the addresses of this machine."""
    [configuration] = of_kind(rendered(overlay), "ConfigMap")
    text = str(configuration["data"]["keepstep.toml"])
    for name, value in places.items():
        text, count = re.subn(rf'^{name} = ".*"$', f'{name} = "{value}"', text, flags=re.MULTILINE)
        assert count == 1
    return text


def api_key(cloud: LocalCloud) -> dict[str, str]:
    """As docs/deploy/kubernetes.md has it: ``config``, whose key is the file beside it."""
    config = cloud.config.read_text().split("[SESSION]")[0]
    [key] = re.findall(r"^key_file ?= ?(.+)$", config, re.MULTILINE)
    text = re.sub(r"^(key_file ?= ?).+$", r"\g<1>/run/oci/key.pem", config, flags=re.MULTILINE)
    return {"config": text, "key.pem": Path(key).read_text()}


def by_variables(cloud: LocalCloud) -> dict[str, str]:
    """No cluster exchanges the pod's tokens: the local OCI's key stands in for workload identity."""
    key = api_key(cloud)
    found = re.findall(r"^(user|tenancy|region|fingerprint) ?= ?(.+)$", key["config"], re.MULTILINE)
    return {
        "OCI_CLI_AUTH": "api_key",
        "OCI_CLI_KEY_CONTENT": key["key.pem"],
        "AWS_ROLE_ARN": "",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "",
        **{f"OCI_CLI_{name.upper()}": value for name, value in found},
    }


def endpoints(cloud: LocalCloud) -> dict[str, str]:
    return {name: value for name, value in cloud.env.items() if name != "OCI_CLI_CONFIG_FILE"}


@pytest.fixture
def bucket(moto: Aws) -> str:
    name = f"pods-{uuid.uuid4().hex[:10]}"
    moto.client("s3").create_bucket(Bucket=name)
    return name


def names(moto: Aws, bucket: str) -> list[str]:
    listed = moto.client("s3").list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in listed.get("Contents", ())]


def test_cost_reports(played: Play, moto: Aws, bucket: str, tmp_path: Path) -> None:
    """With the key mounted as the overlay mounts it, as 65532 with a read-only root, the reports are in S3."""
    folder = tmp_path / "bling"
    count = write_reports(folder, tenancy="ocid1.tenancy.oc1..test", end=datetime.now(UTC), days=3)
    with LocalCloud(tmp_path / "oci", "--bling", str(folder)) as cloud:
        text = shipped("eks/cost-reports", source=f"oci://{cloud.tenancy}@bling/", target=f"s3://{bucket}/oci/")
        pod = played(
            "eks/cost-reports",
            files={"keepstep.toml": text},
            variables={**endpoints(cloud), **moto.env},
            secrets={"keepstep-oci": api_key(cloud)},
        )
        assert pod.ended() == 0, pod.logs()
        assert len(names(moto, bucket)) == count
        found = pod.inspect()
        assert found["Config"]["User"] == "65532:65532"
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert "PRIVATE KEY" not in pod.logs()


def test_a_bucket(played: Play, moto: Aws, bucket: str, tmp_path: Path) -> None:
    """A bucket of OCI arrives in S3."""
    import oci

    with LocalCloud(tmp_path / "oci") as cloud:
        config = oci.config.from_file(str(cloud.config))
        client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
        details = oci.object_storage.models.CreateBucketDetails(name="data", compartment_id=cloud.tenancy)
        client.create_bucket(cloud.namespace, details)
        client.put_object(cloud.namespace, "data", "a", b"1")
        text = shipped("oke/sync", source=f"oci://data@{cloud.namespace}/", target=f"s3://{bucket}/oci/")
        variables = {**endpoints(cloud), **moto.env, **by_variables(cloud)}
        pod = played("oke/sync", files={"keepstep.toml": text}, variables=variables, secrets={})
        assert pod.ended() == 0, pod.logs()
        assert names(moto, bucket) == ["oci/a"]


@pytest.mark.parametrize("overlay", ["eks/rotation", "oke/rotation"])
def test_a_rotation(
    played: Play, clouds: Clouds, postgres_server: PostgresServer, tmp_path: Path, overlay: str
) -> None:
    """With the authority of the ConfigMap, the database's certificate is trusted, and the password is rotated."""
    scene = Scene(clouds, [postgres_server])
    where = postgres_server.endpoint
    text = (
        scene.toml(tmp_path).read_text().replace("[job.app]", "[job.app-db]").replace("[[job.app.", "[[job.app-db.")
    )
    text = text.replace(str(where.ca), "/etc/keepstep/database-ca.pem")
    text = re.sub(r"sqlite:///.*/state.db", "sqlite:////var/lib/keepstep/state.db", text)
    given = {"OCI_CLI_CONFIG_FILE": "/run/oci/config"} if overlay.startswith("eks/") else {}
    secrets = {"keepstep-oci": api_key(clouds.cloud)} if given else {}
    if not given:
        given = by_variables(clouds.cloud)
    text = text.replace('kind = "rotate"', 'kind = "rotate"\ninterval = "1s"')
    pod = played(
        overlay,
        files={"keepstep.toml": text, "database-ca.pem": Path(str(where.ca)).read_text()},
        variables={**endpoints(clouds.cloud), **clouds.aws.env, **given},
        secrets=secrets,
    )
    assert pod.ended() == 0, pod.logs()
    assert scene.is_in_step(2), pod.logs()


@pytest.mark.parametrize("overlay", ["eks/daemon", "oke/daemon"])
def test_the_daemon(played: Play, moto: Aws, bucket: str, tmp_path: Path, overlay: str) -> None:
    """It serves metrics to others, keeps its state on the claim, and a stop ends it with 0 in the grace period."""
    port = free_port()
    text = (
        f'[state]\nurl = "sqlite:////var/lib/keepstep/state.db"\n[dashboard]\nlisten = "0.0.0.0:{port}"\n'
        f'[job.files]\nkind = "sync"\nsource = "/etc/keepstep/"\ntarget = "s3://{bucket}/"\n'
        'schedule = "@every 2s"\nstartup = true\n'
    )
    with LocalCloud(tmp_path / "oci") as cloud:
        key = {"keepstep-oci": api_key(cloud)} if overlay.startswith("eks/") else {}
    variables = {**moto.env, "AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": ""}
    pod = played(overlay, files={"keepstep.toml": text, "database-ca.pem": "-"}, variables=variables, secrets=key)

    def metrics() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    until(lambda: 'keepstep_runs_total{keepstep_job="files",outcome="done"}' in metrics(), pod.logs)
    code, took = pod.stop()
    assert (code, took < pod.grace) == (0, True), pod.logs()
    assert "keepstep.toml" in names(moto, bucket)


@pytest.mark.parametrize("overlay", ["eks/secrets", "oke/secrets"])
def test_a_sidecar(store: Images, image: str, moto: Aws, tmp_path: Path, overlay: str) -> None:
    """The folder, the sidecar that delivers into it, the program that reads it and cannot write."""
    [(_, pod)] = pods(rendered(overlay))
    folder, sidecar = pod["spec"]["initContainers"]
    name = f"pods-{uuid.uuid4().hex[:8]}"
    moto.client("secretsmanager").create_secret(Name=name, SecretString='{"password": "The Value"}')
    # as the kubelet makes an emptyDir for a group (fsGroup)
    volume, etc = tmp_path / "volume", tmp_path / "etc"
    volume.mkdir()
    os.chown(volume, 0, pod["spec"]["securityContext"]["fsGroup"])
    volume.chmod(0o2777)
    etc.mkdir()
    text = shipped(overlay, secret=f"aws-sm:{name}#password")
    (etc / "keepstep.toml").write_text(
        text.replace("[job.app]", '[dashboard]\nlisten = "127.0.0.1:0"\n\n[job.app]')
    )
    user = ("--user", "65532:65532", "--cap-drop=all", "--security-opt=no-new-privileges")
    first = store.run(
        image,
        *folder["command"][1:],
        options=(*user, "--entrypoint", folder["command"][0], "-v", f"{volume}:/volume"),
    )
    assert first.returncode == 0, first.stderr
    mounts = {mount["name"]: mount for mount in sidecar["volumeMounts"]}
    where = mounts["secrets"]
    given = [word for key, value in moto.env.items() for word in ("--env", f"{key}={value}")]
    delivered = f"{volume}/{where['subPath']}:{where['mountPath']}"
    store.podman(
        *(
            "run",
            "-d",
            "--read-only",
            "--name",
            name,
            *user,
            *given,
            "-v",
            delivered,
            "-v",
            f"{etc}:/etc/keepstep:ro",
        ),
        *("--tmpfs", "/tmp", image, *ours(pod)["args"]),
    )
    try:
        probe = sidecar["startupProbe"]["exec"]["command"]
        until(
            lambda: store.podman("exec", name, *probe, check=False).returncode == 0,
            lambda: store.podman("logs", name).stderr,
        )
        script = 'cat "$DB_PASSWORD_FILE"; touch /run/app-secrets/x 2>/dev/null || echo " read-only"'
        [variable] = pod["spec"]["containers"][0]["env"]
        options = (*user, "--entrypoint", "/bin/sh", "-v", f"{delivered}:ro")
        read = store.run(image, "-c", script, options=options, **{variable["name"]: variable["value"]})
        assert read.stdout == "The Value read-only\n"
        store.podman("stop", "--time", str(pod["spec"]["terminationGracePeriodSeconds"]), name)
        assert store.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout == "0\n"
        assert "The Value" not in store.podman("logs", name).stderr
    finally:
        store.podman("rm", "--force", "--time", "0", name, check=False)
