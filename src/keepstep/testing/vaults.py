"""A vault in memory: for trying things out, and for tests of whatever reads vaults."""

from __future__ import annotations

from datetime import UTC, datetime

from keepstep.errors import NotFound
from keepstep.secret import Secret
from keepstep.vaults.interface import SecretValue, Stage, Version, VersionId, Which, which_text


class MemoryVault:
    """Versions are numbered from 1. The newest put is CURRENT and the one before PREVIOUS, as in the clouds."""

    def __init__(self) -> None:
        self._secrets: dict[str, _Secret] = {}

    def put(self, name: str, content: bytes | str, stage: Stage = Stage.CURRENT) -> VersionId:
        """A new version on CURRENT, or on PENDING, where it waits."""
        secret = self._secrets.setdefault(name, _Secret())
        secret.contents.append((Secret(content), datetime.now(UTC)))
        number = len(secret.contents)
        if stage is Stage.CURRENT and Stage.CURRENT in secret.stages:
            secret.stages[Stage.PREVIOUS] = secret.stages[Stage.CURRENT]
        secret.stages[stage] = number
        return VersionId(str(number))

    async def authenticate(self) -> None:
        """No identity."""

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        secret = self._secrets.get(name)
        number = secret.number(which) if secret else None
        if secret is None or number is None:
            raise NotFound(f"there is no secret {name}{which_text(which)}")
        return SecretValue(secret.version(number), secret.contents[number - 1][0])

    async def versions(self, name: str) -> list[Version]:
        if name not in self._secrets:
            raise NotFound(f"there is no secret {name}")
        secret = self._secrets[name]
        return [secret.version(number) for number in range(len(secret.contents), 0, -1)]

    async def close(self) -> None:
        """Keeps everything."""


class _Secret:
    def __init__(self) -> None:
        self.contents: list[tuple[Secret, datetime]] = []
        self.stages: dict[Stage, int] = {}

    def number(self, which: Which) -> int | None:
        if isinstance(which, Stage):
            return self.stages.get(which)
        return int(which) if which.isdecimal() and 1 <= int(which) <= len(self.contents) else None

    def version(self, number: int) -> Version:
        stages = [stage for stage, holder in self.stages.items() if holder == number]
        created = self.contents[number - 1][1]
        return Version(
            id=VersionId(str(number)), stages=frozenset(stages), labels=tuple(map(str, stages)), created=created
        )
