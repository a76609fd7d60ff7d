"""OCI Vault, written to through secret management (API 20180608): every write carries the ETag that was looked at.

https://docs.oracle.com/en-us/iaas/api/#/en/secretmgmt/20180608/Secret/UpdateSecret. It has no retry token, so it is
sent once; the version's name tells afterwards whether it arrived.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

from keepstep.clouds.document import JsonDocument, document_in, documents_in
from keepstep.clouds.http import Response
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_service import OciService, quoted
from keepstep.errors import Conflict, Corrupt, Error, Refused, Transient
from keepstep.secret import Secret
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.oci import OciVault, region_in, version_query
from keepstep.vaults.oci_errors import error_of
from keepstep.vaults.paging import every_page
from keepstep.vaults.staging import SecretState, VersionInfo

_API = "/20180608/secrets"
_MOST = 1024 * 1024
_PASSING = ("CREATING", "UPDATING", "CANCELLING_DELETION")
"""Lifecycle states that end by themselves."""
_SETTLING = 30.0
"""Seconds to wait for that."""


class OciVaultStages(OciVault):
    """A :class:`~keepstep.vaults.staging.RevisedVault`."""

    def __init__(self, identity: OciIdentity) -> None:
        super().__init__(identity)
        self._managers: dict[str, OciService] = {}

    async def describe(self, name: str, *, versions: bool = True) -> SecretState:
        secret, etag = await self._settled(name)
        _check_writable(secret, name)
        current = VersionId(str(secret.whole("currentVersionNumber")))
        stored = await self._stored(name) if versions else ()
        stages = {stage: version.id for version in stored for stage in version.stages}
        return SecretState(
            name=name,
            id=name,
            stages=stages if versions else {Stage.CURRENT: current},
            etag=etag,
            versions=stored,
        )

    async def stage(self, state: SecretState, version_name: str, content: Secret) -> None:
        encoded = base64.b64encode(content.reveal_bytes()).decode()
        new = {"contentType": "BASE64", "content": encoded, "name": version_name, "stage": "PENDING"}
        await self._change("UpdateSecret", "PUT", state, "", {"secretContent": new})

    async def promote(self, state: SecretState, version: VersionId) -> None:
        await self._change("UpdateSecret", "PUT", state, "", {"currentVersionNumber": int(version)})

    async def prune(self, state: SecretState, version: VersionId, at: datetime) -> None:
        below = f"/version/{version}/actions/scheduleDeletion"
        time_of_deletion = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        await self._change(
            "ScheduleSecretVersionDeletion", "POST", state, below, {"timeOfDeletion": time_of_deletion}
        )

    async def close(self) -> None:
        await super().close()
        for service in self._managers.values():
            await service.close()

    async def _settled(self, name: str) -> tuple[JsonDocument, str]:
        """The secret once no change to it is under way, and its ETag."""
        deadline = time.monotonic() + _SETTLING
        while True:
            response = await self._ask("GetSecret", name, "", [])
            secret = document_in(response.document, name)
            state = secret.text("lifecycleState")
            if state not in _PASSING:
                if etag := response.headers.get("etag"):
                    return secret, etag
                raise Corrupt(f"{name}: the answer has no ETag (a proxy?)")
            if time.monotonic() > deadline:
                raise Transient(f"{name} is {state} for more than {_SETTLING:.0f} s")
            await asyncio.sleep(0.25)

    async def _stored(self, name: str) -> tuple[VersionInfo, ...]:
        async def ask(page: str) -> tuple[list[JsonDocument], str]:
            response = await self._ask("ListSecretVersions", name, "/versions", version_query(page))
            return documents_in(response.document, name), response.headers.get("opc-next-page", "")

        return tuple(map(_stored, await every_page(ask, name)))

    async def _change(
        self, operation: str, method: str, state: SecretState, below: str, document: dict[str, Any]
    ) -> None:
        # A connection of its own: a kept one that the server closes is replaced, and the request sent again.
        service = self._service_in(state.name)
        try:
            body = json.dumps(document).encode()
            headers = [("if-match", state.etag)]
            await self._manage(service, operation, method, state.name, below, headers=headers, body=body)
        finally:
            await service.close()

    async def _ask(self, operation: str, name: str, below: str, query: list[tuple[str, str]]) -> Response:
        region = region_in(name)
        if region not in self._managers:
            self._managers[region] = self._service_in(name)
        return await self._manage(self._managers[region], operation, "GET", name, below, query=query)

    async def _manage(
        self, service: OciService, operation: str, method: str, name: str, below: str, **request: Any
    ) -> Response:
        def explain(response: Response) -> Error:
            error = error_of(response, name, operation=operation, grantee=self._identity.grantee)
            is_taken = response.status == 400 and "already exists" in error.message
            is_conflict = method != "GET" and (response.status in (409, 412) or is_taken)
            return Conflict(error.message) if is_conflict else error

        path = f"{_API}/{quoted(name)}{below}"
        return await service.call(operation, method, path, explain, is_repeatable=False, most=_MOST, **request)

    def _service_in(self, name: str) -> OciService:
        return OciService("vaults", self._identity, region=region_in(name) or None)


def _check_writable(secret: JsonDocument, name: str) -> None:
    state = secret.text("lifecycleState")
    if state in ("PENDING_DELETION", "SCHEDULING_DELETION"):
        when = secret.text("timeOfDeletion", "")[:10]
        raise Refused(
            f"{name} is pending deletion" + (f" on {when}" if when else ""),
            hint="oci vault secret cancel-secret-deletion brings it back",
        )
    if state != "ACTIVE":
        raise Refused(f"{name} is {state}, not ACTIVE")
    is_scheduled = secret.inner("rotationConfig").flag("isScheduledRotationEnabled")
    if is_scheduled or secret.text("rotationStatus", "") in ("IN_PROGRESS", "SCHEDULED"):
        raise Refused(
            f"{name} is rotated by OCI Vault itself",
            hint="two rotators undo each other: turn its automatic rotation off, or leave the job out",
        )
    if secret.flag("isReplica"):
        raise Refused(f"{name} is a replica", hint="name the secret in its source region")


def _stored(summary: JsonDocument) -> VersionInfo:
    stages = summary.texts("stages")
    return VersionInfo(
        id=VersionId(str(summary.whole("versionNumber"))),
        name=summary.text("name", ""),
        stages=frozenset(Stage(stage) for stage in stages if stage in Stage.__members__),
        is_deprecated="DEPRECATED" in stages,
        deletion=summary.moment("timeOfDeletion"),
    )
