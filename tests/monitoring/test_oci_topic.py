"""OCI Notifications and Monitoring: what a topic's subscribers and an alarm learn of a run, on a local OCI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from keepstep.errors import ConfigError
from keepstep.monitoring.channels import kind_of
from keepstep.monitoring.oci_topic import topic_of
from keepstep_localcloud.server import LocalCloud
from tests.doctor.worlds import configure

TOPIC = "ocid1.onstopic.oc1.eu-frankfurt-1.aaaa"
FAILED = 5
"""The folder is not there."""
MAY_PUBLISH = (
    "allow dynamic-group m to use ons-topics in compartment c where request.permission = 'ONS_TOPIC_PUBLISH'"
)
MAY_MEASURE = "allow dynamic-group m to use metrics in compartment c where target.metrics.namespace = 'keepstep'"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as made:
        yield made


@pytest.fixture
def topic(cloud: LocalCloud, request: pytest.FixtureRequest) -> str:
    """A topic of its own, made by Oracle's SDK."""
    import oci

    client = oci.ons.NotificationControlPlaneClient(
        oci.config.from_file(str(cloud.config)), service_endpoint=cloud.endpoint
    )
    details = oci.ons.models.CreateTopicDetails(name=request.node.name[:60], compartment_id=cloud.tenancy)
    return str(client.create_topic(details).data.topic_id)


def lines(cloud: LocalCloud, name: str) -> list[Any]:
    path = cloud.directory / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(cloud: LocalCloud, topic: str) -> list[Any]:
    return [line for line in lines(cloud, "notifications.jsonl") if line["topicId"] == topic]


def keepstep(env: Mapping[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "keepstep", "--config", str(folder / "keepstep.toml"), *words]
    return subprocess.run(command, env={**env, "HOME": str(folder)}, capture_output=True, text=True)


def job(folder: Path, more: str) -> None:
    """A copy that fails until there is a folder ``in``."""
    text = f'[job.copy]\nkind = "sync"\nsource = "{folder}/in"\ntarget = "{folder}/out"\n'
    configure(folder, f"{more}\n{text}")


def test_a_failure_and_a_recovery_are_published(cloud: LocalCloud, topic: str, tmp_path: Path) -> None:
    """A failed run is told once, and its recovery, by the instance principal, with no right but to publish."""
    job(tmp_path, f'[alerts]\nurls = ["oci-notifications://{topic}?auth=instance_principal"]')
    with cloud.policy(MAY_PUBLISH):
        for _ in range(2):
            ran = keepstep(cloud.env, tmp_path, "sync", "copy")
            assert (ran.returncode, "warning" in ran.stderr) == (FAILED, False), ran.stderr
        assert [line["principal"] for line in told(cloud, topic)] == ["instance"]
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a").write_text("1")
        assert keepstep(cloud.env, tmp_path, "sync", "copy").returncode == 0
    failed, recovered = told(cloud, topic)
    assert failed["title"].startswith("keepstep: copy") and "failed" in failed["title"]
    assert "keepstep" in failed["body"] and recovered["title"] != failed["title"]


def test_a_refusal_names_the_statement(cloud: LocalCloud, topic: str, tmp_path: Path) -> None:
    """Without the right the run ends as it would, and a warning has the statement that is missing."""
    job(tmp_path, f'[alerts]\nurls = ["oci-notifications://{topic}?auth=instance_principal"]')
    with cloud.policy(MAY_MEASURE):
        ran = keepstep(cloud.env, tmp_path, "sync", "copy")
    assert ran.returncode == FAILED
    assert "allow dynamic-group <your dynamic group> to use ons-topics in compartment" in ran.stderr
    assert told(cloud, topic) == []


def test_success_is_a_metric(cloud: LocalCloud, tmp_path: Path) -> None:
    """A run that succeeds adds one to the metric; one that fails, and one that may not, add nothing."""
    job(tmp_path, f'[metrics.oci]\ncompartment = "{cloud.tenancy}"\nauth = "instance_principal"')
    with cloud.policy(MAY_MEASURE):
        assert keepstep(cloud.env, tmp_path, "sync", "copy").returncode == FAILED
        assert lines(cloud, "metrics.jsonl") == []
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a").write_text("1")
        assert keepstep(cloud.env, tmp_path, "sync", "copy").returncode == 0
    [metric] = lines(cloud, "metrics.jsonl")
    assert (metric["namespace"], metric["name"], metric["principal"]) == ("keepstep", "success", "instance")
    assert metric["dimensions"]["job"] == "copy" and metric["datapoints"][0]["value"] == 1
    with cloud.policy(MAY_MEASURE.replace("'keepstep'", "'other'")):
        ran = keepstep(cloud.env, tmp_path, "sync", "copy")
    assert ran.returncode == 0 and "to use metrics in compartment" in ran.stderr
    assert len(lines(cloud, "metrics.jsonl")) == 1


def test_doctor_looks_and_publishes_nothing(cloud: LocalCloud, topic: str, tmp_path: Path) -> None:
    """A topic that can be seen is ok; one that may only be published to is unknown, not failed."""
    job(tmp_path, f'[alerts]\nurls = ["oci-notifications://{topic}?auth=instance_principal"]')
    (tmp_path / "in").mkdir()
    for statements, verdict in (
        (["allow dynamic-group m to use ons-topics in tenancy"], "ok"),
        ([MAY_PUBLISH], "unknown"),
    ):
        with cloud.policy(*statements):
            ran = keepstep(cloud.env, tmp_path, "doctor", "--json")
        [check] = [each for each in json.loads(ran.stdout)["checks"] if each["name"] == "alerts"]
        assert check["verdict"] == verdict, check
    assert told(cloud, topic) == []


@pytest.mark.parametrize(
    "url",
    [
        "oci-notifications://",
        "oci-notifications://ocid1.vaultsecret.oc1.iad.aaaa",
        f"oci-notifications://{TOPIC}?auth=magic",
        f"oci-notifications://{TOPIC}?color=red",
    ],
)
def test_addresses_that_are_not(url: str, tmp_path: Path) -> None:
    """A wrong address is a mistake that ``config check`` names; it is never taken for one that works."""
    with pytest.raises(ConfigError):
        topic_of(url)
    assert kind_of(url) == "oci-notifications"
    job(tmp_path, f'[alerts]\nurls = ["{url}"]')
    ran = keepstep(os.environ, tmp_path, "config", "check")
    assert ran.returncode != 0 and "alerts.urls.0" in ran.stderr + ran.stdout


def test_metrics_of_oracles_namespaces_are_refused(tmp_path: Path) -> None:
    """A namespace that Monitoring would refuse is a mistake of the configuration."""
    job(tmp_path, '[metrics.oci]\ncompartment = "c"\nnamespace = "oci_keepstep"')
    ran = keepstep(os.environ, tmp_path, "config", "check")
    assert ran.returncode != 0 and "metrics.oci.namespace" in ran.stderr + ran.stdout
