"""A provider ``oracle/oci`` for OpenTofu and Terraform that makes nothing.

It has the schema of Oracle's, gives OCIDs, and refuses what OCI would refuse of a first apply. Oracle's own is out
of reach for the tests. With this one the tool validates, plans, applies, changes and destroys the modules for real:
every expression, condition, count and dependency is in force.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import tf.provider
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import run_provider
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

from keepstep_localcloud.policies import parse_statement

SCHEMA = Path(__file__).with_name("oci_schema.json")
HOME, AWAY = "us-ashburn-1", "eu-frankfurt-1"
"""The regions of the tenancy; IAM is written in the first alone."""
_FORCE_NEW: dict[str, set[str]] = {
    "oci_core_instance": {"metadata", "source_details", "availability_domain", "subnet_id"},
    "oci_objectstorage_bucket": {"name", "namespace"},
    "oci_objectstorage_object": {"bucket", "namespace", "object"},
    "oci_identity_dynamic_group": {"name"},
    "oci_identity_group": {"name"},
    "oci_identity_user": {"name"},
    "oci_identity_policy": {"name", "compartment_id"},
    "oci_identity_api_key": {"key_value", "user_id"},
    "oci_kms_key": {"key_shape", "protection_mode", "management_endpoint"},
    "oci_kms_vault": {"vault_type"},
    "oci_ons_topic": {"name"},
    "oci_ons_subscription": {"topic_id", "protocol", "endpoint"},
    "oci_functions_function": {"application_id", "display_name"},
}
"""What makes a new resource of an old one, as the provider's documentation says of each."""
_METADATA = 32_000
"""Bytes of an instance's metadata (LaunchInstanceDetails)."""


def found(name: str) -> dict[str, Any]:
    """What the service answers to a data source."""
    known: dict[str, dict[str, Any]] = {
        "oci_core_services": {
            "services": [
                {"id": "ocid1.service.oc1.iad.all", "cidr_block": "all-iad-services-in-oracle-services-network"}
            ]
        },
        "oci_objectstorage_namespace": {"namespace": "examplens"},
        "oci_identity_availability_domains": {"availability_domains": [{"name": "Uocm:US-ASHBURN-AD-1"}]},
        "oci_core_images": {"images": [{"id": "ocid1.image.oc1.iad.newest", "display_name": "Oracle-Linux-9"}]},
        "oci_identity_region_subscriptions": {
            "region_subscriptions": [
                {"region_name": AWAY, "is_home_region": False, "region_key": "FRA"},
                {"region_name": HOME, "is_home_region": True, "region_key": "IAD"},
            ]
        },
    }
    return known.get(name.removeprefix("data."), {})


class Provider(rpc.ProviderServicer):  # type: ignore[misc]
    """The plugin protocol, version 6."""

    def __init__(self, *_: object) -> None:
        self._schema = json.loads(SCHEMA.read_text())
        self._region = ""
        self._made = 0

    def GetMetadata(self, request: Any, context: Any) -> Any:
        return pb.GetMetadata.Response(server_capabilities=pb.ServerCapabilities(plan_destroy=False))

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        kinds = {"attributes": dict.fromkeys(_OPTIONS, False), "types": dict.fromkeys(_OPTIONS, "string")}
        return pb.GetProviderSchema.Response(
            provider=_schema({**kinds, "blocks": {}}),
            resource_schemas={
                name: _schema(each) for name, each in self._schema.items() if name.startswith("oci_")
            },
            data_source_schemas={
                name.removeprefix("data."): _schema(each)
                for name, each in self._schema.items()
                if name.startswith("data.")
            },
        )

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        given = read_dynamic_value(request.config)["region"]
        self._region = HOME if given in (None, Unknown) else given
        return pb.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateDataResourceConfig.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:
        state = json.loads(request.raw_state.json)
        return pb.UpgradeResourceState.Response(upgraded_state=to_dynamic_value(state))

    def ReadResource(self, request: Any, context: Any) -> Any:
        return pb.ReadResource.Response(new_state=request.current_state)

    def ReadDataSource(self, request: Any, context: Any) -> Any:
        table = self._schema[f"data.{request.type_name}"]
        state = read_dynamic_value(request.config)
        answer = found(request.type_name)
        for name, kind in table["computed"].items():
            state[name] = _filled(kind, answer.get(name))
        return pb.ReadDataSource.Response(state=to_dynamic_value(state))

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        prior, proposed = read_dynamic_value(request.prior_state), read_dynamic_value(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        replaced = []
        if prior is None:
            for name in {"id", *self._schema[request.type_name]["computed"]}:
                proposed[name] = Unknown if proposed.get(name) is None else proposed[name]
        else:
            replaced = [
                name for name in _FORCE_NEW.get(request.type_name, ()) if prior.get(name) != proposed.get(name)
            ]
        paths = [pb.AttributePath(steps=[pb.AttributePath.Step(attribute_name=name)]) for name in sorted(replaced)]
        return pb.PlanResourceChange.Response(planned_state=to_dynamic_value(proposed), requires_replace=paths)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:
        planned = read_dynamic_value(request.planned_state)
        if planned is None:
            return pb.ApplyResourceChange.Response(new_state=request.planned_state)
        if fault := self._fault(request.type_name, planned):
            said = pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=fault)
            return pb.ApplyResourceChange.Response(new_state=request.prior_state, diagnostics=[said])
        kinds = {"id": "string", **self._schema[request.type_name]["computed"]}
        ocid = f"ocid1.{request.type_name.removeprefix('oci_').replace('_', '')}.oc1.iad.{os.urandom(8).hex()}"
        for name, kind in kinds.items():
            if planned.get(name) is Unknown:
                planned[name] = ocid if name in _IDS else _filled(kind, f"{name}-of-{ocid}")
        return pb.ApplyResourceChange.Response(new_state=to_dynamic_value(planned))

    def _fault(self, kind: str, planned: dict[str, Any]) -> str:
        if kind.startswith("oci_identity_") and self._region != HOME:
            words = "Please go to your home region IAD to execute CREATE, UPDATE and DELETE operations"
            return f"403-NotAllowed, {words} ({kind}, {self._region})"
        if kind == "oci_core_instance" and sum(map(len, (planned["metadata"] or {}).values())) > _METADATA:
            return "400-InvalidParameter, the instance's metadata is too large"
        if kind == "oci_identity_policy":
            for text in planned["statements"]:
                try:
                    if not text.startswith("define "):
                        _parse(text)
                except (ValueError, KeyError) as exc:
                    return f"400-InvalidParameter, {text}: {exc}"
        return ""

    def StopProvider(self, request: Any, context: Any) -> Any:
        return pb.StopProvider.Response()


