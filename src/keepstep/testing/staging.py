"""Vaults in memory that a rotation can write to: one compares labels, as AWS does, one revisions, as OCI does."""

from __future__ import annotations

from datetime import UTC, datetime

from keepstep.errors import Conflict, NotFound
from keepstep.secret import Secret
from keepstep.testing.vaults import MemoryVault
from keepstep.vaults.interface import SecretValue, Stage, Version, VersionId, Which, which_text
from keepstep.vaults.staging import SecretState, VersionInfo

_CURRENT, _PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"


class MemoryLabels:
    """A :class:`~keepstep.vaults.staging.LabelledVault`."""

    def __init__(self) -> None:
        self.contents: dict[str, dict[VersionId, tuple[Secret, datetime]]] = {}
        self.labels: dict[str, dict[str, VersionId]] = {}
        self.changed: dict[str, datetime] = {}

    def create(self, name: str, content: bytes | str, version: str = "first") -> None:
        """A secret with one version, which is current."""
        self.contents[name], self.labels[name] = {}, {}
        self._add(name, VersionId(version), Secret(content), _CURRENT)

    async def authenticate(self) -> None:
        """No identity."""

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        labels = self._labels(name)
        id_ = labels.get(f"AWS{which}") if isinstance(which, Stage) else which
        if id_ is None or id_ not in self.contents[name]:
            raise NotFound(f"there is no secret {name}{which_text(which)}")
        return SecretValue(self._version(name, id_), self.contents[name][id_][0])

    async def versions(self, name: str) -> list[Version]:
        held = set(self._labels(name).values())
        return [self._version(name, id_) for id_ in reversed(self.contents[name]) if id_ in held]

    async def describe(self, name: str) -> SecretState:
        labels = dict(self._labels(name))
        stages = {stage: labels[f"AWS{stage}"] for stage in Stage if f"AWS{stage}" in labels}
        return SecretState(name=name, id=name, stages=stages, labels=labels, changed=self.changed[name])

    async def put(self, name: str, version: str, content: Secret, label: str) -> bool:
        known = self.contents[name].get(VersionId(version))
        if known is None:
            self._add(name, VersionId(version), content, label)
        elif known[0] != content:
            raise Conflict(f"{name}: the version {version} is there with other content")
        return self.labels[name].get(label) == version

    async def move(self, name: str, label: str, *, to: VersionId | None, away_from: VersionId | None) -> None:
        labels = self._labels(name)
        holder = labels.get(label)
        if holder is not None and holder == to and away_from in (None, holder):
            return
        if holder != away_from:
            raise Conflict(f"{name}: {label} is not on {away_from}")
        if to is None:
            del labels[label]
            self.changed[name] = datetime.now(UTC)
        else:
            self._attach(name, label, to)

    async def close(self) -> None:
        """Keeps everything."""

    def _labels(self, name: str) -> dict[str, VersionId]:
        if name not in self.labels:
            raise NotFound(f"there is no secret {name}")
        return self.labels[name]

    def _add(self, name: str, id_: VersionId, content: Secret, label: str) -> None:
        self.contents[name][id_] = (content, datetime.now(UTC))
        self._attach(name, label, id_)

    def _attach(self, name: str, label: str, id_: VersionId) -> None:
        labels = self.labels[name]
        if label == _CURRENT and _CURRENT in labels:
            labels[_PREVIOUS] = labels[_CURRENT]
        labels[label] = id_
        self.changed[name] = datetime.now(UTC)

    def _version(self, name: str, id_: VersionId) -> Version:
        labels = tuple(label for label, holder in self.labels[name].items() if holder == id_)
        stages = frozenset(stage for stage in Stage if f"AWS{stage}" in labels)
        return Version(id=id_, stages=stages, labels=labels, created=self.contents[name][id_][1])


class MemoryRevisions(MemoryVault):
    """A :class:`~keepstep.vaults.staging.RevisedVault`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, dict[str, int]] = {}
        self.deletions: dict[str, dict[int, datetime]] = {}
        self._etags: dict[str, int] = {}

    def put(self, name: str, content: bytes | str, stage: Stage = Stage.CURRENT) -> VersionId:
        self._etags[name] = self._etags.get(name, 0) + 1
        return super().put(name, content, stage)

    async def describe(self, name: str, *, versions: bool = True) -> SecretState:
        stored = tuple(self._stored(name, version) for version in await self.versions(name))
        stages = {stage: version.id for version in stored for stage in version.stages}
        return SecretState(
            name=name,
            id=name,
            stages=stages if versions else {Stage.CURRENT: stages[Stage.CURRENT]},
            etag=str(self._etags[name]),
            versions=stored if versions else (),
        )

    async def stage(self, state: SecretState, version_name: str, content: Secret) -> None:
        self._check(state)
        names = self.names.setdefault(state.name, {})
        if version_name in names:
            raise Conflict(f"{state.name}: the version's name already exists")
        names[version_name] = int(self.put(state.name, content.reveal_bytes(), Stage.PENDING))

    async def promote(self, state: SecretState, version: VersionId) -> None:
        self._check(state)
        stages = self._secrets[state.name].stages
        if stages.get(Stage.PENDING) == int(version):
            del stages[Stage.PENDING]
        stages[Stage.PREVIOUS], stages[Stage.CURRENT] = stages[Stage.CURRENT], int(version)

    async def prune(self, state: SecretState, version: VersionId, at: datetime) -> None:
        self._check(state)
        if not self._stored(state.name, await self._find(state.name, version)).is_deprecated:
            raise Conflict(f"{state.name}: version {version} is not deprecated")
        self.deletions.setdefault(state.name, {})[int(version)] = at

    def _check(self, state: SecretState) -> None:
        """Counts the change too."""
        if state.etag != str(self._etags.get(state.name)):
            raise Conflict(f"{state.name} has changed meanwhile")
        self._etags[state.name] += 1

    async def _find(self, name: str, id_: VersionId) -> Version:
        return next(version for version in await self.versions(name) if version.id == id_)

    def _stored(self, name: str, version: Version) -> VersionInfo:
        numbers = {number: known for known, number in self.names.get(name, {}).items()}
        deletion = self.deletions.get(name, {}).get(int(version.id))
        return VersionInfo(
            id=version.id,
            name=numbers.get(int(version.id), ""),
            stages=version.stages,
            is_deprecated=not version.stages,
            deletion=deletion,
        )
