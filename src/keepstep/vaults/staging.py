"""What a rotation asks of the two vaults beyond reading: new versions, moved stages, each write compared first.

The clouds compare differently, so there are two protocols. Secrets Manager takes a version's id from its writer and
moves a label only away from the version that is named (:class:`LabelledVault`). OCI Vault takes an ETag, and a name
for each version (:class:`RevisedVault`). Every write is sent once. One whose answer was lost raises ``Transient``:
it may have been done, so look again before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keepstep.secret import Secret
from keepstep.vaults.interface import Stage, Vault, VersionId


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One version as the vault lists it, without its content."""

    id: VersionId
    name: str = ""
    stages: frozenset[Stage] = frozenset()
    is_deprecated: bool = False
    deletion: datetime | None = None
    """When it will be deleted; aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretState:
    """A secret without its contents, at one moment."""

    name: str
    """As it was asked for."""
    id: str
    """The ARN or OCID."""
    stages: Mapping[Stage, VersionId]
    labels: Mapping[str, VersionId] = field(default_factory=dict)
    """All of them, in the vault's spelling (Secrets Manager)."""
    etag: str = ""
    """Of the secret (OCI)."""
    changed: datetime | None = None
    """When anything about the secret last changed; aware (Secrets Manager)."""
    versions: tuple[VersionInfo, ...] = ()
    """The newest first; empty when nobody asked (OCI)."""


class LabelledVault(Vault, Protocol):
    """Secrets Manager's way. Errors as :class:`Vault`, and those named here."""

    async def describe(self, name: str) -> SecretState:
        """One question. Raises :class:`~keepstep.errors.Refused` for a secret that must not be written to.

        That is one marked for deletion, a replica, or one that the vault itself rotates.
        """
        ...

    async def put(self, name: str, version: str, content: Secret, label: str) -> bool:
        """A new version with that id and label; the label leaves the version that had it.

        False when the version is there already: nothing has happened then, to labels neither. Repeating is safe.
        Raises :class:`~keepstep.errors.Conflict` when it is there with other content.
        """
        ...

    async def move(self, name: str, label: str, *, to: VersionId | None, away_from: VersionId | None) -> None:
        """Moves a label, or (``to`` None) takes it off. Moving AWSCURRENT moves AWSPREVIOUS as well.

        Raises :class:`~keepstep.errors.Conflict` when the label is not where ``away_from`` says (None: nowhere), so
        also when it is repeated after it was done.
        """
        ...


class RevisedVault(Vault, Protocol):
    """OCI Vault's way: every write is refused when the secret is not as it was looked at.

    Each raises :class:`~keepstep.errors.Conflict` for that, and for a version's name that is taken.
    """

    async def describe(self, name: str, *, versions: bool = True) -> SecretState:
        """Waits for a change under way to settle. One question; ``versions`` costs another one at least.

        Without it only CURRENT is in ``stages``. Raises :class:`~keepstep.errors.Refused` as above.
        """
        ...

    async def stage(self, state: SecretState, version_name: str, content: Secret) -> None:
        """A new version on PENDING; the version that was there becomes deprecated."""
        ...

    async def promote(self, state: SecretState, version: VersionId) -> None:
        """The version becomes CURRENT, and what was current PREVIOUS."""
        ...

    async def prune(self, state: SecretState, version: VersionId, at: datetime) -> None:
        """A deprecated version will be deleted at that time, 1 to 30 days ahead."""
        ...
