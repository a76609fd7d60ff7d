"""Parameters against the service's own model: types, required members, lengths, ranges, enums, patterns.

Source: Secrets Manager's service model as botocore ships it, which is what the SDKs are generated from.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from keepstep_localcloud.secretsmanager.model import SecretsError

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "timestamp": (int, float, str),
}


def check(operation: str, parameters: object) -> None:
    """Raises ``ValidationException`` that names all violations, or what AWS raises for an unknown operation."""
    model = _model()
    if operation not in model["operations"]:
        raise SecretsError("UnknownOperationException", f"there is no operation {operation}")
    shape = model["operations"][operation]["input"]["shape"]
    found = list(_violations(shape, parameters, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise SecretsError("ValidationException", count + "; ".join(found))


@cache
def _model() -> dict[str, Any]:
    import botocore.loaders

    return dict(botocore.loaders.create_loader().load_service_model("secretsmanager", "service-2"))


def _violations(name: str, value: Any, path: str) -> Iterator[str]:
    shape = _model()["shapes"][name]
    kind = shape["type"]
    if not _has_type(value, kind):
        yield f"Value at '{path or 'request'}' failed to satisfy constraint: Member must be of type {kind}"
    elif kind == "structure":
        yield from _of_structure(shape, value, path)
    elif kind == "list":
        yield from _of_size(shape, len(value), path, "have length")
        for index, item in enumerate(value, 1):
            yield from _violations(shape["member"]["shape"], item, f"{path}.{index}.member")
    elif kind in ("integer", "long"):
        yield from _of_size(shape, value, path, "have value")
    elif kind in ("string", "blob"):
        yield from _of_text(shape, value, path)


def _has_type(value: object, kind: str) -> bool:
    if isinstance(value, bool):  # an int, to Python
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _of_structure(shape: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    for member in shape.get("required", ()):
        if value.get(member) is None:
            yield f"Value null at '{_join(path, member)}' failed to satisfy constraint: Member must not be null"
    for member, described in shape["members"].items():
        if value.get(member) is not None:
            yield from _violations(described["shape"], value[member], _join(path, member))


def _of_text(shape: dict[str, Any], value: str, path: str) -> Iterator[str]:
    failed = f"Value at '{path}' failed to satisfy constraint: Member must "
    if shape["type"] == "blob":
        try:
            size = len(base64.b64decode(value, validate=True))
        except ValueError:
            yield failed + "be base64"
            return
    else:
        size = len(value.encode())
    yield from _of_size(shape, size, path, "have length")
    if "enum" in shape and value not in shape["enum"]:
        yield failed + f"satisfy enum value set: [{', '.join(shape['enum'])}]"
    if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
        yield failed + f"satisfy regular expression pattern: {shape['pattern']}"


def _of_size(shape: dict[str, Any], size: int, path: str, what: str) -> Iterator[str]:
    failed = f"Value at '{path}' failed to satisfy constraint: Member must {what} "
    if size < shape.get("min", size):
        yield failed + f"greater than or equal to {shape['min']}"
    if size > shape.get("max", size):
        yield failed + f"less than or equal to {shape['max']}"


def _join(path: str, member: str) -> str:
    name = member[0].lower() + member[1:]
    return f"{path}.{name}" if path else name
