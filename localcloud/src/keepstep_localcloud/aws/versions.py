"""One version of one object, as listings of S3 tell it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Version(NamedTuple):
    """What a listing says of one version of one object."""

    key: str
    id: str
    modified: str
    """ISO 8601 with milliseconds, UTC."""
    etag: str = ""
    """In its quotes."""
    size: int = 0
    storage_class: str = "STANDARD"
    algorithm: str | None = None
    latest: bool = True
    marker: bool = False


def version(held: Any, *, latest: bool = True) -> Version:
    """From moto's ``FakeKey`` or ``FakeDeleteMarker``."""
    what = (held.name, held.version_id, held.last_modified_ISO8601)
    if not hasattr(held, "etag"):
        return Version(*what, latest=latest, marker=True)
    return Version(*what, held.etag, held.size, held.storage_class, held.checksum_algorithm or None, latest)
