"""The modules of deploy/tofu: right as far as can be seen without a cloud account."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.deploy.hcl import FOLDER, MODULES, read, resources
from tests.deploy.images import REPOSITORY
from tests.deploy.oci_schema import EXTRACT
from tests.deploy.terraform import terraform, without_providers

_OWN = {"count", "for_each", "provider", "depends_on", "lifecycle", "dynamic"}
_SECRET = re.compile(
    r"aws_(iam_access_key|secretsmanager_secret_version|ssm_parameter|db_instance)|oci_vault_secret"
    r"|oci_identity_(auth_token|customer_secret_key|smtp_credential)|random_password|tls_private_key"
)
"""Resources whose attributes would bring a secret into the state."""
_MARKED: dict[str, Any] = {"inject": {}, "oci_api_private_key": None, "aws_secret_key": None}
"""Fallbacks, and empty."""
EXPECTED = ["aws-rotation", "aws-sync", "oci-cost-reports", "oci-rotation", "oci-secrets-host"]


def unknown(content: dict[str, Any], table: dict[str, Any], where: str) -> Iterator[str]:
    """What a resource has that its schema has not, and what it lacks."""
    attributes, blocks = table["attributes"], table["blocks"]
    for dynamic in content.get("dynamic", ()):
        for name, block in dynamic.items():
            for inner in block["content"] if isinstance(block["content"], list) else [block["content"]]:
                yield from unknown(inner, blocks.get(name, {"attributes": {}, "blocks": {}}), f"{where}.{name}")
    for name, value in content.items():
        if name in blocks and isinstance(value, list):
            for each in value:
                yield from unknown(each, blocks[name], f"{where}.{name}")
        elif name not in _OWN and name not in attributes:
            yield f"{where}.{name} is not known"
    given = {*content, *(name for dynamic in content.get("dynamic", ()) for name in dynamic)}
    needed = {*(name for name, must in attributes.items() if must)}
    yield from (f"{where}.{name} is missing" for name in sorted(needed - given))


def test_all_modules_are_there() -> None:
    """The five of the documentation, each with its files."""
    assert MODULES == EXPECTED
    for module in MODULES:
        names = {path.name for path in (FOLDER / module).iterdir()}
        assert names >= {
            "README.md",
            "main.tf",
            "outputs.tf",
            "terraform.tfvars.example",
            "variables.tf",
            "versions.tf",
        } - ({"main.tf"} if module == "oci-cost-reports" else set())


@pytest.mark.parametrize("module", EXPECTED)
def test_variables_are_described_and_the_example_is_whole(module: str) -> None:
    """Variables and outputs say what they are; the example gives every one that must be given."""
    variables = {name: body for block in read(module)["variable"] for name, body in block.items()}
    outputs = {name: body for block in read(module)["output"] for name, body in block.items()}
    assert [name for name, body in {**variables, **outputs}.items() if not body.get("description")] == []
    assert [name for name, body in variables.items() if "type" not in body] == []
    with (FOLDER / module / "terraform.tfvars.example").open() as text:
        example = {name for name in hcl2.load(text) if not name.startswith("__")}
    needed = {name for name, body in variables.items() if "default" not in body}
    assert needed <= example <= set(variables)


@pytest.mark.parametrize("module", EXPECTED)
def test_versions_are_pinned(module: str) -> None:
    """OpenTofu's and Terraform's least version, and each provider within one major version."""
    (block,) = read(module)["terraform"]
    assert block["required_version"] == ">= 1.8"
    (providers,) = block["required_providers"]
    assert {name: each["version"] for name, each in providers.items()}.items() <= {
        "aws": "~> 5.100",
        "oci": "~> 7.19",
    }.items()
    used = {kind.removeprefix("data.").split("_")[0] for kind, _, _ in resources(module)}
    assert used == set(providers)


@pytest.mark.parametrize("module", EXPECTED)
def test_attributes_of_oci_exist(module: str) -> None:
    """Every attribute and block of an OCI resource is in the provider's schema, and none is missing."""
    schema = json.loads(EXTRACT.read_text())
    faults = [
        fault
        for kind, name, content in resources(module)
        if "oci_" in kind
        for fault in unknown(content, schema[kind], f"{kind}.{name}")
        if not fault.endswith(".filter is not known")
    ]
    assert faults == []


