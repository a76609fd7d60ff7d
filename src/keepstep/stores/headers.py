"""An object's properties as HTTP headers: both clouds use the same ones, and a prefix of their own for metadata."""

from __future__ import annotations

from collections.abc import Mapping

from keepstep.clouds.times import http_microseconds
from keepstep.stores.interface import Properties

FIELDS = {
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-disposition": "content_disposition",
    "cache-control": "cache_control",
}
"""Header to field of :class:`Properties`, in both clouds."""
S3_FIELDS = {**FIELDS, "expires": "expires"}


def to_headers(
    properties: Properties, metadata_prefix: str, known: Mapping[str, str] = FIELDS
) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, field in known.items() if (value := getattr(properties, field))]
    return [*pairs, *((metadata_prefix + name, value) for name, value in properties.metadata)]


def from_headers(headers: Mapping[str, str], metadata_prefix: str, known: Mapping[str, str] = FIELDS) -> Properties:
    start = len(metadata_prefix)
    metadata = [(name[start:], value) for name, value in headers.items() if name.startswith(metadata_prefix)]
    return Properties(
        **{field: headers.get(name, "") for name, field in known.items()},
        metadata=tuple(metadata),
        time=http_microseconds(headers.get("last-modified")),
    )
