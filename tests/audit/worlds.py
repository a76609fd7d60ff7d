"""Logs in memory, written as rotations write them, and what is needed to verify and to damage them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from keepstep.audit.entry import AuditEntry, AuditKey
from keepstep.audit.keys import Keyring
from keepstep.audit.log import AuditLog, name_of
from keepstep.audit.verify import Verification, verify
from keepstep.secret import Secret
from keepstep.testing.stores import MemoryStore
from keepstep.testing.vaults import MemoryVault
from keepstep.vaults.address import SecretAddress

KEY = SecretAddress("memory", "audit-key", text="memory:audit-key")


class TickingClock:
    """A minute passes whenever it is looked at."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()


@dataclass
class World:
    """One job's log with its anchor, and the vault with its key."""

    chain: str = "app-db"
    log: MemoryStore = field(default_factory=lambda: MemoryStore("log"))
    anchor: MemoryStore | None = field(default_factory=lambda: MemoryStore("anchor"))
    vault: MemoryVault = field(default_factory=MemoryVault)
    clock: TickingClock = field(default_factory=TickingClock)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rotate_key("the first key of this log, 32 bytes")

    def rotate_key(self, value: str) -> None:
        self.vault.put(KEY.name, value)
        contents = self.vault._secrets[KEY.name].contents
        contents[-1] = (contents[-1][0], self.clock.now())

    def writer(self) -> AuditLog:
        keyring = Keyring(self.vault, KEY)
        return AuditLog(self.chain, self.log, keyring, self.clock, anchor=self.anchor, warn=self.warnings.append)

    async def write(self, count: int, *, writer: AuditLog | None = None) -> list[AuditEntry]:
        """Intents and results in turn."""
        writer = writer or self.writer()
        kinds = ("intent", "result")
        return [await writer.append(kinds[number % 2], facts(number)) for number in range(count)]

    async def verify(self, *, anchored: bool = True) -> Verification:
        return await verify(self.chain, self.log, Keyring(self.vault, KEY), self.anchor if anchored else None)

    def data(self, sequence: int) -> bytes:
        return self.log.objects[name_of(sequence)].data

    def put(self, sequence: int, data: bytes) -> None:
        self.log.add(name_of(sequence), data)

    async def remove(self, *sequences: int) -> None:
        await self.log.delete([name_of(sequence) for sequence in sequences])


def facts(number: int) -> dict[str, object]:
    """What a rotation says of itself."""
    return {
        "who": "rotator",
        "host": "worker-1",
        "generation": number,
        "versions": {"aws": f"v{number}", "oci": str(number)},
        "databases": [{"name": "postgres app@db:5432", "answer": "accept"}],
        "due": number % 2 == 0,
        "grace": None,
    }


def edited(data: bytes, **changes: object) -> bytes:
    """An entry with other fields, written as keepstep writes, with its old signature."""
    fields = json.loads(data) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_of(value: str) -> AuditKey:
    return AuditKey(Secret(value))
