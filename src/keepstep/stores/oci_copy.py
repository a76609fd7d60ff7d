"""Copies inside OCI Object Storage, which does them in its own time: a request, and the work request that tells.

Source: CopyObject and GetWorkRequest in the API reference; "Copying Objects". The service itself needs a policy
statement for it; where there is none the bytes pass through this machine, as between any two stores.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from keepstep.errors import Denied, Error, NotFound
from keepstep.stores.address import Address
from keepstep.stores.bling import NAMESPACE as BLING
from keepstep.stores.oci_client import OciClient
from keepstep.stores.oci_headers import storage_tier
from keepstep.stores.options import TransferOptions

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_UNFINISHED = ("ACCEPTED", "IN_PROGRESS", "CANCELING")


def can_copy(source: OciClient, target: OciClient, options: TransferOptions) -> bool:
    """Whether the service can do it: it takes over all headers, and can be given metadata alone."""
    is_ours = source.identity is target.identity and source.namespace != BLING
    is_kept = options.takes_source and set(options.given_fields) <= {"metadata"}
    return is_ours and is_kept and not options.checksum_algorithm


@dataclass(frozen=True, slots=True)
class WorkRequestCopy:
    """One object, from one bucket to another one of the same region."""

    source: OciClient
    source_name: str
    target: Address
    target_name: str
    options: TransferOptions

    async def run(self) -> bool:
        """False when the service lacks the permission to copy. Safe to repeat."""
        try:
            number = await self.source.start_copy(await self._details())
        except (Denied, NotFound) as exc:
            if await self._is_there():
                return False
            raise exc
        await self._wait(number)
        return True

    async def _details(self) -> dict[str, Any]:
        options = self.options
        tier, metadata = storage_tier(options.storage_class), options.given.metadata
        return {
            "sourceObjectName": self.source_name,
            "destinationRegion": await self.source.region(),
            "destinationNamespace": self.target.namespace,
            "destinationBucket": self.target.bucket,
            "destinationObjectName": self.target_name,
            **({"destinationObjectStorageTier": tier} if tier else {}),
            **({"destinationObjectMetadata": dict(metadata)} if metadata else {}),
        }

    async def _is_there(self) -> bool:
        """Whether the object can be read: then it was the copy that was refused."""
        try:
            await self.source.call("HeadObject", "HEAD", "o", self.source_name)
        except Error:
            return False
        return True

    async def _wait(self, number: str) -> None:
        pause = _FIRST_PAUSE
        while (request := await self.source.work_request(number))["status"] in _UNFINISHED:
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        if request["status"] != "COMPLETED":
            errors = await self.source.work_request(number, "/errors")
            why = "; ".join(str(error.get("message", "")) for error in errors) or request["status"]
            raise Error(f"CopyObject on {self.source.thing(self.source_name)}: {why}")
