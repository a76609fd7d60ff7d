"""Secrets fetched at once, each one once, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from keepstep.errors import ConfigError, Error
from keepstep.secrets.delivery import Delivery, SecretKey, Values, key_of
from keepstep.vaults.interface import SecretValue, Stage, Vault, Version, Which


class Fetcher:
    """Asks ``vaults``, by kind. Each vault resolves its identity once, before the first request.

    Raises what the vaults raise; without credentials for a vault every secret of it fails at once, for that reason.
    """

    def __init__(self, vaults: Mapping[str, Vault], jobs: int = 32) -> None:
        self._vaults = vaults
        self._room = asyncio.Semaphore(jobs)
        self._entries: dict[str, asyncio.Task[None]] = {}
        self._values: dict[tuple[SecretKey, Which], asyncio.Task[SecretValue]] = {}

    async def value(self, key: SecretKey, which: Which = Stage.CURRENT) -> SecretValue:
        """One version of a secret; anybody who asks for the same one shares the answer, also a failure."""
        if (key, which) not in self._values:
            self._values[key, which] = asyncio.create_task(self._fetch(key, which))
        return await asyncio.shield(self._values[key, which])

    async def values(self, deliveries: Iterable[Delivery]) -> Values:
        """The CURRENT version of all that they are made of. An error says which address could not be obtained."""
        values = {}
        for delivery in deliveries:
            for source in delivery.content.sources:
                try:
                    values[key_of(source)] = await self.value(key_of(source))
                except Error as exc:
                    why = exc.message.removeprefix(f"{source.name}: ")
                    raise type(exc)(f"fetch {source} failed: {why}", hint=exc.hint) from exc
        return values

    async def versions(self, key: SecretKey) -> list[Version]:
        vault = await self._entered(key[0])
        async with self._room:
            return await vault.versions(key[1])

    def cancel(self) -> None:
        """Ends every question that is under way; who waits for it is cancelled."""
        for task in (*self._entries.values(), *self._values.values()):
            task.cancel()

    async def _fetch(self, key: SecretKey, which: Which) -> SecretValue:
        vault = await self._entered(key[0])
        async with self._room:
            return await vault.get(key[1], which)

    async def _entered(self, kind: str) -> Vault:
        vault = self._vaults.get(kind)
        if vault is None:
            raise ConfigError(f"there is no vault of the kind {kind}")
        if kind not in self._entries:
            self._entries[kind] = asyncio.create_task(_enter(vault))
        await asyncio.shield(self._entries[kind])
        return vault


async def _enter(vault: Vault) -> None:
    await vault.authenticate()
