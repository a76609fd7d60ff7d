"""Reads an audit log from its first entry to its last, and names every entry that is not as it was written.

| what was done to the log | what is found |
|---|---|
| an entry was edited | ``changed``: its signature does not match, or it is not an entry any more |
| entries were deleted, anywhere but at the end | ``missing``: their numbers |
| the last entries were cut off | ``missing``: the numbers that the anchor holds; without an anchor nothing |
| all entries were deleted | ``missing``: the numbers that the anchor holds; without an anchor nothing |
| entries were swapped, or one was copied to another number, or to another job's log | ``moved`` |
| an entry was put back that another one had replaced | ``replaced``: its follower, or the anchor, knows another |
| an object was inserted | ``stray`` when its key is none of a log's, otherwise as for edits |
| an entry was signed with a key of somebody else's | ``foreign``: the key has no version with its id |
| an entry was signed with a key that the log had left | ``foreign``: keys follow each other and never come back |
| an entry was signed with a key whose time was over | ``foreign``: the vault tells when the next key came |
| a change of keys was forged | ``foreign``: the key before did not sign it |
| an anchor was edited | ``anchor`` |
| the anchor was cut off, or is an empty one | ``unanchored``: an entry says that it is anchored, and is not |

A log whose last entry is of an older key than the vault's newest is **not certain**: its end may have been cut off
where the key changed. An anchor that holds the last entry makes it certain. A log of which the last entry alone is
missing in the anchor is not certain either: its writer may have been killed between the two, or the last anchor may
have been deleted. The next entry's anchor decides it, as that entry continues the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

from keepstep.audit.entry import GENESIS, AuditEntry, is_handed_over_by, is_signed_by, read
from keepstep.audit.keys import Keyring
from keepstep.audit.log import ANCHOR, fetch, sequence_of
from keepstep.errors import Corrupt
from keepstep.stores.interface import Entry, Store

_SKEW = timedelta(minutes=5)
"""By which a writer's clock may differ from the vault's, and an entry may be under way when the key changes."""
_AT_A_TIME = 32
"""Objects that are read at once."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a log."""

    sequence: int
    """The entry; 0 for an object that is none."""
    kind: str
    text: str


@dataclass(slots=True, kw_only=True)
class Verification:
    """What is known of a log after all of it was read."""

    chain: str
    address: str
    has_anchor: bool
    """An anchor was looked at; how far it reaches is ``anchored``."""
    anchored: int = 0
    """The highest entry that an anchor holds; 0 when none does."""
    claims: int = 0
    """The highest entry that says that it has an anchor."""
    claimed: str = ""
    """Where that is."""
    is_key_current: bool = True
    """The last entry is signed with the vault's newest key."""
    is_torn: bool = False
    """The last entry, and no other one, is missing in the anchor that it names."""
    entries: int = 0
    last: AuditEntry | None = None
    """The last one that is as it was written."""
    keys: list[str] = field(default_factory=list)
    """Ids of the keys that signed it, in their order."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_anchored(self) -> bool:
        """The anchor holds the last entry, so none is missing after it."""
        return bool(self.entries) and self.anchored >= self.entries

    @property
    def is_empty(self) -> bool:
        return not self.problems and not self.entries

    @property
    def is_certain(self) -> bool:
        """False where nothing is wrong with what is there, and the end may be missing all the same."""
        return not self.is_torn and (self.is_key_current or self.is_anchored)

    @property
    def is_intact(self) -> bool:
        return not self.problems and self.is_certain

    @property
    def words(self) -> str:
        """The verdict in one line."""
        count = f"{self.entries} entries" if self.entries != 1 else "1 entry"
        if self.problems:
            many = f"{len(self.problems)} problems" if len(self.problems) != 1 else "1 problem"
            return f"broken, {count}, {many}"
        if self.is_empty:
            return "empty: nothing has been rotated yet"
        if not self.is_certain:
            return f"not certain, {count}: nothing is wrong with them, and the end may be missing"
        return f"intact, {count}" + (", anchored" if self.is_anchored else "")

    @property
    def notes(self) -> list[str]:
        """What cannot be seen, and why."""
        if self.problems:
            return []
        notes = []
        if not self.is_key_current:
            notes.append("the key has changed since the last entry; the next rotation is the first to sign with it")
        if self.is_torn:
            text = f"entry {self.entries} is not in the anchor yet: its writer was ended before it could anchor it"
            notes.append(f"{text}, or that anchor was deleted; the next rotation anchors both")
        elif not self.is_certain:
            notes.append("until then it cannot be seen whether entries were cut off where the key changed")
        elif self.has_anchor and self.entries and not self.is_anchored:
            reach = f"ends at entry {self.anchored}" if self.anchored else "is empty"
            notes.append(f"not anchored: the anchor {reach}; the last entries may have been cut off unseen")
        elif not self.has_anchor:
            what = "entries were deleted" if self.is_empty else "the last entries were cut off"
            where = f"; the log says that its anchor is in {self.claimed}" if self.claimed else ""
            notes.append(f"without an anchor it cannot be seen whether {what}{where}")
        return notes

    def blame(self, sequence: int, kind: str, text: str) -> None:
        self.problems.append(Problem(sequence, kind, text))

    def is_blamed(self, sequence: int) -> bool:
        return any(problem.sequence == sequence for problem in self.problems)


async def verify(chain: str, log: Store, keyring: Keyring, anchor: Store | None = None) -> Verification:
    """Reads all of one job's log, and its anchor. Raises what stores and vaults raise: then nothing is known."""
    verdict = Verification(chain=chain, address=str(log.address), has_anchor=anchor is not None)
    stored = await _listed(log, verdict)
    verdict.entries = len(stored)
    good: dict[int, AuditEntry] = {}
    async for sequence, data in _contents(log, stored):
        if entry := await _checked(sequence, data, keyring, verdict):
            good[sequence] = verdict.last = entry
    _check_links(good, verdict)
    if anchor:
        verdict.anchored = await _check_anchors(anchor, good, keyring, verdict)
        _check_claims(max(stored, default=0), verdict)
    _check_gaps(stored, max(0, verdict.anchored, *stored), verdict)
    last = verdict.last
    verdict.is_key_current = last is None or last.key == keyring.newest
    verdict.problems.sort()
    return verdict


