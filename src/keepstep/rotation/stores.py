"""The two secrets of a credential, as the rotation asks for them: reads repeated, every call counted.

What was written is waited for: Secrets Manager may show the state before a write for some seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from keepstep.clouds.retry import retried
from keepstep.errors import ConfigError, Error, NotFound
from keepstep.rotation.credential import Payload, read_payload
from keepstep.secret import Secret
from keepstep.vaults.interface import SecretValue, Stage, Vault, VersionId
from keepstep.vaults.staging import LabelledVault, RevisedVault, SecretState

T = TypeVar("T")

_PAUSE = 0.5
_UNLABEL = (
    "if no rotation of yours staged it: aws secretsmanager update-secret-version-stage --secret-id {name} "
    "--version-stage AWSPENDING --remove-from-version-id {version}"
)


@dataclass(frozen=True, slots=True)
class FetchedVersion:
    """One version's content, which never changes."""

    payload: Payload
    created: datetime | None
    is_newest: bool
    """The vault itself says that no version is newer; at the moment at which it was read."""


@dataclass
class Stores:
    """Both sides. Contents are read once in its life."""

    primary: LabelledVault
    secondary: RevisedVault
    primary_name: str
    secondary_name: str
    patience: float = 30.0
    """Seconds until what was written is believed to be visible to everybody."""
    calls: Counter[str] = field(default_factory=Counter)
    """By the cloud's name of the operation."""
    _contents: dict[tuple[bool, VersionId], FetchedVersion] = field(default_factory=dict)
    _stages: dict[tuple[bool, VersionId], Stage] = field(default_factory=dict)
    """Where each version stood when it was looked at last, for messages."""
    _expected: Callable[[SecretState], bool] = lambda state: True

    async def describe_secondary(self, *, versions: bool = True) -> SecretState:
        self.calls.update(["GetSecret", *(["ListSecretVersions"] if versions else [])])
        state = await retried(lambda: self.secondary.describe(self.secondary_name, versions=versions))
        self._stages |= {(False, id_): stage for stage, id_ in state.stages.items()}
        return state

    async def describe_primary(self) -> SecretState:
        """Returns once the last write is visible, or after half a minute."""
        deadline = time.monotonic() + self.patience
        while True:
            state = await self.describe_again()
            if self._expected(state) or time.monotonic() > deadline:
                self._expected = lambda state: True
                return state
            await asyncio.sleep(_PAUSE)

    async def describe_again(self) -> SecretState:
        """Just as it is now."""
        self.calls["DescribeSecret"] += 1
        state = await retried(lambda: self.primary.describe(self.primary_name))
        self._stages |= {(True, id_): stage for stage, id_ in state.stages.items()}
        return state

    async def primary_content(self, version: VersionId) -> FetchedVersion:
        return await self._content(True, version)

    async def secondary_content(self, version: VersionId, *, refresh: bool = False) -> FetchedVersion:
        if refresh:
            self._contents.pop((False, version), None)
        return await self._content(False, version)

    async def put(self, version: str, content: Secret, label: str) -> bool:
        """As :meth:`LabelledVault.put`."""
        self._expected = lambda state: version in state.labels.values()
        return await self._write("PutSecretValue", self.primary.put(self.primary_name, version, content, label))

    async def move(self, label: str, *, to: VersionId | None, away_from: VersionId | None) -> None:
        """As :meth:`LabelledVault.move`."""
        self._expected = lambda state: state.labels.get(label) != away_from or away_from is None
        move = self.primary.move(self.primary_name, label, to=to, away_from=away_from)
        await self._write("UpdateSecretVersionStage", move)

    async def stage(self, state: SecretState, name: str, content: Secret) -> None:
        await self._write("UpdateSecret", self.secondary.stage(state, name, content))

    async def promote(self, state: SecretState, version: VersionId) -> None:
        await self._write("UpdateSecret", self.secondary.promote(state, version))

    async def prune(self, state: SecretState, version: VersionId, at: datetime) -> None:
        await self._write("ScheduleSecretVersionDeletion", self.secondary.prune(state, version, at))

    async def _write(self, operation: str, write: Awaitable[T]) -> T:
        self.calls[operation] += 1
        try:
            return await write
        except Error:
            self._expected = lambda state: True
            raise

    async def _content(self, is_primary: bool, version: VersionId) -> FetchedVersion:
        key = (is_primary, version)
        if key not in self._contents:
            name = self.primary_name if is_primary else self.secondary_name
            stage = self._stages.get(key)
            named = f"the {stage} version of {name}" if stage else name
            vault: Vault = self.primary if is_primary else self.secondary
            self.calls["GetSecretValue" if is_primary else "GetSecretBundle"] += 1
            value = await self._found(lambda: vault.get(name, version))
            is_newest = "LATEST" in value.version.labels
            try:
                payload = read_payload(value.content, named)
            except ConfigError as exc:
                if is_primary and stage is Stage.PENDING:
                    exc.hint = _UNLABEL.format(name=name, version=version)
                raise
            self._contents[key] = FetchedVersion(payload, value.version.created, is_newest)
        return self._contents[key]

    async def _found(self, get: Callable[[], Awaitable[SecretValue]]) -> SecretValue:
        """The content of a version that is listed, so it will be there in a moment if it is not now."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return await retried(get)
            except NotFound:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_PAUSE)
