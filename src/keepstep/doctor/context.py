"""A job, and what it takes to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from keepstep.clock import Clock, SystemClock
from keepstep.config import Config, RotateJob, SecretsJob, SyncJob
from keepstep.jobs.assembly import Assembly, CloudSettings
from keepstep.secrets.plan import Plan
from keepstep.stores.address import Address
from keepstep.stores.options import TransferOptions
from keepstep.vaults.interface import Vault


@dataclass(frozen=True, kw_only=True)
class JobUnderTest:
    """One job, read and resolved."""

    name: str
    job: SyncJob | SecretsJob | RotateJob
    settings: CloudSettings
    plan: Plan | None = None
    """Of secrets."""
    transfer: TransferOptions = field(default_factory=TransferOptions)
    """Of a sync."""
    deletes: bool = False
    trash: Address | None = None


@dataclass
class ProbeContext:
    """Makes the parts that probes ask with, each once; the stack closes them."""

    stack: AsyncExitStack
    config: Config
    clock: Clock = field(default_factory=SystemClock)
    _assemblies: dict[CloudSettings, Assembly] = field(default_factory=dict)
    _vaults: dict[tuple[CloudSettings, str], Vault] = field(default_factory=dict)

    def assembly(self, settings: CloudSettings) -> Assembly:
        return self._assemblies.setdefault(settings, Assembly(settings))

    def vault(self, settings: CloudSettings, kind: str) -> Vault:
        if (settings, kind) not in self._vaults:
            vaults: Mapping[str, Vault] = self.assembly(settings).vaults([kind])
            self._vaults[settings, kind] = vaults[kind]
            self.stack.push_async_callback(vaults[kind].close)
        return self._vaults[settings, kind]