async def chains_in(store: Store) -> set[str]:
    """The jobs whose logs are beneath this folder, ``""`` for one whose entries are in the folder itself."""
    found: set[str] = set()
    async for page in store.list():
        for key in page.keys:
            chain, _, name = key.rpartition("/")
            if sequence_of(name) and "/" not in chain:
                found.add(chain)
    return found


async def _listed(store: Store, verdict: Verification) -> dict[int, Entry]:
    """The objects that are entries by their keys, in the order of their numbers; blames the others."""
    found: dict[int, Entry] = {}
    async for page in store.list():
        for number, key in enumerate(page.keys):
            if sequence := sequence_of(key):
                found[sequence] = page.entry(number)
            else:
                verdict.blame(
                    0, "stray", f"{store.address.of(key)} is not an entry, and keepstep did not put it there"
                )
    return found


async def _contents(store: Store, stored: Mapping[int, Entry]) -> AsyncIterator[tuple[int, bytes | Corrupt]]:
    items = list(stored.items())
    for start in range(0, len(items), _AT_A_TIME):
        batch = items[start : start + _AT_A_TIME]
        contents = await asyncio.gather(*(_content(store, entry) for _, entry in batch))
        for (sequence, _), data in zip(batch, contents, strict=True):
            yield sequence, data


async def _content(store: Store, entry: Entry) -> bytes | Corrupt:
    try:
        return await fetch(store, entry)
    except Corrupt as exc:
        return exc


async def _checked(
    sequence: int, data: bytes | Corrupt, keyring: Keyring, verdict: Verification
) -> AuditEntry | None:
    """The entry, when it is one of this log, with this number, signed with a key of its time."""
    entry = await _signed(sequence, data, "entry", keyring, verdict)
    if entry is None:
        return None
    if (entry.chain, entry.sequence) != (verdict.chain, sequence):
        whose = "" if entry.chain == verdict.chain else f" of {entry.chain}'s log"
        verdict.blame(sequence, "moved", f"in the place of entry {sequence} stands entry {entry.sequence}{whose}")
        return None
    if entry.key in verdict.keys[:-1]:
        verdict.blame(sequence, "foreign", f"entry {sequence} is signed with key {entry.key}, which had been left")
        return None
    if (ended := keyring.ended(entry.key)) and entry.time > ended + _SKEW:
        text = f"entry {sequence} of {entry.time:%Y-%m-%d %H:%M} UTC is signed with key {entry.key}"
        verdict.blame(sequence, "foreign", f"{text}, whose time was over at {ended:%Y-%m-%d %H:%M} UTC")
        return None
    if entry.key not in verdict.keys:
        former = await keyring.get(verdict.keys[-1]) if verdict.keys else None
        if former and not is_handed_over_by(entry, former):
            text = f"entry {sequence} changes the key to {entry.key}, and key {former.id} did not sign that"
            verdict.blame(sequence, "foreign", text)
            return None
        verdict.keys.append(entry.key)
    if isinstance(claimed := entry.facts.get(ANCHOR), str):
        verdict.claims, verdict.claimed = sequence, claimed
    return entry


