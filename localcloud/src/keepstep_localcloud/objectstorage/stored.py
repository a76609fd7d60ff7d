"""One object as it is stored: everything but its bytes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

FIELDS = {
    "name": "name",
    "size": "size",
    "etag": "etag",
    "timeCreated": "created",
    "md5": "md5",
    "timeModified": "modified",
    "storageTier": "tier",
    "archivalState": """case
        when tier <> 'Archive' then null
        when restored is null or :now >= expires then 'Archived'
        when :now < restored then 'Restoring'
        else 'Restored' end""",
}
"""The fields of an object's summary in ListObjects, and where they come from."""


class StoredObject(NamedTuple):
    """One object without its content."""

    bucket: int
    name: str
    size: int
    etag: str
    md5: str | None
    """Base64; of a multipart object the MD5 of its parts' MD5s with ``-<number of parts>``."""
    created: str
    modified: str
    tier: str
    """``Standard``, ``InfrequentAccess`` or ``Archive``."""
    restored: float | None
    """When a restore of an archived object is done, in seconds of the epoch."""
    expires: float | None
    """Until when it stays readable."""
    properties: str
    """JSON: the headers that come back with the object, ``opc-meta-*`` among them."""
    customer_key: str | None
    """SHA-256 of the customer's key, in base64."""
    blob: int | None

    @property
    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = json.loads(self.properties)
        return headers

    def summary(self, fields: Iterable[str]) -> str:
        """The same JSON as :meth:`Objects.summaries` gives."""
        values: dict[str, Any] = {
            "name": self.name,
            "size": self.size,
            "etag": self.etag,
            "md5": self.md5,
            "timeCreated": self.created,
            "timeModified": self.modified,
            "storageTier": self.tier,
            "archivalState": self.archival_state(time.time()),
        }
        return json.dumps({field: values[field] for field in fields})

    def archival_state(self, now: float) -> str | None:
        """``Archived``, ``Restoring`` or ``Restored``; None outside the Archive tier."""
        if self.tier != "Archive":
            return None
        if self.restored is None or self.expires is None or now >= self.expires:
            return "Archived"
        return "Restoring" if now < self.restored else "Restored"


def new_etag() -> str:
    return str(uuid.uuid4())
