"""Whether two objects of the same size hold the same, found out as cheaply as it can be.

Where the listings do not tell (:mod:`keepstep.objects.plan`), in this order:

1. what an earlier run has found of the same two states stands in the journal;
2. a file is read and compared with the other side's ETag or digest: with its MD5, or, where that object came in
   parts, with the MD5s of parts of every usual size;
3. one request (HeadObject) shows whether an ETag is an MD5, and the checksums that were stored: what both sides
   know decides, or what one side knows and the other is read for;
4. both are read.

Files are read before objects. What was found equal is noted, and so are the MD5s of files.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping

from keepstep.errors import ConfigError, Conflict, Denied, NotFound
from keepstep.objects.account import Observer
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.objects.checksums_read import read_through
from keepstep.objects.journal import SyncJournal
from keepstep.objects.plan import Proved, Reason, SyncDecision, have_same_digests, is_digest
from keepstep.stores.checksums import ALGORITHMS, Hasher, PartsDigest, hasher, part_sizes, text_of
from keepstep.stores.interface import Entry, Page, Store

_ALGORITHMS = ("MD5", *ALGORITHMS)


class Comparison:
    """Compares the contents of objects of two stores."""

    def __init__(
        self,
        source: Store,
        target: Store,
        budget: Budget,
        observer: Observer,
        *,
        bandwidth: Bandwidth | None = None,
        journal: SyncJournal | None = None,
        part_size_for: Callable[[int], int],
    ) -> None:
        """``part_size_for`` gives the part size that keepstep would have used for an object of so many bytes."""
        self.budget = budget
        self.observer = observer
        self.bandwidth = bandwidth
        self.journal = journal
        self.part_size_for = part_size_for
        self._source = source
        self._target = target

    def proved(self, source: Page, target: Page) -> Proved:
        """What earlier runs have found of a block, where its listings alone do not tell."""
        if self.journal is None or not source or not target:
            return {}
        if source.keys == target.keys and have_same_digests(source, target):
            return {}
        return self.journal.proved(source.keys[0], source.keys[-1])

    async def settled(self, decision: SyncDecision) -> SyncDecision:
        """The decision, ``contents unknown`` no more. Raises what the stores raise when they are away."""
        assert decision.source and decision.target
        try:
            is_equal = await self.are_equal(decision.source, decision.target)
        except (Conflict, NotFound, Denied):
            return decision._replace(reason=Reason.CONTENTS_UNREADABLE)
        return decision._replace(reason=Reason.SAME_CONTENTS if is_equal else Reason.CONTENTS_DIFFER)

    async def are_equal(self, source: Entry, target: Entry) -> bool:
        """Raises :class:`Conflict` when one of them has changed since it was listed, and what the stores raise."""
        ours, theirs = _Object(self, self._source, source), _Object(self, self._target, target)
        is_equal = await _may_match(ours, theirs) or await _match(ours, theirs)
        if is_equal and self.journal:
            self.journal.note_equal(source.key, source.tag, target.tag)
        return is_equal


class _Object:
    """One object, and what is known of its contents so far."""

    def __init__(self, comparison: Comparison, store: Store, entry: Entry) -> None:
        self.entry = entry
        self.is_file = store.address.kind == "local"
        self.known: dict[str, str] = {}
        """Checksums as stores write them, by algorithm."""
        self._comparison = comparison
        self._store = store
        if self.is_file and comparison.journal and (md5 := comparison.journal.digest_of(entry.etag)):
            self.known["MD5"] = md5

    async def ask(self) -> None:
        """Learns what the store knows."""
        self.known |= await self._store.checksums(self.entry)

    async def checksum(self, algorithm: str) -> str:
        """Reads the object where that is not known."""
        if algorithm not in self.known:
            running = hasher(algorithm)
            await self._read(running)
            self._learn(algorithm, running)
        return self.known[algorithm]

    async def has_tag(self, tag: str) -> bool:
        """Whether an ETag or digest like this one is that of these contents. False when that is not certain."""
        md5, _, count = tag.partition("-")
        if not count:
            return await self.checksum("MD5") == b64encode(bytes.fromhex(md5)).decode()
        ours = self._comparison.part_size_for(self.entry.size)
        parts = [PartsDigest(size) for size in part_sizes(self.entry.size, int(count), ours)]
        if parts:
            await self._read(*parts)
        return any(each.digest().hex() == md5 for each in parts)

    async def _read(self, *hashers: Hasher) -> None:
        common = self._comparison
        await read_through(self._store, self.entry, hashers, common.budget, common.observer, common.bandwidth)

    def _learn(self, algorithm: str, running: Hasher) -> None:
        self.known[algorithm] = text_of(running)
        if self._comparison.journal and self.is_file and algorithm == "MD5":
            self._comparison.journal.note_digest(self.entry.etag, self.known[algorithm])


async def _may_match(ours: _Object, theirs: _Object) -> bool:
    """Compares a file with what the listing says of the other side; False when that proves nothing."""
    for one, other in ((ours, theirs), (theirs, ours)):
        if one.is_file and is_digest(other.entry.tag):
            return await one.has_tag(other.entry.tag)
    return False


async def _match(ours: _Object, theirs: _Object) -> bool:
    await ours.ask()
    await theirs.ask()
    algorithm = _algorithm_for(ours, theirs)
    return await ours.checksum(algorithm) == await theirs.checksum(algorithm)


def _algorithm_for(ours: _Object, theirs: _Object) -> str:
    """One for which the least has to be read."""
    for name in _ALGORITHMS:
        if name in ours.known and name in theirs.known:
            return name
    of_objects: Mapping[str, str] = theirs.known if ours.is_file else ours.known if theirs.is_file else {}
    for known in (of_objects, ours.known, theirs.known):
        for name in _ALGORITHMS:
            if name in known and _can_compute(name):
                return name
    return "MD5"


def _can_compute(algorithm: str) -> bool:
    try:
        hasher(algorithm)
    except ConfigError:
        return False
    return True
