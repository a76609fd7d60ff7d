"""What every vault can do for its readers, whatever the cloud calls it.

The words are the clouds' own: a *secret* has *versions*, and a version stands on *stages*. Contents are bytes,
exactly those that were stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol

from keepstep.secret import Secret


class Stage(StrEnum):
    """The stages that both clouds know; Secrets Manager writes ``AWS`` before each."""

    CURRENT = "CURRENT"
    PENDING = "PENDING"
    PREVIOUS = "PREVIOUS"


VersionId = NewType("VersionId", str)
"""A version's own name, which never moves: a number on OCI and SSM, a UUID in Secrets Manager."""

Which = Stage | VersionId
"""Which version is meant: the one that stands on a stage now, or one in particular."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a secret, without its content."""

    id: VersionId
    stages: frozenset[Stage] = frozenset()
    labels: tuple[str, ...] = ()
    """The version's labels as the vault spells them, including labels that keepstep does not use."""
    created: datetime | None = None
    """Aware."""
    expires: datetime | None = None
    """When the vault's own rules call it too old; aware."""


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A version and what it holds."""

    version: Version
    content: Secret = field(repr=False)


class Vault(Protocol):
    """Safe for many tasks of one event loop. Every question may be repeated; each is asked once, see ``Retrying``.

    Errors: :class:`NotFound` for a secret or version that is not there (on OCI: or may not be seen),
    :class:`Denied` and :class:`ConfigError` for what repeating does not help, with the policy that is missing;
    :class:`Transient` for the vault being away, with its wish for a pause. No error repeats a content.
    """

    async def authenticate(self) -> None:
        """Resolves the identity, once for all requests; they do it themselves if it was not done before."""
        ...

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        """One version with its content."""
        ...

    async def versions(self, name: str) -> list[Version]:
        """All readable versions, the newest first; those that the vault is about to delete are left out."""
        ...

    async def close(self) -> None: ...


def which_text(which: Which) -> str:
    """The version as messages name it; nothing for CURRENT, which is what people mean anyway."""
    if isinstance(which, Stage):
        return "" if which is Stage.CURRENT else f" ({which})"
    return f" (version {which})"
