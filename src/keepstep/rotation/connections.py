"""Keeps the connection blobs of a rotation in step with what is current in each cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from keepstep.errors import Conflict, Error
from keepstep.rotation.blob import Place, build, keep_on_aws, keep_on_oci
from keepstep.rotation.observe import Sight
from keepstep.rotation.rows import Held
from keepstep.runs.report import Failure
from keepstep.secret import Secret
from keepstep.vaults.staging import LabelledVault, RevisedVault


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """A blob in either cloud or in both."""

    places: tuple[Place, ...]
    primary: LabelledVault
    secondary: RevisedVault
    aws: str | None = None
    oci: str | None = None

    async def keep(self, sight: Sight) -> AsyncIterator[Failure]:
        """Gives what went wrong; somebody who was faster did the same."""
        if self.aws and (failure := await self._kept(self.aws, sight.a.current, self._on_aws)):
            yield failure
        if self.oci and (failure := await self._kept(self.oci, sight.o.current, self._on_oci)):
            yield failure

    async def _kept(self, name: str, held: Held, keep: Callable[[str, Secret], Awaitable[bool]]) -> Failure | None:
        try:
            await keep(name, build(held.credential, self.places))
        except Conflict:
            return None
        except Error as exc:
            text = f"the connection blob {name} is behind: {exc.message}"
            return Failure.of("update", Error(text, hint=exc.hint), target=name)
        return None

    async def _on_aws(self, name: str, wanted: Secret) -> bool:
        return await keep_on_aws(self.primary, name, wanted)

    async def _on_oci(self, name: str, wanted: Secret) -> bool:
        return await keep_on_oci(self.secondary, name, wanted)
