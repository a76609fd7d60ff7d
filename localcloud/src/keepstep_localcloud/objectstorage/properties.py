"""What is stored and given back besides an object's bytes: its headers, from a request or from a JSON body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.conditions import SSE
from keepstep_localcloud.objectstorage.problems import invalid
from keepstep_localcloud.objectstorage.stored import StoredObject

KEPT = ("content-type", "content-language", "content-encoding", "content-disposition", "cache-control")
META = "opc-meta-"
TIERS = ("Standard", "InfrequentAccess", "Archive")
LONGEST = 1024
"""Bytes of an object's name."""


def check_name(name: object) -> str:
    """Raises 400 ``InvalidObjectName``: up to 1024 bytes, any character but NUL, LF and CR ("Object Names")."""
    if not isinstance(name, str) or not 0 < len(name.encode()) <= LONGEST or re.search("[\0\r\n]", name):
        raise invalid("The object name is not valid", "InvalidObjectName")
    return name


def from_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The properties of an object that is put."""
    kept = {name: headers[name] for name in KEPT if name in headers}
    meta = {name: value for name, value in headers.items() if name.startswith(META)}
    return {"content-type": "application/octet-stream", **kept, **meta}


def from_document(document: Mapping[str, Any]) -> dict[str, str]:
    """The properties in ``CreateMultipartUploadDetails``: ``contentType`` and so on, and ``metadata``."""
    names = {name: re.sub("-(.)", lambda found: found[1].upper(), name) for name in KEPT}
    kept = {name: document[field] for name, field in names.items() if document.get(field)}
    return {"content-type": "application/octet-stream", **kept, **metadata(document.get("metadata"))}


def metadata(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Metadata from JSON, with the prefix ``opc-meta-`` whether or not it was given."""
    found = {META + name.lower().removeprefix(META): value for name, value in (given or {}).items()}
    if not all(isinstance(value, str) and not re.search(r"[\x00-\x1f\x7f]", value) for value in found.values()):
        raise invalid("The metadata has a value that cannot be in a header", "InvalidMetadata")
    return found


def tier_of(given: str | None, default: str) -> str:
    """A storage tier, its case not minded. Raises 400 ``InvalidParameter``."""
    if given is None or default == "Archive":
        return default
    found = next((tier for tier in TIERS if tier.lower() == given.lower()), None)
    if found is None:
        raise invalid(f"'{given}' is not a storage tier")
    return found


def response_headers(stored: StoredObject, now: float) -> dict[str, str]:
    """The headers of GetObject and HeadObject, without ``content-length``."""
    headers = {
        "accept-ranges": "bytes",
        "etag": stored.etag,
        "last-modified": times.http_date(stored.modified),
        **stored.headers,
    }
    if stored.md5:
        headers["opc-multipart-md5" if "-" in stored.md5 else "content-md5"] = stored.md5
    if stored.tier != "Standard":
        headers["storage-tier"] = stored.tier
    if state := stored.archival_state(now):
        headers["archival-state"] = state
    if stored.customer_key:
        headers.update({f"{SSE}-algorithm": "AES256", f"{SSE}-key-sha256": stored.customer_key})
    return headers


def written(stored: StoredObject) -> dict[str, str]:
    """The headers of every answer that says: it is stored."""
    return {"etag": stored.etag, "last-modified": times.http_date(stored.modified)}