async def _signed(
    sequence: int, data: bytes | Corrupt, noun: str, keyring: Keyring, verdict: Verification
) -> AuditEntry | None:
    """Entries signed with a key of this log, wherever they are."""
    changed, foreign = ("anchor", "anchor") if noun == "anchor" else ("changed", "foreign")
    try:
        if isinstance(data, Corrupt):
            raise data
        entry = read(data)
    except Corrupt as exc:
        verdict.blame(sequence, changed, f"{noun} {sequence} was changed: {exc}")
        return None
    key = await keyring.get(entry.key)
    if key is None:
        text = f"{noun} {sequence} is signed with key {entry.key}, which is not a version of {keyring.address}"
        verdict.blame(sequence, foreign, text)
        return None
    if not is_signed_by(entry, key):
        verdict.blame(sequence, changed, f"{noun} {sequence} was changed: its signature does not match")
        return None
    return entry


def _check_links(good: Mapping[int, AuditEntry], verdict: Verification) -> None:
    """Blames entries that their neighbours do not know; where one breaks two links, it alone."""
    if 1 in good and good[1].previous != GENESIS:
        verdict.blame(1, "replaced", "entry 1 is not the first one that was written")
    neighbours = [(one, other) for one, other in pairwise(good) if one + 1 == other]
    broken = {one for one, other in neighbours if good[other].previous != good[one].hash}
    for one in sorted(broken):
        if one + 1 in broken or verdict.is_blamed(one):
            continue
        verdict.blame(one, "replaced", f"entry {one} is not the one that entry {one + 1} continues")


async def _check_anchors(
    anchor: Store, good: Mapping[int, AuditEntry], keyring: Keyring, verdict: Verification
) -> int:
    """Blames entries that are not the anchored ones. The highest number that has an anchor, 0 when none has."""
    stored = await _listed(anchor, verdict)
    highest = 0
    async for sequence, data in _contents(anchor, stored):
        held = await _signed(sequence, data, "anchor", keyring, verdict)
        if held is None:
            continue
        if (held.chain, held.sequence, held.kind) != (verdict.chain, sequence, "anchor"):
            verdict.blame(sequence, "anchor", f"in the place of anchor {sequence} stands something else")
            continue
        highest = sequence
        if sequence in good and good[sequence].hash != held.previous and not verdict.is_blamed(sequence):
            verdict.blame(sequence, "replaced", f"entry {sequence} is not the one that the anchor holds")
    return highest


def _check_claims(end: int, verdict: Verification) -> None:
    """An anchor that was cut off, or another folder than the one that the log was anchored in.

    Entries are written before their anchors, so at the very end one anchor may be missing for another reason.
    """
    if verdict.claims > verdict.anchored and not verdict.is_blamed(verdict.claims):
        if verdict.claims == end == verdict.anchored + 1:
            verdict.is_torn = True
            return
        reach = f"the anchor ends at entry {verdict.anchored}" if verdict.anchored else "the anchor is empty"
        text = f"entry {verdict.claims} says that it is anchored in {verdict.claimed}, and {reach}"
        verdict.blame(verdict.claims, "unanchored", text)


def _check_gaps(stored: Mapping[int, Entry], end: int, verdict: Verification) -> None:
    first = 0
    for sequence in range(1, end + 2):
        is_there = sequence in stored or sequence > end
        if not is_there:
            first = first or sequence
        elif first:
            what = f"entry {first} is" if first == sequence - 1 else f"entries {first} to {sequence - 1} are"
            verdict.blame(first, "missing", f"{what} missing")
            first = 0
