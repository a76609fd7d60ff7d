"""What to do about each key: decided here, done elsewhere. No network, no clock, no file.

The rule of ``aws s3 sync`` (awscli/customizations/s3/syncstrategy/), for a key in scope:

====================  =============================  ==========================================================
the key is            and                            then
====================  =============================  ==========================================================
only at the source                                   transfer: ``only at the source``
only at the target    ``--delete``                   delete: ``only at the target``
only at the target    no ``--delete``                nothing: ``only at the target, and deleting is off``
at both               ``--no-overwrite``             nothing: ``at both, and overwriting is off``
at both               sizes differ, and              transfer: ``size differs``
                      ``--compare checksum``
at both               both empty, or of one MD5,     nothing: ``same contents``
                      or proved equal earlier, and
                      ``--compare checksum``
at both               MD5s that are certain differ,  transfer: ``contents differ``
                      and ``--compare checksum``
at both               ``--compare checksum``         look at them (:mod:`keepstep.objects.checksums`), then one
                                                     of these: ``same contents``, ``contents differ``,
                                                     ``contents cannot be compared`` (transfer)
at both               ``--exact-timestamps``,        transfer when size or time differ: ``size differs``,
                      download                       ``times differ``; else nothing: ``same size and time``
at both               sizes differ                   transfer: ``size differs``
at both               ``--size-only`` without        nothing: ``same size``
                      ``--exact-timestamps``
at both, upload/copy  the source is strictly newer   transfer: ``source is newer``
at both, download     the target is strictly newer   transfer: ``local file is newer``
at both, download     the source is strictly newer   nothing: ``same size; the source is newer, which a download
                                                     does not look at``
at both               otherwise                      nothing: ``same size, not newer``
====================  =============================  ==========================================================

An ETag may be an MD5 or not, without a listing telling which (encryption by KMS makes it none): two that are alike
and look like an MD5 prove that the contents are the same; two that differ prove nothing.

A key whose state at one side is unknown (its prefix cannot be read) is left alone: what could not be seen at
the target is not overwritten, and what could not be seen at the source is not taken for deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import le
from typing import NamedTuple

from keepstep.stores.interface import Entry, Page

Proved = Mapping[str, tuple[str, str]]
"""By key: the tags of two objects that are known to be equal, at the source and at the target."""

_DIGEST = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?\Z")
_DIGESTS = re.compile(r"(?:[0-9a-f]{32}(?:-[0-9]+)?\n)*\Z")


class Direction(Enum):
    """The word for a transfer, as the AWS CLI prints it."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    COPY = "copy"


class Reason(Enum):
    """The rule that fired."""

    SOURCE_ONLY = "only at the source"
    TARGET_ONLY = "only at the target"
    TARGET_ONLY_KEPT = "only at the target, and deleting is off"
    NO_OVERWRITE = "at both, and overwriting is off"
    SIZE_DIFFERS = "size differs"
    TIMES_DIFFER = "times differ"
    SOURCE_NEWER = "source is newer"
    LOCAL_NEWER = "local file is newer"
    SAME_SIZE = "same size"
    SAME_SIZE_AND_TIME = "same size and time"
    SOURCE_NEWER_IGNORED = "same size; the source is newer, which a download does not look at"
    NOT_NEWER = "same size, not newer"
    SAME_CONTENTS = "same contents"
    CONTENTS_DIFFER = "contents differ"
    CONTENTS_UNKNOWN = "same size, contents not compared yet"
    CONTENTS_UNREADABLE = "same size, contents cannot be compared"
    UNKNOWN_AT_SOURCE = "unknown: its folder at the source cannot be read"
    UNKNOWN_AT_TARGET = "unknown: its folder at the target cannot be read"


TRANSFERS = frozenset(
    {
        Reason.SOURCE_ONLY,
        Reason.SIZE_DIFFERS,
        Reason.TIMES_DIFFER,
        Reason.SOURCE_NEWER,
        Reason.LOCAL_NEWER,
        Reason.CONTENTS_DIFFER,
        Reason.CONTENTS_UNREADABLE,
    }
)
"""The reasons that move an object; the others leave things as they are, but for ``TARGET_ONLY``, which deletes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How two objects of one key are compared."""

    direction: Direction
    delete: bool = False
    size_only: bool = False
    exact_timestamps: bool = False
    no_overwrite: bool = False
    contents: bool = False
    """``--compare checksum``: contents decide, times play no role."""

    @property
    def ignores_time(self) -> bool:
        """``--exact-timestamps`` wins over ``--size-only``, also where it then has no other effect."""
        return self.size_only and not self.exact_timestamps


class SyncDecision(NamedTuple):
    """One key, and what is to become of it."""

    reason: Reason
    source: Entry | None
    target: Entry | None


@dataclass(slots=True)
class BlockPlan:
    """The decisions for one interval of keys, those that change something; and how many keys were compared."""

    transfers: list[SyncDecision] = field(default_factory=list)
    unknown: list[SyncDecision] = field(default_factory=list)
    """Contents that have to be looked at."""
    deletes: list[Entry] = field(default_factory=list)
    idle: list[SyncDecision] = field(default_factory=list)
    """Keys that stay as they are; filled on request only."""
    source_keys: int = 0
    target_keys: int = 0
    unknown_at_source: int = 0
    """Keys at the target about which the source does not tell."""
    unknown_at_target: int = 0
    """Likewise, keys at the source: neither moved nor unchanged."""
    newer_ignored: int = 0
    """How many keys a download leaves alone although the source is newer."""

    @property
    def settled(self) -> int:
        """Keys at the source that are known to stay as they are."""
        return self.source_keys - len(self.transfers) - len(self.unknown) - self.unknown_at_target

    @property
    def hidden(self) -> int:
        """Keys of which one side is not known."""
        return self.unknown_at_source + self.unknown_at_target


