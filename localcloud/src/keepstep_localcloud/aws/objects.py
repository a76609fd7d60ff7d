"""What moto holds, as documents and back: objects, the parts of uploads, SSM parameters.

A document has the attributes that JSON can hold. To read one, moto makes a new thing and gets those attributes, so
one that a later moto adds has its default.
"""

from __future__ import annotations

import json
from datetime import datetime
from types import NoneType, SimpleNamespace
from typing import Any

_PLAIN = (str, int, float, NoneType, datetime)


def find_bucket(name: str) -> Any:
    """moto's bucket, whosever it is; None when there is none."""
    backend = _backend_of(name)
    return backend.buckets.get(name) if backend else None


def _backend_of(bucket: str) -> Any:
    from moto.s3.models import s3_backends

    if bucket not in s3_backends.bucket_accounts:
        return None
    partition, account = s3_backends.bucket_accounts[bucket]
    return s3_backends[account][partition]


def versions(bucket: str, key: str) -> list[Any]:
    """Oldest first; delete markers among them."""
    held = find_bucket(bucket)
    return list(held.keys.getlist(key, [])) if held else []


def identity(version: Any) -> str:
    """Differs when the body of a version may (only the version ``null`` is ever written again)."""
    return f"{getattr(version, 'etag', 'marker')} {version.last_modified.isoformat()}"


def dump_object(version: Any) -> str:
    """All but the body, as JSON."""
    state: dict[str, Any] = {"plain": _plain(version), "marker": not hasattr(version, "etag")}
    if not state["marker"]:
        state["plain"]["_etag"] = version.etag.strip('"')
        state["metadata"] = dict(version.metadata)
        state["tags"] = _backend_of(version.bucket_name).tagger.get_tag_dict_for_resource(version.arn)
        state["acl"] = _dump_acl(version.acl)
    return json.dumps(state, default=_encode)


def load_object(bucket: str, key: str, state: str, body: bytes) -> None:
    """Puts a version into moto, behind those that are there."""
    from moto.s3.models import FakeDeleteMarker, FakeKey
    from moto.utilities.utils import LowercaseDict

    document, held = json.loads(state, object_hook=_decode), find_bucket(bucket)
    if document["marker"]:
        version = FakeDeleteMarker(SimpleNamespace(name=key))
    else:
        version = FakeKey(key, body, held.account_id, held.region_name, bucket_name=bucket)
        version._metadata = LowercaseDict(document["metadata"])
        version.acl = _load_acl(document["acl"])
    vars(version).update(document["plain"])
    held.keys.setlist(key, [*held.keys.getlist(key, []), version])
    if document.get("tags"):
        tags = [{"Key": name, "Value": value} for name, value in document["tags"].items()]
        _backend_of(bucket).tagger.tag_resource(version.arn, tags)


def _dump_acl(acl: Any) -> list[list[Any]]:
    grants = acl.grants if acl else []
    return [[[[g.id, g.uri, g.display_name] for g in grant.grantees], list(grant.permissions)] for grant in grants]


def _load_acl(grants: list[list[Any]]) -> Any:
    from moto.s3.models import FakeAcl, FakeGrant, FakeGrantee

    return FakeAcl([FakeGrant([FakeGrantee(*who) for who in grantees], what) for grantees, what in grants])


def part(bucket: str, upload: str, number: int) -> bytes:
    """The bytes of an unfinished upload's part."""
    return bytes(find_bucket(bucket).multiparts[upload].parts[number].value)


def rename_last_upload(bucket: str, upload: str) -> None:
    """Gives the upload that was started last the id that its client knows."""
    uploads = find_bucket(bucket).multiparts
    begun = uploads.pop(next(reversed(uploads)))
    begun.id = upload
    uploads[upload] = begun


def dump_parameters(region: str) -> str:
    """The region's SSM parameters with their versions, labels and tags, as JSON; none of AWS's public ones."""
    backend = _ssm(region)
    own = {name: found for name, found in backend._parameters.items() if not name.startswith("/aws/service/")}
    state = {
        "parameters": {name: [{**_plain(p), "labels": p.labels} for p in found] for name, found in own.items()},
        "tags": backend._resource_tags.get("Parameter", {}),
    }
    return json.dumps(state, default=_encode)


def load_parameters(region: str, state: str) -> None:
    from moto.ssm.models import Parameter

    backend, document = _ssm(region), json.loads(state, object_hook=_decode)
    for name, found in document["parameters"].items():
        for plain in found:
            parameter = Parameter(backend.account_id, name, "", "String", None, None, None, datetime.min, 1, "text")
            vars(parameter).update(plain)
            backend._parameters[name].append(parameter)
    for name, tags in document["tags"].items():
        backend._resource_tags["Parameter"][name].update(tags)


def _ssm(region: str) -> Any:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.ssm.models import ssm_backends

    return ssm_backends[DEFAULT_ACCOUNT_ID][region]


def _plain(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if isinstance(value, _PLAIN)}


def _encode(value: Any) -> dict[str, str]:
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    raise TypeError(f"no JSON for {type(value).__name__}")


def _decode(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value["$time"]) if value.keys() == {"$time"} else value
