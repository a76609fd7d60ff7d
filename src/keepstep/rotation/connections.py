"""Keeps the connection blobs of a rotation in step with what is current in each cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from keepstep.errors import Conflict, Error
from keepstep.rotation.blob import Confirm, DatabaseAddress, build, keep_on_aws, keep_on_oci
from keepstep.rotation.credential import read_payload
from keepstep.rotation.observe import Observation
from keepstep.rotation.rows import StagedCredential
from keepstep.runs.report import Failure
from keepstep.secret import Secret
from keepstep.vaults.interface import Vault
from keepstep.vaults.staging import LabelledVault, RevisedVault


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """A blob in either cloud or in both."""

    places: tuple[DatabaseAddress, ...]
    primary: LabelledVault
    secondary: RevisedVault
    aws: str | None = None
    oci: str | None = None

    async def keep(self, observation: Observation) -> AsyncIterator[Failure]:
        """Gives what went wrong; somebody who was faster did the same, or knew of a later generation."""

        is_current_on_aws = confirmed(self.primary, observation.primary_state.name, observation.primary.current)
        is_current_on_oci = confirmed(
            self.secondary, observation.secondary_state.name, observation.secondary.current
        )

        async def on_aws(name: str, wanted: Secret) -> None:
            await keep_on_aws(self.primary, name, wanted, is_current_on_aws)

        async def on_oci(name: str, wanted: Secret) -> None:
            await keep_on_oci(self.secondary, name, wanted, is_current_on_oci)

        if self.aws and (failure := await self._kept(self.aws, observation.primary.current, on_aws)):
            yield failure
        if self.oci and (failure := await self._kept(self.oci, observation.secondary.current, on_oci)):
            yield failure

    async def _kept(
        self, name: str, staged: StagedCredential, keep: Callable[[str, Secret], Awaitable[None]]
    ) -> Failure | None:
        try:
            await keep(name, build(staged.credential, self.places))
        except Conflict:
            return None
        except Error as exc:
            text = f"the connection blob {name} is out of date: {exc.message}"
            return Failure.of("update", Error(text, hint=exc.hint), target=name)
        return None


def confirmed(vault: Vault, name: str, staged: StagedCredential) -> Confirm:
    """A tick that stalled has an old view; a credential that was made again starts with low generations."""

    async def confirm() -> bool:
        return read_payload((await vault.get(name)).content, name).credential == staged.credential

    return confirm