_IDS = {"id", "topic_id"}
_OPTIONS = ("region", "auth", "config_file_profile", "tenancy_ocid", "user_ocid", "fingerprint", "private_key_path")
_UNSEEN = re.compile(r"to manage (functions-family|repos)\b|^allow service ")


def _parse(text: str) -> None:
    if not _UNSEEN.search(text):
        parse_statement(text)


def _filled(kind: Any, value: Any) -> Any:
    """A value of that type: the one that is given, as far as it goes, else an empty one."""
    if isinstance(kind, list):
        if kind[0] == "object":
            return {name: _filled(inner, (value or {}).get(name)) for name, inner in kind[1].items()}
        if kind[0] == "map":
            return value if isinstance(value, dict) else {}
        return [_filled(kind[1], each) for each in value] if isinstance(value, list) else []
    if kind == "string":
        return value if isinstance(value, str) else ""
    return value if isinstance(value, (bool, int, float)) else (False if kind == "bool" else 0)


def _schema(table: dict[str, Any]) -> Any:
    return pb.Schema(version=0, block=_block(table))


def _block(table: dict[str, Any]) -> Any:
    attributes = [
        pb.Schema.Attribute(
            name=name,
            type=json.dumps(table["types"][name]).encode(),
            required=is_needed,
            optional=not is_needed,
            computed=name == "id" and not is_needed,
        )
        for name, is_needed in table["attributes"].items()
    ]
    attributes += [
        pb.Schema.Attribute(name=name, type=json.dumps(kind).encode(), computed=True)
        for name, kind in table.get("computed", {}).items()
    ]
    if "computed" in table and "id" not in table["attributes"]:
        attributes.append(pb.Schema.Attribute(name="id", type=b'"string"', computed=True))
    nested = [
        pb.Schema.NestedBlock(type_name=name, nesting=pb.Schema.NestedBlock.NestingMode.LIST, block=_block(inner))
        for name, inner in table["blocks"].items()
    ]
    return pb.Schema.Block(attributes=attributes, block_types=nested)


def install(mirror: Path) -> None:
    """Puts it where the tool looks for ``oracle/oci``."""
    folder = mirror / "registry.terraform.io" / "oracle" / "oci" / "7.19.0" / f"linux_{_machine()}"
    folder.mkdir(parents=True)
    program = folder / "terraform-provider-oci_v7.19.0"
    root = Path(__file__).parents[2]
    lines = [
        "#!/bin/sh",
        f"export PYTHONPATH={root}:{root}/src",
        f"exec {sys.executable} -m tests.deploy.oci_provider",
    ]
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


if __name__ == "__main__":
    tf.provider.ProviderServicer = Provider
    run_provider(None)