def test_a_wrong_attribute_is_found() -> None:
    """The check above finds a misspelt attribute, one within a block, and one that is missing."""
    table = json.loads(EXTRACT.read_text())["oci_core_nat_gateway"]
    assert list(unknown({"compartment_id": "x", "vcnid": "y"}, table, "x")) == [
        "x.vcnid is not known",
        "x.vcn_id is missing",
    ]
    instance = json.loads(EXTRACT.read_text())["oci_core_instance"]
    found = unknown({"source_details": [{"source_type": "image", "souce_id": "y"}]}, instance, "x")
    assert "x.source_details.souce_id is not known" in list(found)


@pytest.mark.parametrize("module", EXPECTED)
def test_no_secret_is_in_the_state(module: str) -> None:
    """No resource holds a secret's value; the only variables that could are marked, and empty."""
    assert [f"{kind}.{name}" for kind, name, _ in resources(module) if _SECRET.fullmatch(kind)] == []
    variables = {name: body for block in read(module)["variable"] for name, body in block.items()}
    marked = {name: body["default"] for name, body in variables.items() if body.get("sensitive")}
    assert marked == (_MARKED if module == "oci-cost-reports" else {})


@pytest.mark.parametrize("module", EXPECTED)
def test_the_readme_has_a_diagram_and_the_way(module: str) -> None:
    """A diagram, what to do, what it costs in rights, and how far it was tried."""
    text = (FOLDER / module / "README.md").read_text()
    assert "```mermaid" in text
    assert "tofu apply" in text
    assert "## How far this is tested" in text


@pytest.mark.parametrize("module", ["oci-cost-reports", "oci-secrets-host"])
def test_machines_get_the_units_of_the_repository(module: str) -> None:
    """Every unit that cloud-init writes is one of deploy/systemd."""
    text = "".join(path.read_text() for path in (FOLDER / module).glob("*.tf"))
    (names,) = re.findall(r"units\s+= (\[.*\])", text)
    for name in json.loads(names):
        assert (REPOSITORY / "deploy" / "systemd" / name).is_file()


@pytest.mark.parametrize("module", ["aws-rotation", "aws-sync"])
def test_terraform_finds_no_fault(module: str, tmp_path: Path) -> None:
    """``validate`` knows every attribute of AWS's provider."""
    tool = terraform(module, tmp_path)
    tool.run("init", "-input=false")
    tool.run("validate")


def test_files_are_as_the_tool_would_write_them(tmp_path: Path) -> None:
    """``fmt`` has nothing to change in any module."""
    tool = without_providers(tmp_path)
    tool.run("fmt", "-check", "-diff", "-recursive", str(FOLDER))


def test_whatever_can_have_tags_has_those_of_the_variable(tmp_path: Path) -> None:
    """Every resource of AWS's provider that knows tags gets ``var.tags``."""
    tool = terraform("aws-rotation", tmp_path)
    tool.run("init", "-input=false")
    schema = json.loads(tool.run("providers", "schema", "-json").stdout)["provider_schemas"]
    known = schema["registry.terraform.io/hashicorp/aws"]["resource_schemas"]
    for module in ("aws-rotation", "aws-sync"):
        for kind, name, body in resources(module):
            if "tags" in known.get(kind, {"block": {"attributes": {}}})["block"]["attributes"]:
                assert body.get("tags") == "${var.tags}", f"{module}: {kind}.{name}"


def test_what_is_not_for_git_is_ignored(tmp_path: Path) -> None:
    """Values, states and plans stay out of git; the example and the lock file do not."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(FOLDER / ".gitignore", tmp_path)
    kept = ["main.tf", "terraform.tfvars.example", ".terraform.lock.hcl"]
    left = ["terraform.tfvars", "x.auto.tfvars.json", "terraform.tfstate", "terraform.tfstate.backup", "x.tfplan"]
    command = ["git", "-C", str(tmp_path), "check-ignore", *(f"m/{name}" for name in (*kept, *left))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said == [f"m/{name}" for name in left]


@pytest.mark.parametrize(
    ("module", "success"),
    [
        ("oci-cost-reports", 'success[1h]{job = "cost-reports"}'),
        ("oci-secrets-host", 'success[1h]{job = "host"}'),
        ("oci-rotation", 'FunctionResponseCount[20m]{resourceId = "", responseType = "Success"}'),
    ],
)
def test_missing_success_is_told_on_oci(module: str, success: str) -> None:
    """An alarm is raised when no run has succeeded for some time, whether runs fail or do not come."""
    told = [query.split(".groupBy(")[0] for query in _queries(module) if query.endswith(".absent(h)")]
    assert told == [success]


def test_alarms_name_response_types_as_oci_does() -> None:
    """OCI counts a function's answers by ``Success``, ``Error`` and ``Throttled``, written so."""
    named = [value for query in _queries("oci-rotation") for value in re.findall(r'responseType = "(\w+)"', query)]
    assert sorted(named) == ["Error", "Success"]


