"""A vault that is asked again when it fails for a passing reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from keepstep.clouds.retry import retried
from keepstep.errors import Transient
from keepstep.vaults.interface import SecretValue, Stage, Vault, Version, Which

T = TypeVar("T")


class Retrying:
    """Asks ``vault`` up to eight times in about two minutes; pauses grow, and its Retry-After is honoured.

    Once one question has been given up in this way the vault is taken to be away: the others are asked once, so
    that an outage costs a run two minutes and not two minutes for every secret. An answer ends that.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._is_away = False

    async def authenticate(self) -> None:
        """Once: what identities can repeat they repeat themselves."""
        await self._vault.authenticate()

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        return await self._asked(lambda: self._vault.get(name, which))

    async def versions(self, name: str) -> list[Version]:
        return await self._asked(lambda: self._vault.versions(name))

    async def close(self) -> None:
        await self._vault.close()

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        async def unless_away() -> T:
            try:
                return await ask()
            except Transient as exc:
                if self._is_away:
                    raise _GivenUp(exc) from exc
                raise

        try:
            answer = await retried(unless_away)
        except _GivenUp as exc:
            raise exc.reason from exc.reason.__cause__
        except Transient:
            self._is_away = True
            raise
        self._is_away = False
        return answer


class _GivenUp(Exception):
    """Ends the repetitions of a question that began before the vault was known to be away."""

    def __init__(self, reason: Transient) -> None:
        super().__init__(str(reason))
        self.reason = reason
