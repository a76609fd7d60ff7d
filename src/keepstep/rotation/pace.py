"""When something is due, and how many versions OCI Vault still takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keepstep.vaults.interface import VersionId
from keepstep.vaults.staging import SecretState, VersionInfo

IN_USE = 30
"""Versions in use that a secret may have ("Secret Versions")."""
PENDING_DELETION = 28
"""Versions that may be pending deletion at a time; OCI allows 30."""
KEPT = 5
"""Deprecated versions that are kept for people to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPace:
    """How often to rotate."""

    interval: timedelta
    grace: timedelta
    """How long an old password goes on working where two may; never longer than the interval."""

    def is_due(self, created: datetime | None, now: datetime) -> bool:
        """``created`` is the vault's time of the version; one without a time is old."""
        return created is None or now - created >= self.interval

    def is_grace_over(self, changed: datetime | None, now: datetime) -> bool:
        return changed is None or now - changed >= min(self.grace, self.interval)


@dataclass(frozen=True, slots=True)
class Room:
    """What OCI's quota allows."""

    has_room: bool
    prunable: VersionId | None
    next: datetime | None = None
    """Where there is neither room nor something to prune: when a version will be gone."""


def room_of(state: SecretState) -> Room:
    waiting = [version.deletion for version in state.versions if version.deletion]
    deprecated = [version for version in state.versions if version.is_deprecated and not version.deletion]
    has_room = len(state.versions) - len(waiting) < IN_USE
    is_wanted = len(deprecated) > KEPT or (deprecated and not has_room)
    if is_wanted and len(waiting) < PENDING_DELETION:
        return Room(has_room, _oldest(deprecated).id)
    return Room(has_room, None, min(waiting, default=None))


def _oldest(versions: list[VersionInfo]) -> VersionInfo:
    return min(versions, key=lambda version: int(version.id))
