"""The modules for OCI, applied by the real tool: the first apply works, and changes reach a machine that stays."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.hcl import FOLDER
from tests.deploy.moto import moto
from tests.deploy.oci_provider import AWAY
from tests.deploy.terraform import AWS_PROVIDER, Terraform, terraform_with_oci

pytestmark = pytest.mark.timeout(900)
"""The tool starts a process for each provider at each command."""

STEP_TWO = {
    "api_key_secret_ocid": "ocid1.vaultsecret.oc1.iad.api",
    "aws_access_key_secret_ocid": "ocid1.vaultsecret.oc1.iad.aws",
}


def prepared(module: str, folder: Path, **given: Any) -> Terraform:
    """With its example's values, in a region that is not the home region."""
    tool = terraform_with_oci(module, folder)
    shutil.copy(FOLDER / module / "terraform.tfvars.example", tool.folder / "terraform.tfvars")
    give(tool, region=AWAY, **given)
    return tool


def give(tool: Terraform, **values: Any) -> None:
    (tool.folder / "given.auto.tfvars.json").write_text(json.dumps(values))


def applied(tool: Terraform) -> dict[str, Any]:
    """The attributes of every resource, by address."""
    tool.run("apply", "-auto-approve", "-input=false", timeout=900)
    module = json.loads(tool.run("show", "-json").stdout)["values"]["root_module"]
    return {each["address"]: each["values"] for each in module["resources"]}


def planned(tool: Terraform) -> dict[str, list[str]]:
    """What another apply would do, by address: nothing is ``{}``."""
    plan = str(tool.folder / "plan")
    tool.run("plan", "-input=false", f"-out={plan}", timeout=900)
    changes = json.loads(tool.run("show", "-json", plan).stdout)["resource_changes"]
    return {
        each["address"]: each["change"]["actions"]
        for each in changes
        if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"]
    }


def user_data(instance: dict[str, Any]) -> dict[str, Any]:
    text = gzip.decompress(base64.b64decode(instance["metadata"]["user_data"])).decode()
    assert text.startswith("#cloud-config\n")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> tuple[Terraform, dict[str, Any]]:
    tool = prepared("oci-secrets-host", tmp_path_factory.mktemp("host"))
    tool.run("init", "-input=false")
    tool.run("validate")
    return tool, applied(tool)


def test_the_first_apply_of_a_secrets_host(host: tuple[Terraform, dict[str, Any]]) -> None:
    """Away from the home region, too; a second plan finds nothing to do."""
    tool, made = host
    assert made["oci_identity_policy.secrets"]["statements"][0].startswith(
        "allow dynamic-group keepstep-secrets-host"
    )
    assert planned(tool) == {}


def test_one_more_secret_reaches_a_machine_that_stays(host: tuple[Terraform, dict[str, Any]]) -> None:
    """A new secret, interval, address or version changes the configuration and policies; nothing is replaced."""
    tool, made = host
    before = json.dumps(user_data(made["oci_core_instance.this"]))
    for each in ("vaultsecret", "map.csv", "ops@example.com", "6h", "onstopic"):
        assert each not in before
    secrets = [
        {"ocid": "ocid1.vaultsecret.oc1.iad.one", "path": "/run/secrets/a"},
        {
            "ocid": "ocid1.vaultsecret.oc1.iad.two",
            "path": "/srv/app/b",
            "mode": "0640",
            "container": "c",
            "signal": "HUP",
        },
    ]
    changes = {
        "interval_hours": 12,
        "alert_urls": ["json://example.com"],
        "package": "keepstep[oci,secrets]==9.9.9",
    }
    give(tool, region=AWAY, secrets=secrets, tags={"team": "a"}, ssh_public_key="ssh-ed25519 AAAA", **changes)
    plan = planned(tool)
    assert {"oci_objectstorage_object.configuration", "oci_identity_policy.secrets"} <= plan.keys()
    assert set(map(tuple, plan.values())) == {("update",)}
    made = applied(tool)
    document = json.loads(made["oci_objectstorage_object.configuration"]["content"])
    assert "two,/srv/app/b,0640,c,HUP" in document["files"]["/etc/oci-secretsync/map.csv"]["text"]
    drop_in = document["files"]["/etc/systemd/system/keepstep-secrets@host.service.d/machine.conf"]["text"]
    assert "ReadWritePaths=/srv/app" in drop_in
    timer = document["files"]["/etc/systemd/system/keepstep-secrets@host.timer.d/machine.conf"]["text"]
    # systemd.timer(5): an empty value resets the list of all times, so /run/secrets would stay empty after a boot.
    assert timer.split("OnUnitActiveSec=\n")[1].split() == ["OnBootSec=2min", "OnUnitActiveSec=12h"]
    assert document["package"] == "keepstep[oci,secrets]==9.9.9"
    assert json.dumps(user_data(made["oci_core_instance.this"])) == before