def decide(rules: Rules, source: Entry | None, target: Entry | None) -> Reason:
    """One line of the table."""
    if target is None:
        return Reason.SOURCE_ONLY
    if source is None:
        return Reason.TARGET_ONLY if rules.delete else Reason.TARGET_ONLY_KEPT
    if rules.no_overwrite:
        return Reason.NO_OVERWRITE
    if source.size != target.size:
        return Reason.SIZE_DIFFERS
    if rules.contents:
        return _decide_contents(source, target)
    if rules.ignores_time:
        return Reason.SAME_SIZE
    if rules.direction is Direction.DOWNLOAD:
        return _decide_download(rules, source.time, target.time)
    return Reason.SOURCE_NEWER if source.time > target.time else Reason.NOT_NEWER


def is_digest(tag: str) -> bool:
    """Whether it looks like an MD5, of the contents or of parts."""
    return _DIGEST.match(tag) is not None


def have_same_digest(ours: str, theirs: str) -> bool:
    """Whether two tags prove that the contents are the same."""
    return ours == theirs and is_digest(ours)


def _decide_contents(source: Entry, target: Entry) -> Reason:
    if not source.size or have_same_digest(source.tag, target.tag):
        return Reason.SAME_CONTENTS
    are_whole = source.digest and target.digest and "-" not in source.digest + target.digest
    return Reason.CONTENTS_DIFFER if are_whole else Reason.CONTENTS_UNKNOWN


def _decide_download(rules: Rules, source_time: int, target_time: int) -> Reason:
    if rules.exact_timestamps:
        return Reason.SAME_SIZE_AND_TIME if source_time == target_time else Reason.TIMES_DIFFER
    if target_time > source_time:
        return Reason.LOCAL_NEWER
    return Reason.SOURCE_NEWER_IGNORED if source_time > target_time else Reason.NOT_NEWER


def plan_block(
    rules: Rules,
    source: Page,
    target: Page,
    *,
    unreadable_at_source: Sequence[str] = (),
    unreadable_at_target: Sequence[str] = (),
    proved: Proved | None = None,
    explain: bool = False,
) -> BlockPlan:
    """Decides a whole interval of keys, of which the two pages hold everything that is known.

    ``unreadable_at_source`` and ``unreadable_at_target`` are prefixes of which nothing is known on that side.
    ``proved`` decides where contents are compared. Blocks in which both sides hold the same keys and nothing has to
    be done, the usual case, cost no Python work per key.
    """
    proved = proved or {}
    plan = BlockPlan(source_keys=len(source), target_keys=len(target))
    if not explain and source.keys == target.keys and _is_idle(rules, source, target, proved):
        return plan
    positions = dict(zip(target.keys, range(len(target)), strict=True))
    hidden = tuple(unreadable_at_target)
    for index, key in enumerate(source.keys):
        position = positions.pop(key, None)
        theirs = None if position is None else target.entry(position)
        ours = source.entry(index)
        is_hidden = theirs is None and key.startswith(hidden)
        reason = Reason.UNKNOWN_AT_TARGET if is_hidden else decide(rules, ours, theirs)
        if reason is Reason.CONTENTS_UNKNOWN and theirs and proved.get(key) == (ours.tag, theirs.tag):
            reason = Reason.SAME_CONTENTS
        _file(plan, SyncDecision(reason, ours, theirs), explain=explain)
    hidden = tuple(unreadable_at_source)
    for key, position in positions.items():
        reason = Reason.UNKNOWN_AT_SOURCE if key.startswith(hidden) else decide(rules, None, target.entry(position))
        _file(plan, SyncDecision(reason, None, target.entry(position)), explain=explain)
    return plan


def _file(plan: BlockPlan, decision: SyncDecision, *, explain: bool) -> None:
    if decision.reason in TRANSFERS:
        plan.transfers.append(decision)
    elif decision.reason is Reason.CONTENTS_UNKNOWN:
        plan.unknown.append(decision)
    elif decision.reason is Reason.TARGET_ONLY and decision.target is not None:
        plan.deletes.append(decision.target)
    else:
        plan.unknown_at_source += decision.reason is Reason.UNKNOWN_AT_SOURCE
        plan.unknown_at_target += decision.reason is Reason.UNKNOWN_AT_TARGET
        plan.newer_ignored += decision.reason is Reason.SOURCE_NEWER_IGNORED
        if explain:
            plan.idle.append(decision)


def have_same_digests(source: Page, target: Page) -> bool:
    """Whether the tags of two pages of the same keys prove that all contents are the same."""
    tags = source.tags
    return tags == target.tags and _DIGESTS.match("\n".join([*tags, ""])) is not None


def _is_idle(rules: Rules, source: Page, target: Page, proved: Proved) -> bool:
    """True when, for the same keys at both sides, :func:`decide` would leave every one alone without a word."""
    if rules.no_overwrite:
        return True
    if source.sizes != target.sizes:
        return False
    if rules.contents:
        pairs = zip(source.tags, target.tags, strict=True)
        return have_same_digests(source, target) or proved == dict(zip(source.keys, pairs, strict=True))
    if rules.ignores_time:
        return True
    if rules.direction is Direction.DOWNLOAD:
        return source.times == target.times
    return all(map(le, source.times, target.times))
