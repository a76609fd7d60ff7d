"""Whoever ran oci-rclone-sync keeps their terraform.tfvars: every variable of it is one of oci-cost-reports."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.hcl import FOLDER, read
from tests.deploy.images import REPOSITORY
from tests.deploy.terraform import Terraform, without_providers

TFVARS = Path(__file__).with_name("oci_rclone_sync.tfvars")
LOCALS = ("compartment", "bucket", "bucket_exists", "prefix", "email", "alert_email", "brings_key", "injected")


def names() -> set[str]:
    return set(re.findall(r"^(\w+) +=", TFVARS.read_text(), re.MULTILINE))


@pytest.fixture
def tool(tmp_path: Path) -> Terraform:
    """The module's variables and what it makes of them, with nothing that needs a cloud."""
    found = without_providers(tmp_path)
    for name in ("variables.tf", "names.tf"):
        shutil.copy(FOLDER / "oci-cost-reports" / name, found.folder)
    outputs = [f'output "{name}" {{\n  value = local.{name}\n}}\n' for name in LOCALS]
    outputs.append('output "files" {\n  value     = local.inject\n  sensitive = true\n}\n')
    (found.folder / "outputs.tf").write_text("".join(outputs))
    shutil.copy(TFVARS, found.folder / "terraform.tfvars")
    return found


def values(tool: Terraform) -> dict[str, Any]:
    tool.run("init", "-input=false")
    ran = tool.run("apply", "-auto-approve", "-input=false")
    assert "undeclared" not in ran.stdout + ran.stderr
    found = json.loads(tool.run("output", "-json").stdout)
    return {name: each["value"] for name, each in found.items()}


def test_the_old_variables_are_taken_as_they_are(tool: Terraform) -> None:
    """Nothing is edited: the bucket is one that exists, the folder keeps its name, the keys are used."""
    found = values(tool)
    assert found["compartment"] == "ocid1.compartment.oc1..aaaa"
    assert (found["bucket"], found["bucket_exists"], found["prefix"]) == (
        "finops-reports",
        True,
        "oci-cost-reports/",
    )
    assert (found["email"], found["alert_email"]) == ("finops@example.com", "ops@example.com")
    assert found["brings_key"] is True
    assert sorted(found["injected"]) == ["aws-credentials", "oci-key.pem"]
    assert found["files"]["oci-key.pem"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n" in found["files"]["aws-credentials"]


def test_keys_may_come_from_the_vault(tool: Terraform) -> None:
    """With both switches off, as the old README has it, no key is used, and none is in the state."""
    off = {f"inject_{what}_via_cloud_init": False for what in ("oci_private_key", "aws_credentials")}
    (tool.folder / "vault.auto.tfvars.json").write_text(json.dumps(off))
    assert values(tool)["injected"] == []


def test_step_one_of_the_old_way(tool: Terraform) -> None:
    """Before there is an API key its variables are empty, or not there: there is no machine yet, and no error."""
    empty = {"oci_api_private_key": "", "oci_api_key_fingerprint": ""}
    (tool.folder / "first.auto.tfvars.json").write_text(json.dumps(empty))
    assert values(tool)["injected"] == ["aws-credentials"]


def test_new_names_win(tool: Terraform) -> None:
    """A bucket by its new name is made, unless it is said to exist; a folder may be none."""
    new = {"bucket_name": "new", "bucket_prefix": "/", "compartment_ocid": "ocid1.compartment.oc1..bbbb"}
    (tool.folder / "new.auto.tfvars.json").write_text(json.dumps(new))
    found = values(tool)
    assert (found["bucket"], found["bucket_exists"], found["prefix"]) == ("new", False, "")
    assert found["compartment"] == "ocid1.compartment.oc1..bbbb"


@pytest.mark.parametrize("wrong", [{"success_within_hours": 100}, {"success_within_hours": 0}])
def test_what_an_alarm_cannot_do_is_refused(tool: Terraform, wrong: dict[str, int]) -> None:
    """The hours of an alarm on absence are those that OCI takes."""
    (tool.folder / "wrong.auto.tfvars.json").write_text(json.dumps(wrong))
    tool.run("init", "-input=false")
    refused = tool.run("plan", "-input=false", check=False)
    assert refused.returncode != 0 and "1 to 72 hours" in refused.stderr


def test_the_page_names_every_variable() -> None:
    """docs/deploy/migration.md has a row for each of the old variables, and names only variables that there are."""
    page = (REPOSITORY / "docs" / "deploy" / "migration.md").read_text()
    assert names() == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    known = {name for block in read("oci-cost-reports")["variable"] for name in block}
    assert names() <= known
