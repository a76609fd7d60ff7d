"""An audit log that can only grow: ``<job>/<sequence>.json`` in a bucket of either cloud.

Every entry is put with ``If-None-Match: *``, so of two writers who have seen the same last entry one is refused,
looks again and goes after the other: a chain cannot fork. Where the log has an anchor, each entry's hash is put in
the other cloud as well, in the same way, so that the log cannot lose its end without that being seen.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from keepstep.audit.entry import GENESIS, AuditEntry, AuditKey, is_signed_by, read, sign
from keepstep.audit.keys import Keyring
from keepstep.clock import Clock
from keepstep.errors import Conflict, Corrupt, Error, NotFound
from keepstep.stores.address import Address
from keepstep.stores.interface import Appendable, Entry, Store

LIMIT = 1 << 20
"""Bytes that an entry may have."""

ANCHOR = "anchor"
"""The fact of an entry that says where its anchor is."""
_NAME = re.compile(r"([0-9]{10})\.json")
_ATTEMPTS = 20
_HINT = "keepstep audit verify says what is wrong; keep a broken log as it is, and start a new one elsewhere"


@dataclass(frozen=True, slots=True)
class _Tail:
    """The entry that the next one follows, and the key that signs it."""

    sequence: int
    hash: str
    key: AuditKey
    former: AuditKey | None = None
    """The key of the entry before, where that is another one."""


def name_of(sequence: int) -> str:
    """The key of an entry in its job's folder; keys sort as their numbers do."""
    return f"{sequence:010d}.json"


def sequence_of(name: str) -> int | None:
    """The number in the key of an entry; None for any other key."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def folder_of(address: Address, chain: str) -> Address:
    """The folder of a job's log beneath the address that the configuration names."""
    if address.kind == "local":
        return replace(address, path=os.path.join(address.path, chain))
    return replace(address, prefix=f"{address.prefix}{chain}/")


class AuditLog:
    """The log of one job, for one task at a time; any number of processes may write to it.

    ``log`` and ``anchor`` are bound to the job's folders, and ``chain`` is the job's name. ``warn`` hears of an
    anchor that could not be written: the entry itself is safe, and the next one is anchored for both.
    """

    def __init__(
        self,
        chain: str,
        log: Appendable,
        keyring: Keyring,
        clock: Clock,
        *,
        anchor: Appendable | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._chain = chain
        self._log = log
        self._keyring = keyring
        self._clock = clock
        self._anchor = anchor
        self._warn = warn
        self._tail: _Tail | None = None

    async def append(self, kind: str, facts: Mapping[str, Any]) -> AuditEntry:
        """Appends an entry; it is stored when this returns. Not to be repeated: it appends again.

        ``facts`` hold text, whole numbers, truth values, None, lists and tables of them, and no secret. Raises
        what store and vault raise, :class:`~keepstep.errors.Corrupt` when the last entry is not this log's, and
        :class:`~keepstep.errors.Conflict` when other writers were faster each time.
        """
        nonce = uuid.uuid4().hex
        for _ in range(_ATTEMPTS):
            tail = self._tail or await self._find_tail()
            self._tail = None
            entry = self._signed(kind, facts, tail, nonce)
            if await _created(self._log, name_of(entry.sequence), entry.data):
                self._tail = _Tail(entry.sequence, entry.hash, tail.key)
                await self._cast(entry, tail.key)
                return entry
        raise Conflict(f"{self._log.address}: other writers were faster each time")

    async def last(self) -> AuditEntry | None:
        """The last entry there is now, or None. Raises :class:`~keepstep.errors.Corrupt` when it is not this
        log's."""
        stored = await _last_of(self._log)
        return await self._read(stored) if stored else None

    async def _find_tail(self) -> _Tail:
        entry = await self.last()
        # Asked after the entry was read: whoever wrote it used this key or an earlier one.
        key = await self._keyring.current()
        if entry is None:
            return _Tail(0, GENESIS, key)
        signer = key if entry.key == key.id else await self._keyring.get(entry.key)
        if signer and not is_signed_by(entry, signer):
            name = self._log.address.of(name_of(entry.sequence))
            raise Corrupt(f"{name} was changed: its signature does not match", hint=_HINT)
        return _Tail(entry.sequence, entry.hash, key, signer if entry.key != key.id else None)

    async def _read(self, stored: Entry) -> AuditEntry:
        address = self._log.address.of(stored.key)
        try:
            entry = read(await fetch(self._log, stored))
        except Corrupt as exc:
            raise Corrupt(f"{address}: {exc}", hint=_HINT) from exc
        if (entry.chain, entry.sequence) != (self._chain, sequence_of(stored.key)):
            raise Corrupt(f"{address} holds entry {entry.sequence} of {entry.chain}", hint=_HINT)
        return entry

    def _signed(self, kind: str, facts: Mapping[str, Any], tail: _Tail, nonce: str) -> AuditEntry:
        entry = AuditEntry(
            chain=self._chain,
            sequence=tail.sequence + 1,
            previous=tail.hash,
            time=self._clock.now(),
            kind=kind,
            facts=facts if self._anchor is None else {**facts, ANCHOR: str(self._anchor.address)},
            nonce=nonce,
            key=tail.key.id,
        )
        signed = sign(entry, tail.key, tail.former)
        if len(signed.data) > LIMIT:
            raise ValueError(f"an audit entry has {LIMIT} bytes at most")
        return signed

    async def _cast(self, entry: AuditEntry, key: AuditKey) -> None:
        """The anchor is an entry too: of the same chain and number, with the hash of the one that it holds."""
        if self._anchor is None:
            return
        name = name_of(entry.sequence)
        anchor = sign(replace(entry, previous=entry.hash, kind="anchor", facts={}, former=""), key)
        try:
            if not await _created(self._anchor, name, anchor.data):
                self._warn(f"{self._anchor.address.of(name)} is there already, and is not this entry's anchor")
        except Error as exc:
            self._warn(f"the audit log's anchor could not be cast: {exc}")


async def fetch(store: Store, stored: Entry) -> bytes:
    """All of an object. Raises :class:`Corrupt` for one that is larger than an entry can be."""
    source = await store.open(stored, LIMIT)
    try:
        if source.size > LIMIT:
            raise Corrupt(f"{store.address.of(stored.key)} is larger than an entry can be")
        return bytes(source.first)
    finally:
        await source.close()


async def _created(store: Appendable, name: str, data: bytes) -> bool:
    """Whether the object with this name is the entry put here; the answer to an earlier try may have been lost."""
    try:
        await store.create(name, data, "application/json")
        return True
    except Conflict:
        with suppress(NotFound, Corrupt):
            return await fetch(store, Entry(name, len(data), 0)) == data
        return False


async def _last_of(store: Store) -> Entry | None:
    last = None
    async for page in store.list():
        for number, key in enumerate(page.keys):
            if sequence_of(key) is not None:
                last = page.entry(number)
    return last
