"""Jobs of kind ``secrets``, and maps without a configuration: what is delivered, and with which identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from keepstep.errors import ConfigError
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.settings import CloudSettings, instance_by_default, secret_setting

if TYPE_CHECKING:
    from keepstep.config import Config, SecretsJob
    from keepstep.secrets.ages import Ages
    from keepstep.secrets.plan import Plan
    from keepstep.vaults.address import SecretAddress
    from keepstep.vaults.interface import Vault


@dataclass(frozen=True, kw_only=True)
class ResolvedSecrets(ResolvedJob):
    """One job of kind ``secrets``."""

    job: SecretsJob
    lock: str
    """The name of the lock of its runs."""

    @cached_property
    def plan(self) -> Plan:
        """The plan. Raises :class:`Error` if the map cannot be read; invalid lines are the plan's mistakes."""
        from keepstep.secrets.map import Map, read_map
        from keepstep.secrets.plan import make_plan

        map_ = read_map(Path(self.job.map)) if self.job.map else Map()
        return make_plan(map_, self.job.file, self.job.set)

    @cached_property
    def settings(self) -> CloudSettings:
        """OCI hosts use the instance principal if nothing else is configured."""
        return instance_by_default(self.identities)

    @property
    def fingerprint_key(self) -> SecretAddress | None:
        text = self.job.fingerprint_key
        return secret_setting(text, called=self.called("fingerprint_key")) if text else None

    @property
    def clouds(self) -> set[str]:
        return {address.cloud for address in self.secrets()}

    def secrets(self) -> Iterator[SecretAddress]:
        for target in self.plan.targets:
            for delivery in target.deliveries:
                yield from delivery.content.sources
        with suppress(ConfigError):
            if self.fingerprint_key:
                yield self.fingerprint_key

    def vaults(self, stack: AsyncExitStack, *more: str) -> dict[str, Vault]:
        """One vault per kind that the plan needs, and for ``more``; ``stack`` closes them."""
        from keepstep.jobs.assembly import Assembly

        deliveries = (delivery for target in self.plan.targets for delivery in target.deliveries)
        kinds = {source.vault for delivery in deliveries for source in delivery.content.sources}
        vaults = Assembly(self.settings).vaults(sorted({*kinds, *more}))
        for vault in vaults.values():
            stack.push_async_callback(vault.close)
        return vaults

    def ages(self, *, is_kept: bool) -> Ages:
        """When each file was last current; ``is_kept`` creates the folder of these records."""
        from keepstep.secrets.ages import Ages
        from keepstep.state.place import is_usable

        folder = self.config.state.place.notes
        if folder is None or (is_kept and not is_usable(folder)):
            return Ages(None)
        return Ages(folder / f"ages-{sha256(self.lock.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json")

    def check(self) -> None:
        from keepstep.secrets.map import first_of

        plan = self.plan
        if plan.mistakes:
            raise first_of(plan.mistakes, within=f"job.{self.name}: ")
        if not plan.targets:
            raise ConfigError(f"job.{self.name} names no secret", hint="give it a map, or [[job.NAME.file]]")
        _ = self.fingerprint_key  # which raises if it is not an address


def secrets_of_map(config: Config, path: Path) -> ResolvedSecrets:
    """A map without a job, with the file's identities."""
    from keepstep.config import SecretsJob

    job = SecretsJob(kind="secrets", map=str(path))
    return ResolvedSecrets(name=str(path), config=config, job=job, lock=f"map {path.resolve()}", is_recorded=False)
