"""Which file holds which version, found out without showing any value.

A file is compared with what its vault holds now; when it differs, with older versions and the pending one. For a
fleet, each file has a keyed fingerprint: equal where the content is equal, and of no use without the key.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keepstep.clock import SystemClock
from keepstep.errors import Error
from keepstep.secrets.ages import Ages
from keepstep.secrets.delivery import Delivery, Target, Values, key_of
from keepstep.secrets.diff import FileChange, Is, Observed, decide
from keepstep.secrets.fetch import Fetcher
from keepstep.secrets.place import observe_target
from keepstep.secrets.plan import Plan
from keepstep.vaults.interface import Stage, Vault, Version

_OLDER = 10
"""Versions that a file is compared with besides the current one."""


class DriftState(StrEnum):
    """How a file stands to its vault."""

    IN_STEP = "in step"
    BEHIND = "behind"
    """It holds an older version."""
    AHEAD = "ahead"
    """It holds the pending version."""
    DIFFERS = "differs"
    """It holds none of the last versions."""
    MISSING = "missing"
    UNKNOWN = "unknown"
    """The vault or the file could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """One file, or one line that makes no sense."""

    path: str
    source: str
    state: DriftState
    version: str | None = None
    """The one that the file holds; several secrets' are joined by commas."""
    current: str | None = None
    """The vault's own."""
    fingerprint: str | None = None
    """Of the file."""
    current_fingerprint: str | None = None
    """Of what should be in it."""
    confirmed: str | None = None
    """When the file was last in step, ISO 8601."""
    note: str | None = None
    hint: str | None = None
    """What to do where the state is unknown."""


class Fingerprints:
    """HMAC-SHA256 over origin and content, in 16 hex digits.

    Without a key one is drawn for this run: its fingerprints compare with one another, not with another host's.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self.key_id = hmac.digest(self._key, b"keepstep key id", "sha256").hex()[:8]
        """Equal wherever the key is."""

    def of(self, origin: str, content: bytes) -> str:
        return hmac.digest(self._key, origin.encode() + b"\0" + content, "sha256").hex()[:16]


class Drift:
    """Compares; changes nothing."""

    def __init__(
        self, plan: Plan, vaults: Mapping[str, Vault], fingerprints: Fingerprints, ages: Ages, jobs: int = 32
    ) -> None:
        self._plan = plan
        self._fetcher = Fetcher(vaults, jobs)
        self._fingerprints = fingerprints
        self._ages = ages

    async def files(self) -> list[FileState]:
        """All files in the plan's order, after what could not be understood of it."""
        mistakes = [_unknown("", mistake.where, mistake.error) for mistake in self._plan.mistakes]
        found = await asyncio.gather(*map(self._target, self._plan.targets))
        return [*mistakes, *(state for states in found for state in states)]

    async def _target(self, target: Target) -> list[FileState]:
        try:
            observed = await asyncio.to_thread(observe_target, target)
        except Error as exc:
            return [_unknown(delivery.path, delivery.origin, exc) for delivery in target.deliveries]
        pairs = zip(target.deliveries, observed, strict=True)
        return list(await asyncio.gather(*(self._file(delivery, there) for delivery, there in pairs)))

    async def _file(self, delivery: Delivery, there: Observed) -> FileState:
        try:
            values = await self._fetcher.values([delivery])
            wanted = delivery.content.render(values)
        except Error as exc:
            return _unknown(delivery.path, delivery.origin, exc)
        current = ", ".join(dict.fromkeys(values[key_of(source)].version.id for source in delivery.content.sources))
        state, version, note = await self._compare(delivery, there, wanted, current)
        confirmed = self._ages.confirmed(delivery.path, SystemClock().now())
        return FileState(
            path=delivery.path,
            source=delivery.origin,
            state=state,
            version=version,
            current=current,
            fingerprint=self._fingerprints.of(delivery.origin, there.content) if there.kind is Is.FILE else None,
            current_fingerprint=self._fingerprints.of(delivery.origin, wanted),
            confirmed=confirmed.isoformat(timespec="seconds") if confirmed else None,
            note=note,
        )

    async def _compare(
        self, delivery: Delivery, there: Observed, wanted: bytes, current: str
    ) -> tuple[DriftState, str | None, str | None]:
        """State, the version that the file holds, and what else is to be said."""
        if there.kind is Is.NOTHING:
            return DriftState.MISSING, None, None
        if there.kind is not Is.FILE:
            return DriftState.DIFFERS, None, f"{there.kind} stands there"
        decision = decide(there, wanted, delivery.attributes)
        if there.content == wanted:
            return DriftState.IN_STEP, current, None if decision.verdict is FileChange.KEEP else decision.reason
        version = await self._held(delivery, there.content)
        if version is None:
            return DriftState.DIFFERS, None, None
        return (DriftState.AHEAD if Stage.PENDING in version.stages else DriftState.BEHIND), version.id, None

    async def _held(self, delivery: Delivery, content: bytes) -> Version | None:
        """The version that the file was made from, where it was made from one secret."""
        keys = {key_of(source) for source in delivery.content.sources}
        if len(keys) != 1:
            return None
        [key] = keys
        try:
            versions = await self._fetcher.versions(key)
            for version in [version for version in versions if Stage.CURRENT not in version.stages][:_OLDER]:
                values: Values = {key: await self._fetcher.value(key, version.id)}
                if _renders(delivery, values) == content:
                    return version
        except Error:
            return None
        return None


def _renders(delivery: Delivery, values: Values) -> bytes | None:
    try:
        return delivery.content.render(values)
    except Error:
        return None


def _unknown(path: str, source: str, error: Error) -> FileState:
    return FileState(path=path, source=source, state=DriftState.UNKNOWN, note=error.message, hint=error.hint)