def _queries(module: str) -> list[str]:
    """Those of its alarms, without what is filled in."""
    text = "".join(path.read_text() for path in (FOLDER / module).glob("*.tf"))
    quoted = re.findall(r'= "(\w+\[\w+\]\{.*)"', text)
    return [re.sub(r"\$\{.*?\}", "", each.replace('\\"', '"')) for each in quoted]


def test_either_tool_reads_them() -> None:
    """Nothing in the modules is of OpenTofu alone or of Terraform alone, and none chooses a place for the state."""
    text = "".join(path.read_text() for path in FOLDER.rglob("*.tf"))
    assert not re.search(r'^\s*(encryption \{|cloud \{|ephemeral "|backend ")', text, re.MULTILINE)


def test_what_cannot_be_made_again_is_not_destroyed_by_accident() -> None:
    """The audit log, and the key without which nobody can read it, refuse to be destroyed; only it has that key."""
    kept = {f"{kind}.{name}" for kind, name, body in resources("aws-rotation") if _refuses(body)}
    assert kept == {"aws_s3_bucket.audit", "aws_kms_key.audit"}
    users = [
        f"{kind}.{name}"
        for kind, name, body in resources("aws-rotation")
        if "aws_kms_key.audit" in json.dumps(body) and not kind.startswith("data.")
    ]
    assert users == ["aws_kms_alias.audit", "aws_s3_bucket_server_side_encryption_configuration.audit"]


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        ("oci-cost-reports", {"aws_s3_bucket.reports", "oci_kms_key.this", "oci_kms_vault.this"}),
        ("oci-secrets-host", {"oci_core_instance.this"}),
        ("oci-rotation", {"oci_objectstorage_bucket.audit"}),
    ],
)
def test_what_holds_data_or_keys_on_oci_refuses_too(module: str, kept: set[str]) -> None:
    """Reports, keys, the audit log and the machine of containers; the README has the way to do it on purpose."""
    assert {f"{kind}.{name}" for kind, name, body in resources(module) if _refuses(body)} == kept
    text = (FOLDER / module / "README.md").read_text()
    for address in kept:
        assert address in text


@pytest.mark.parametrize("module", ["oci-cost-reports", "oci-rotation", "oci-secrets-host"])
def test_identity_is_written_in_the_home_region(module: str) -> None:
    """Every resource of IAM has the provider of the home region, and everything that can have tags has them."""
    schema = json.loads(EXTRACT.read_text())
    for kind, name, body in resources(module):
        if kind.startswith("oci_identity_"):
            assert "oci.home" in str(body["provider"]), name
        if kind.startswith("oci_") and "freeform_tags" in schema[kind]["attributes"]:
            assert "var.tags" in str(body.get("freeform_tags")), f"{kind}.{name}"


def _refuses(body: dict[str, Any]) -> bool:
    return any(block.get("prevent_destroy") for block in body.get("lifecycle", ()))


def test_the_machine_waits_for_the_right_to_its_disk() -> None:
    """Block Volume may use the key that encrypts the boot volume, before the machine is launched."""
    found = {f"{kind}.{name}": body for kind, name, body in resources("oci-cost-reports")}
    machine = json.dumps(found["oci_core_instance.this"])
    assert "oci_kms_key.this" in machine
    assert "oci_identity_policy.boot_volume" in json.dumps(found["oci_core_instance.this"]["depends_on"])
    statements = json.dumps(found["oci_identity_policy.boot_volume"]["statements"])
    assert "allow service blockstorage to use keys" in statements
    assert "oci_kms_key.this.id" in statements


def test_examples_call_nothing() -> None:
    """A .tfvars file cannot call a function: no example and no page says so."""
    for module in EXPECTED:
        for name in ("terraform.tfvars.example", "README.md"):
            text = (FOLDER / module / name).read_text()
            assert not re.search(r"^\s*\w+\s*=.*\bfile\(", text, re.MULTILINE), f"{module}/{name}"
