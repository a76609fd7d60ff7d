"""What Retrying does about faults that pass, and about those that stay."""

from __future__ import annotations

import asyncio
import time

import pytest

from keepstep.clouds import retry
from keepstep.errors import Denied, Transient
from keepstep.testing.vaults import MemoryVault
from keepstep.vaults.interface import SecretValue, Stage, Which
from keepstep.vaults.retrying import Retrying


class Failing(MemoryVault):
    """A memory vault that fails as often as it is told to."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        super().__init__()
        self.put("a", b"value")
        self.put("b", b"value")
        self.asked: list[str] = []
        self._failures = failures
        self._error = error or Transient("away", retry_after=0.01)

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        self.asked.append(name)
        if len(self.asked) <= self._failures:
            raise self._error
        return await super().get(name, which)


def test_what_passes_is_asked_again() -> None:
    """A question that fails a few times for a passing reason is answered in the end."""
    vault = Failing(3)
    value = asyncio.run(Retrying(vault).get("a"))
    assert value.content.reveal_bytes() == b"value"
    assert len(vault.asked) == 4


def test_a_refusal_is_not_asked_again() -> None:
    """What repeating does not help is asked once."""
    vault = Failing(9, Denied("no"))
    with pytest.raises(Denied):
        asyncio.run(Retrying(vault).get("a"))
    assert len(vault.asked) == 1


def test_an_outage_costs_its_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one question was given up the others are asked once each, also those that were being repeated."""
    monkeypatch.setattr(retry, "_ATTEMPTS", 2)
    vault = Failing(10**6)
    retrying = Retrying(vault)

    async def work() -> None:
        with pytest.raises(Transient):
            await retrying.get("a")
        began = len(vault.asked)
        assert began > 1
        for _ in range(5):
            with pytest.raises(Transient, match="away"):
                await retrying.get("b")
        assert len(vault.asked) - began == 5

    asyncio.run(work())


def test_an_answer_ends_the_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the vault answers again, questions are repeated again."""
    monkeypatch.setattr(retry, "_ATTEMPTS", 2)
    vault = Failing(10**6)
    retrying = Retrying(vault)

    async def work() -> None:
        with pytest.raises(Transient):
            await retrying.get("a")
        vault._failures = 0
        await retrying.get("a")
        vault.asked.clear()
        vault._failures = 1
        await retrying.get("b")
        assert vault.asked == ["b", "b"]

    asyncio.run(work())


def test_the_vaults_wish_is_honoured() -> None:
    """The pause is the one that the vault asked for, not ours."""
    vault = Failing(1, Transient("busy", retry_after=0.5))
    began = time.monotonic()
    asyncio.run(Retrying(vault).get("a"))
    assert time.monotonic() - began >= 0.5


def test_versions_and_close_are_the_vaults() -> None:
    """The wrapper is a vault in every respect."""

    async def work() -> None:
        retrying = Retrying(Failing(0))
        await retrying.authenticate()
        assert [version.id for version in await retrying.versions("a")] == ["1"]
        await retrying.close()

    asyncio.run(work())
