"""OCI secret management (API 20180608): secrets and versions, without their contents."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from keepstep_localcloud.vault import changes, views
from keepstep_localcloud.vault.changes import Moment
from keepstep_localcloud.vault.details import (
    ChangeCompartmentDetails,
    ConfigureDetails,
    CreateSecretDetails,
    ScheduleDeletionDetails,
    UpdateSecretDetails,
    parsed,
)
from keepstep_localcloud.vault.model import Secret
from keepstep_localcloud.vault.pages import chosen, page_of
from keepstep_localcloud.vault.store import Secrets
from keepstep_localcloud.wire import Request, Response, ServiceError

Change = Callable[[Secret, Moment], Secret]

FILTERS = {
    "compartmentId": "compartmentId",
    "vaultId": "vaultId",
    "name": "secretName",
    "lifecycleState": "lifecycleState",
}
"""ListSecrets: query parameter to field."""


class Management:
    """The handlers of secret management. All that change a secret heed ``if-match``."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def create_secret(self, request: Request) -> Response:
        document = request.json()
        details = parsed(CreateSecretDetails, document)
        return self._secret(self._secrets.create(document, details, request.headers.get("opc-retry-token")))

    async def list_secrets(self, request: Request) -> Response:
        if "compartmentId" not in request.query:
            raise ServiceError(400, "MissingParameter", "compartmentId is required")
        wanted = {field: request.query[name] for name, field in FILTERS.items() if name in request.query}
        by_name = chosen(request, "sortBy", ("TIMECREATED", "NAME"), "TIMECREATED") == "NAME"
        field = "secretName" if by_name else "timeCreated"
        now = self._secrets.now()
        summaries = (views.summary_of(secret, now) for secret in self._secrets.all(stale=request.stale))
        found = [summary for summary in summaries if all(summary[key] == value for key, value in wanted.items())]
        page, headers = page_of(request, found, lambda s: (s[field], s["id"]), descending=not by_name)
        return Response(body=page, headers=headers)

    async def get_secret(self, request: Request, secret_id: str) -> Response:
        return self._secret(self._secrets.get(secret_id, stale=request.stale))

    async def update_secret(self, request: Request, secret_id: str) -> Response:
        details = parsed(UpdateSecretDetails, request.json())
        return self._secret(self._change(request, secret_id, partial(changes.update, details=details)))

    async def list_versions(self, request: Request, secret_id: str) -> Response:
        secret = self._secrets.get(secret_id, stale=request.stale)
        page, headers = page_of(request, secret.versions, lambda version: (version.number,), descending=True)
        return Response(body=[views.version_summary_of(secret, version) for version in page], headers=headers)

    async def get_version(self, request: Request, secret_id: str, number: str) -> Response:
        secret = self._secrets.get(secret_id, stale=request.stale)
        body = views.version_of(secret, secret.version(_number(number)))
        return Response(body=body, headers={"etag": secret.etag(self._secrets.now())})

    async def schedule_version_deletion(self, request: Request, secret_id: str, number: str) -> Response:
        details = parsed(ScheduleDeletionDetails, request.json())
        change = partial(changes.schedule_version_deletion, number=_number(number), details=details)
        return self._done(request, secret_id, change)

    async def cancel_version_deletion(self, request: Request, secret_id: str, number: str) -> Response:
        change = partial(changes.cancel_version_deletion, number=_number(number))
        return self._done(request, secret_id, change)

    async def schedule_deletion(self, request: Request, secret_id: str) -> Response:
        details = parsed(ScheduleDeletionDetails, request.json())
        return self._done(request, secret_id, partial(changes.schedule_deletion, details=details))

    async def cancel_deletion(self, request: Request, secret_id: str) -> Response:
        return self._done(request, secret_id, changes.cancel_deletion)

    async def change_compartment(self, request: Request, secret_id: str) -> Response:
        details = parsed(ChangeCompartmentDetails, request.json())
        return self._done(request, secret_id, partial(changes.change_compartment, details=details))

    async def rotate(self, request: Request, secret_id: str) -> Response:
        return self._done(request, secret_id, changes.rotate)

    async def cancel_rotation(self, request: Request, secret_id: str) -> Response:
        return self._done(request, secret_id, changes.cancel_rotation)

    async def configure(self, request: Request) -> Response:
        """Not OCI's: how long changes take from now on."""
        details = parsed(ConfigureDetails, request.json())
        self._secrets.settle = timedelta(milliseconds=details.settle_ms)
        return Response()

    def _change(self, request: Request, secret_id: str, change: Change) -> Secret:
        return self._secrets.change(secret_id, request.headers.get("if-match"), change)

    def _done(self, request: Request, secret_id: str, change: Change) -> Response:
        """The answer of an action: an etag and no body."""
        secret = self._change(request, secret_id, change)
        return Response(headers={"etag": secret.etag(self._secrets.now())})

    def _secret(self, secret: Secret) -> Response:
        now = self._secrets.now()
        return Response(body=views.secret_of(secret, now), headers={"etag": secret.etag(now)})


def _number(text: str) -> int:
    """A version's number in a path ("API Errors": a path component that is invalid is a 404)."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ServiceError(404, "InvalidParameter", "secretVersionNumber must be a number")
    return int(text)
