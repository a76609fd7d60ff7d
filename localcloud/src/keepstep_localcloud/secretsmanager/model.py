"""A Secrets Manager secret, its versions and their staging labels: the rules AWS documents, with no clock or store.

=====================================  =============================================================================
a new version                          has AWSCURRENT unless labels are named; the first one has it in any case
a label                                is on one version; to attach it elsewhere takes it from there
AWSCURRENT moves from a to b           AWSPREVIOUS moves to a
the same token, the same value         nothing happens, whatever labels are named
the same token, another value          ``ResourceExistsException``: a version never changes
UpdateSecretVersionStage               ``InvalidParameterException`` unless ``RemoveFromVersionId`` has the label
AWSCURRENT to nowhere                  ``InvalidParameterException``
a version without a label              deprecated: readable by id, not described; removed when a day old and there
                                       are 100; ``LimitExceededException`` when that leaves no room
=====================================  =============================================================================

Source: API reference of PutSecretValue, UpdateSecretVersionStage, GetSecretValue; "Quotas".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
MAX_VERSIONS = 100
MAX_LABELS = 20
KEPT = timedelta(days=1)
"""No version is removed sooner."""


class SecretsError(Exception):
    """Becomes ``{"__type": code, "Message": …}`` with status 400."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> SecretsError:
    return SecretsError("InvalidParameterException", message)


def missing(what: str = "the specified secret") -> SecretsError:
    return SecretsError("ResourceNotFoundException", f"Secrets Manager can't find {what}.")


class Version(BaseModel):
    """A value that never changes, and the labels that are on it now."""

    id: str
    created: datetime
    string: str | None = Field(default=None, repr=False)
    binary: str | None = Field(default=None, repr=False)
    """Base64, as it was sent."""
    labels: list[str] = []
    accessed: datetime | None = None

    def has_value(self, string: str | None, binary: str | None) -> bool:
        return (self.string, self.binary) == (string, binary)


class Rotation(BaseModel):
    """What RotateSecret was told. Nobody rotates here."""

    enabled: bool
    lambda_arn: str
    rules: dict[str, Any] = {}
    next: datetime | None = None


class Secret(BaseModel):
    """One secret; its JSON is the document that is kept of it."""

    arn: str
    name: str
    created: datetime
    changed: datetime
    description: str | None = None
    kms_key_id: str | None = None
    tags: dict[str, str] = {}
    policy: str | None = None
    rotation: Rotation | None = None
    accessed: datetime | None = None
    deleted: datetime | None = None
    """When DeleteSecret was called."""
    gone: datetime | None = None
    """When the recovery window ends."""
    versions: dict[str, Version] = {}
    """Oldest first."""

    def labelled(self, label: str) -> Version | None:
        return next((version for version in self.versions.values() if label in version.labels), None)

    def stages(self) -> dict[str, list[str]]:
        """``VersionIdsToStages``: deprecated versions are not in it."""
        return {version.id: version.labels for version in self.versions.values() if version.labels}

    def find(self, version_id: str | None, label: str | None) -> Version:
        """The version meant, AWSCURRENT by default. Raises ``ResourceNotFoundException``."""
        if version_id is None:
            wanted = label or CURRENT
            if found := self.labelled(wanted):
                return found
            raise missing(f"the specified secret value for staging label: {wanted}")
        if version_id not in self.versions:
            raise missing(f"the specified secret value for VersionId: {version_id}")
        if label is not None and label not in self.versions[version_id].labels:
            raise SecretsError(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )
        return self.versions[version_id]

    def put(self, version: Version, labels: list[str]) -> Version:
        """Adds the version, and its labels; gives the one that is there when it has the same id and value."""
        if known := self.versions.get(version.id):
            if known.has_value(version.string, version.binary):
                return known
            raise self.token_in_use(version.id)
        self._make_room(version.created)
        self.versions[version.id] = version
        for label in [*labels, *([] if len(self.versions) > 1 else [CURRENT])]:
            self._attach(label, version)
        return version

    def token_in_use(self, token: str) -> SecretsError:
        return SecretsError(
            "ResourceExistsException",
            f"You can't use ClientRequestToken {token} because that value is already in use for a version of "
            f"secret {self.arn}.",
        )

    def move(self, label: str, source: str | None, target: str | None) -> None:
        """UpdateSecretVersionStage."""
        for version_id in (source, target):
            if version_id is not None and version_id not in self.versions:
                raise invalid(f"Not a valid version: {version_id}")
        holder = self.labelled(label)
        if holder and target == holder.id and source in (None, holder.id):
            return
        if source != (holder.id if holder else None):
            raise invalid(_not_the_holder(label, source, holder))
        if target is not None:
            self._attach(label, self.versions[target])
        elif label == CURRENT:
            raise invalid(
                "You can only move staging label AWSCURRENT to a different secret version. "
                "It can't be completely removed."
            )
        elif holder is None:
            raise invalid("You must specify MoveToVersionId or RemoveFromVersionId.")
        else:
            holder.labels.remove(label)

    def _attach(self, label: str, version: Version) -> None:
        holder = self.labelled(label)
        if holder is version:
            return
        if len(version.labels) >= MAX_LABELS:
            raise SecretsError("LimitExceededException", f"A version can have up to {MAX_LABELS} staging labels.")
        if holder:
            holder.labels.remove(label)
            if label == CURRENT:
                self._attach(PREVIOUS, holder)
        version.labels.append(label)

    def _make_room(self, now: datetime) -> None:
        old = [v.id for v in self.versions.values() if not v.labels and now - v.created >= KEPT]
        for version_id in old[: max(0, len(self.versions) - MAX_VERSIONS + 1)]:
            del self.versions[version_id]
        if len(self.versions) >= MAX_VERSIONS:
            raise SecretsError("LimitExceededException", f"A secret can have up to {MAX_VERSIONS} versions.")


def _not_the_holder(label: str, source: str | None, holder: Version | None) -> str:
    if source is None and holder:
        return (
            f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to "
            f"version {holder.id}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    return f"Version stage {label} not found in version {source}"