def test_a_host_is_not_destroyed_by_accident(host: tuple[Terraform, dict[str, Any]]) -> None:
    """Destroy refuses while the machine that containers run on is in the state."""
    tool, _ = host
    refused = tool.run("destroy", "-auto-approve", "-input=false", check=False)
    assert refused.returncode != 0 and "prevent_destroy" in refused.stderr


def test_the_first_apply_of_a_rotation(tmp_path: Path) -> None:
    """Away from the home region, too; a second plan is empty, and the audit log refuses to be destroyed."""
    tool = prepared("oci-rotation", tmp_path, alert_email="ops@example.com")
    tool.run("init", "-input=false")
    made = applied(tool)
    assert planned(tool) == {}
    assert made["oci_ons_subscription.this[0]"]["endpoint"] == "ops@example.com"
    alarms = {name: values for name, values in made.items() if name.startswith("oci_monitoring_alarm.")}
    topic = made["oci_ons_notification_topic.this[0]"]["topic_id"]
    assert {values["destinations"][0] for values in alarms.values()} == {topic}
    function = made["oci_functions_function.this"]["id"]
    assert all(f'resourceId = "{function}"' in values["query"] for values in alarms.values())
    refused = tool.run("destroy", "-auto-approve", "-input=false", check=False)
    assert refused.returncode != 0 and "prevent_destroy" in refused.stderr


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    with moto(tmp_path_factory.mktemp("moto")) as url:
        tool = prepared("oci-cost-reports", tmp_path_factory.mktemp("reports"))
        endpoints = "".join(f'    {name} = "{url}"\n' for name in ("iam", "s3", "sts"))
        (tool.folder / "provider_override.tf").write_text(AWS_PROVIDER % endpoints)
        tool.run("init", "-input=false")
        tool.run("validate", timeout=600)
        yield tool


def test_the_first_plan_of_cost_reports(reports: Terraform) -> None:
    """The module is valid, and step 1 would make the keys, the right and the bucket, and no machine."""
    plan = planned(reports)
    assert set(map(tuple, plan.values())) == {("create",)}
    assert {"oci_kms_key.this", "oci_identity_policy.boot_volume", "aws_s3_bucket.reports[0]"} <= set(plan)
    assert not [address for address in plan if address.startswith("oci_core_instance.")]


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_cost_reports_in_two_steps(reports: Terraform) -> None:
    """Step 1 makes everything but the machine, step 2 the machine; then changes reach it, and it stays."""
    made = applied(reports)
    assert "oci_core_instance.this[0]" not in made
    give(reports, region=AWAY, **STEP_TWO)
    made = applied(reports)
    assert planned(reports) == {}
    before = json.dumps(user_data(made["oci_core_instance.this[0]"]))
    for each in ("vaultsecret", "FOCUS", "*/6", "example-finops", "ops@example.com", "onstopic", "PRIVATE"):
        assert each not in before
    changes = {
        "api_key_secret_ocid": "ocid1.vaultsecret.oc1.iad.new",
        "aws_access_key_secret_ocid": STEP_TWO["aws_access_key_secret_ocid"],
        "schedule": "17 * * * *",
        "include": "*",
        "alert_urls": ["mailtos://user:word@smtp.example.com:2525?to=ops@example.com"],
        "log_file": "/var/log/rclone-sync.log",
    }
    give(reports, region=AWAY, **changes)
    assert planned(reports) == {
        "oci_objectstorage_object.configuration": ["update"],
        "oci_identity_policy.machine[0]": ["update"],
        "oci_core_security_list.this": ["update"],
    }
    made = applied(reports)
    assert json.dumps(user_data(made["oci_core_instance.this[0]"])) == before
    ports = [rule["tcp_options"][0]["min"] for rule in made["oci_core_security_list.this"]["egress_security_rules"]]
    assert sorted(map(int, ports)) == [443, 2525]
    document = json.loads(made["oci_objectstorage_object.configuration"]["content"])
    toml = document["files"]["/etc/keepstep/keepstep.toml"]["text"]
    assert (
        'schedule = "17 * * * *"' in toml and "iad.new" in document["files"]["/etc/oci-secretsync/map.csv"]["text"]
    )
    refused = reports.run("destroy", "-auto-approve", "-input=false", check=False, timeout=900)
    assert refused.returncode != 0
    # the tool names the first that refuses, in no certain order; which ones do is in test_tofu.py
    assert "prevent_destroy" in refused.stderr
    assert any(f'"{kind}"' in refused.stderr for kind in ("aws_s3_bucket", "oci_kms_vault", "oci_kms_key"))
