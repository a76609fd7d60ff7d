"""Which AWS service and operation a request is for, by the SDK's names; faults are addressed by them.

Source: the service models that ship with botocore. A request matches an operation of S3 when it has the method, the
shape of the path (nothing, bucket, bucket and key) and everything that the model requires in query and headers;
of several the one that requires most is meant (``UploadPartCopy`` before ``UploadPart`` before ``PutObject``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from keepstep_localcloud.aws.http import Request

_SCOPE = re.compile(r"Credential=[^/,]*/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


@dataclass(frozen=True)
class Scope:
    """What the signature was made for ("Authenticating Requests (AWS Signature Version 4)", credential scope)."""

    service: str
    region: str


def scope(request: Request) -> Scope | None:
    """From the header or the presigned query; None when the request is anonymous."""
    signed = request.headers.get("authorization") or f"Credential={request.query.get('X-Amz-Credential', '')}"
    found = _SCOPE.search(signed)
    return Scope(found["service"].lower(), found["region"]) if found else None


def action(request: Request) -> str:
    """The operation of a service that names it: in ``X-Amz-Target``, or as ``Action`` of query or form."""
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    form = dict(parse_qsl(request.body[:4096].decode("latin-1"))) if request.method == "POST" else {}
    return form.get("Action") or request.query.get("Action") or "Unknown"


@dataclass(frozen=True)
class _Rule:
    name: str
    method: str
    depth: int
    query: tuple[tuple[str, str], ...]
    present: frozenset[str]
    headers: frozenset[str]

    @property
    def weight(self) -> int:
        return len(self.query) + len(self.present) + len(self.headers)

    def matches(self, request: Request) -> bool:
        query = request.query
        return (
            self.present <= query.keys()
            and self.headers <= request.headers.keys()
            and all(name in query and value in ("", query[name]) for name, value in self.query)
        )


def s3_operation(request: Request) -> str:
    """``PutObject``, ``ListObjectsV2``, …; ``Unknown`` when no operation fits."""
    bucket, _, key = request.path.removeprefix("/").partition("/")
    depth = (2 if key else 1) if bucket else 0
    rules = _s3_rules().get((request.method, depth), ())
    return next((rule.name for rule in rules if rule.matches(request)), "Unknown")


@cache
def _s3_rules() -> dict[tuple[str, int], list[_Rule]]:
    import botocore.loaders

    model = botocore.loaders.create_loader().load_service_model("s3", "service-2")
    live = {name: operation for name, operation in model["operations"].items() if not operation.get("deprecated")}
    rules = [_rule(name, operation, model["shapes"]) for name, operation in live.items()]
    found: dict[tuple[str, int], list[_Rule]] = {}
    for rule in sorted(rules, key=lambda rule: -rule.weight):
        found.setdefault((rule.method, rule.depth), []).append(rule)
    return found


def _rule(name: str, operation: dict[str, Any], shapes: dict[str, Any]) -> _Rule:
    path, _, query = operation["http"]["requestUri"].partition("?")
    shape = shapes[operation["input"]["shape"]] if "input" in operation else {}
    required = [shape["members"][member] for member in shape.get("required", ())]
    return _Rule(
        name,
        operation["http"]["method"],
        path.count("{"),
        tuple(parse_qsl(query, keep_blank_values=True)),
        frozenset(member["locationName"] for member in required if member.get("location") == "querystring"),
        frozenset(member["locationName"] for member in required if member.get("location") == "header"),
    )
