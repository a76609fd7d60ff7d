"""Jobs of kind ``sync``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from keepstep.errors import ConfigError, Misuse
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.settings import CloudSettings, naming, overridden
from keepstep.jobs.sync_params import SyncParams, read_options
from keepstep.stores import bling
from keepstep.stores.address import Address, parse

if TYPE_CHECKING:
    from keepstep.config import SyncJob
    from keepstep.stores.interface import Store
    from keepstep.stores.options import TransferOptions
    from keepstep.vaults.address import SecretAddress


@dataclass(frozen=True, kw_only=True)
class ResolvedSync(ResolvedJob):
    """One job of kind ``sync``."""

    job: SyncJob

    @cached_property
    def options(self) -> dict[str, Any]:
        """Its ``params`` by the names of the options, those for the terminal among them."""
        return read_options(self.job.params, called=self.called("params"))

    @cached_property
    def params(self) -> SyncParams:
        return SyncParams.of(self.options)

    @property
    def settings(self) -> CloudSettings:
        return overridden(self.identities, self.params)

    @cached_property
    def source(self) -> Address:
        return self._address("source", self.job.source)

    @cached_property
    def target(self) -> Address:
        return self._address("target", self.job.target)

    @property
    def trash(self) -> Address | None:
        return parse(self.params.trash) if self.params.trash else None

    @property
    def transfer(self) -> TransferOptions:
        from keepstep.jobs.transfer_options import transfer_options

        return transfer_options(self.params, self.source, self.target)

    def target_to_read(self) -> Store:
        """Opens the target for reading, with the identity and the keys used to write it."""
        from keepstep.jobs.assembly import Assembly
        from keepstep.stores.options import TransferOptions

        transfer = self.transfer
        options = TransferOptions(source_key=transfer.target_key, request_payer=transfer.request_payer)
        return Assembly(replace(self.settings, source_region=None), options).source(self.target)

    @property
    def is_of_cost_reports(self) -> bool:
        """Whether its source is Oracle's bucket of cost reports."""
        return self.source.namespace == bling.NAMESPACE

    @property
    def clouds(self) -> set[str]:
        kinds = {self.source.kind, self.target.kind, *([self.trash.kind] if self.trash else [])}
        return {cloud for kind, cloud in (("s3", "aws"), ("oci", "oci")) if kind in kinds}

    def secrets(self) -> Iterator[SecretAddress]:
        return iter(())

    def check(self) -> None:
        from keepstep.jobs.sync_work import check_options, check_places, check_trash

        source, target, params = self.source, self.target, self.params
        try:
            check_options(source, target, params)
            if params.source_region and self.settings.endpoint_url:
                return  # two buckets may have the same name
            check_places(source, target)
            if self.trash is not None:
                check_trash(str(params.trash), self.trash, source, target)
        except Misuse as exc:
            raise ConfigError(f"{self.called('params')}: {exc.message}", hint=exc.hint) from None

    def _address(self, key: str, text: str) -> Address:
        with naming(self.called(key)):
            return parse(text)
