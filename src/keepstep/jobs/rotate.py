"""Jobs of kind ``rotate``: the credential's secrets, its audit log, and what else the job uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.errors import ConfigError
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.settings import CloudSettings, credential_secret, secret_setting
from keepstep.rotation.settings import Called, as_key, as_variable

if TYPE_CHECKING:
    from keepstep.config import Config, RotateJob
    from keepstep.jobs.assembly import Assembly
    from keepstep.jobs.audit import Places
    from keepstep.jobs.rotation_assembly import RotationAssembly
    from keepstep.vaults.address import SecretAddress


@dataclass(frozen=True, kw_only=True)
class ResolvedRotation(ResolvedJob):
    """One job of kind ``rotate``."""

    job: RotateJob

    @property
    def settings(self) -> CloudSettings:
        return self.identities

    @property
    def calls(self) -> Callable[[str], str]:
        """The user's name of a key within the job."""
        called: Called = as_variable if self.variables else as_key
        return called

    @property
    def aws_secret(self) -> SecretAddress:
        """The AWS secret. Raises :class:`ConfigError` if it is missing, or in another vault."""
        return credential_secret(self.job.aws_secret, "aws-sm", called=self.calls("aws_secret"))

    @property
    def oci_secret(self) -> SecretAddress:
        """Likewise."""
        return credential_secret(self.job.oci_secret, "oci-vault", called=self.calls("oci_secret"))

    @property
    def audit(self) -> Places | None:
        from keepstep.jobs.audit import places_of

        return places_of(self.name, self.job.audit, self.calls) if self.job.audit else None

    @property
    def clouds(self) -> set[str]:
        return {"aws", "oci"}

    def secrets(self) -> Iterator[SecretAddress]:
        for text, vault, key in self._named():
            with suppress(ConfigError):
                yield secret_setting(text, vault, called=self.calls(key))

    def _named(self) -> Iterator[tuple[str, str, str]]:
        """Each secret's text, the default vault of a bare name, and the key."""
        job, blob = self.job, self.job.connection_blob
        settings = [
            (job.aws_secret, "aws-sm", "aws_secret"),
            (job.oci_secret, "oci-vault", "oci_secret"),
            (blob.aws if blob else None, "aws-sm", "connection_blob.aws"),
            (blob.oci if blob else None, "oci-vault", "connection_blob.oci"),
            *((member.admin, "aws-sm", "admin") for member in job.database),
            (job.audit.key if job.audit else None, "aws-ssm", "audit.key"),
        ]
        return ((text, vault, key) for text, vault, key in settings if text)

    def parts(
        self, stack: AsyncExitStack, warn: Callable[[str], None], assembly: Assembly | None = None
    ) -> RotationAssembly:
        """Creates its parts lazily; ``stack`` closes what was opened."""
        from keepstep.jobs.assembly import Assembly
        from keepstep.jobs.rotation_assembly import RotationAssembly

        return RotationAssembly(assembly or Assembly(self.settings), stack, warn, self.calls)

    def check(self) -> None:
        for text, vault, key in self._named():
            secret_setting(text, vault, called=self.calls(key))
        asyncio.run(self._wire())

    async def _wire(self) -> None:
        """Omits wallets, which may be elsewhere."""
        async with AsyncExitStack() as stack:
            without = [member.model_copy(update={"wallet": None}) for member in self.job.database]
            parts = self.parts(stack, lambda text: None)
            await parts.rotation(self.name, self.job.model_copy(update={"database": without}))


def only_rotation(config: Config) -> str:
    """The name of the only job of this kind. Raises :class:`ConfigError` that names the existing ones."""
    names = [name for name, job in config.job.items() if job.kind == "rotate"]
    if len(names) != 1:
        known = ", ".join(sorted(names)) or "none"
        raise ConfigError("name the job to rotate", hint=f"jobs of kind rotate: {known}")
    return names[0]
