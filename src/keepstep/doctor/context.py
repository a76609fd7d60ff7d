"""What checks of jobs need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from keepstep.clock import Clock, SystemClock
from keepstep.config import Config
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.settings import CloudSettings
from keepstep.vaults.interface import Vault


@dataclass
class ProbeContext:
    """Creates the clients of the probes, each once; the stack closes them."""

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
