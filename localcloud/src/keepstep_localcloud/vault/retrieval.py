"""OCI secret retrieval (API 20190301): the contents of a version, chosen by number, name or stage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from keepstep_localcloud.vault import views
from keepstep_localcloud.vault.changes import incorrect_state
from keepstep_localcloud.vault.details import ExpiryRule, invalid
from keepstep_localcloud.vault.model import Secret, Version, not_found
from keepstep_localcloud.vault.pages import page_of
from keepstep_localcloud.vault.store import Secrets
from keepstep_localcloud.wire import Request, Response, ServiceError

SELECTORS = ("versionNumber", "secretVersionName", "stage")
STAGES = ("CURRENT", "PENDING", "LATEST", "PREVIOUS", "DEPRECATED")
READABLE = ("ACTIVE", "UPDATING")
"""A secret in any other lifecycle state answers 404 (external-secrets issue 6771)."""


class Retrieval:
    """The handlers of secret retrieval."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def get_bundle(self, request: Request, secret_id: str) -> Response:
        return self._bundle(request, self._secrets.get(secret_id, stale=request.stale))

    async def get_bundle_by_name(self, request: Request) -> Response:
        """The parameters stand in the query; the body is empty."""
        missing = next((name for name in ("secretName", "vaultId") if name not in request.query), None)
        if missing:
            raise ServiceError(400, "MissingParameter", f"{missing} is required")
        vault_id, secret_name = request.query["vaultId"], request.query["secretName"]
        return self._bundle(request, self._secrets.named(vault_id, secret_name, stale=request.stale))

    async def list_versions(self, request: Request, secret_id: str) -> Response:
        secret = self._secrets.get(secret_id, stale=request.stale)
        _check_readable(secret, self._secrets.now())
        page, headers = page_of(request, secret.versions, lambda version: (version.number,), descending=True)
        return Response(body=[views.bundle_summary_of(secret, version) for version in page], headers=headers)

    def _bundle(self, request: Request, secret: Secret) -> Response:
        now = self._secrets.now()
        _check_readable(secret, now)
        version = selected(secret, request.query)
        _check_expiry(secret, version, now)
        return Response(body=views.bundle_of(secret, version), headers={"etag": _etag(secret, version, now)})


def selected(secret: Secret, query: Mapping[str, str]) -> Version:
    """The version that ``query`` names; CURRENT when it names none, the newest one of several DEPRECATED.

    A version pending deletion cannot be read. Raises 400 ``InvalidParameter`` and 404 ``NotAuthorizedOrNotFound``.
    """
    given = {name: query[name] for name in SELECTORS if name in query} or {"stage": "CURRENT"}
    if len(given) > 1:
        raise invalid(f"{' and '.join(given)} exclude each other")
    [(selector, value)] = given.items()
    if selector == "stage" and value not in STAGES:
        raise invalid(f"stage must be one of {', '.join(STAGES)}")
    for version in reversed(secret.versions):
        if not version.deletion and value in _names(secret, version)[selector]:
            return version
    raise not_found()


def _names(secret: Secret, version: Version) -> dict[str, list[str | None]]:
    """What a version answers to, by selector."""
    return {
        "versionNumber": [str(version.number)],
        "secretVersionName": [version.name],
        "stage": [*secret.stages(version.number)],
    }


def _etag(secret: Secret, version: Version, now: datetime) -> str:
    """Not the secret's own: nothing says that retrieval's etag is good for ``if-match`` in management."""
    return hashlib.sha256(f"{version.number} {secret.etag(now)}".encode()).hexdigest()


def _check_readable(secret: Secret, now: datetime) -> None:
    if secret.lifecycle_state(now) not in READABLE:
        raise not_found()


def _check_expiry(secret: Secret, version: Version, now: datetime) -> None:
    """Oracle does not document the error's code; this is the general one for a resource in the wrong state."""
    rule, expiry = secret.rule(ExpiryRule), secret.expiry(version)
    if rule and rule.is_secret_content_retrieval_blocked_on_expiry and expiry and expiry <= now:
        raise incorrect_state("the secret version has expired, and its SECRET_EXPIRY_RULE blocks retrieval")
