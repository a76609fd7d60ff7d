"""Keeps the memory of failed logins in labels of the AWS secret (:mod:`keepstep.rotation.failures`)."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from keepstep.errors import Error
from keepstep.rotation import failures as memory
from keepstep.rotation.stores import Stores
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.staging import SecretState


class Notes:
    """One for a tick. A label that cannot be written does not stop it: this tick remembers by itself."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._labels: dict[str, VersionId] = {}
        self._current: VersionId | None = None

    def read(self, state: SecretState) -> memory.Failures:
        """What the secret remembers and this tick has not read or written yet."""
        self._current = state.stages.get(Stage.CURRENT)
        labels = {label: id_ for label, id_ in state.labels.items() if label.startswith(memory.PREFIX)}
        new = labels.keys() - self._labels.keys()
        self._labels |= labels
        return memory.read(new)

    async def write(self, failures: memory.Failures) -> None:
        """The new label first, so that nothing is forgotten in between."""
        old, label = self._labels, memory.label_for(failures)
        self._labels = {}
        with suppress(Error):
            if label and self._current:
                await self._stores.move(label, to=self._current, away_from=None)
                self._labels[label] = self._current
        for name, holder in old.items():
            with suppress(Error):  # whoever removed it knew it too
                await self._stores.move(name, to=None, away_from=holder)

    async def settle(self, failures: memory.Failures, now: datetime) -> None:
        """At the end: what succeeded meanwhile, or is too old to matter, need not be remembered."""
        failures = {key: each for key, each in failures.items() if each.count or now - each.at < memory.REST}
        if memory.read(self._labels) != failures:
            await self.write(failures)
