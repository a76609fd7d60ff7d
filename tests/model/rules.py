"""The documented rules of a sync, as plainly as they can be said: sets of keys, no listings, no order.

This is what ``docs/sync.md`` and the table in :mod:`keepstep.objects.plan` promise, written down a second time.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Thing:
    """An object: its contents, and when it was written, in microseconds."""

    data: bytes
    time: int


Side = Mapping[str, Thing]
"""Objects by key relative to the synced folder; the folder's own name is the empty key."""


@dataclass
class Asked:
    """What the user asked for."""

    delete: bool = False
    size_only: bool = False
    no_overwrite: bool = False
    filters: tuple[tuple[bool, str], ...] = ()
    """Whether it is an include, and the pattern."""
    allow_empty_source: bool = False
    max_delete: int | None = None
    """Objects; None: half of the target's."""


@dataclass
class Outcome:
    """What has to be at the target afterwards, and what the run has to say."""

    target: dict[str, bytes]
    copied: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    skipped: int = 0
    code: int = 0


def outcome(
    source: Side,
    target: Side,
    asked: Asked,
    *,
    unrepresentable_names: int = 0,
    unholdable: frozenset[str] = frozenset(),
    spared: frozenset[str] = frozenset(),
) -> Outcome:
    """What a sync has to do.

    ``unrepresentable_names``: how many names in scope cannot be keys and must be reported. ``unholdable``: keys
    that the target cannot hold. ``spared``: keys of the target that may be copies of unrepresentable names.
    """
    ours, theirs = _in_scope(source, asked), _in_scope(target, asked)
    result = Outcome({key: thing.data for key, thing in target.items()}, skipped=unrepresentable_names)
    for key in ours:
        if key not in theirs or _is_stale(source[key], target[key], asked):
            if key in unholdable:
                result.skipped += 1
            else:
                result.copied.add(key)
                result.target[key] = source[key].data
    doomed = theirs - ours if asked.delete else set()
    result.code = 2 if result.skipped else 0
    is_empty = not ours
    is_unmeant = is_empty and not asked.allow_empty_source
    if doomed and (is_unmeant or not _is_within_cap(len(doomed), len(theirs), asked, is_empty=is_empty)):
        result.code = 4
    else:
        result.deleted = doomed - spared
        for key in result.deleted:
            del result.target[key]
    return result


def _in_scope(side: Side, asked: Asked) -> set[str]:
    """Without the markers of consoles: zero-byte objects that are named like folders."""
    return {key for key, thing in side.items() if not _is_marker(key, thing) and _is_included(key, asked)}


def _is_marker(key: str, thing: Thing) -> bool:
    return not thing.data and (not key or key.endswith("/"))


def _is_included(key: str, asked: Asked) -> bool:
    verdict = True
    for is_include, pattern in asked.filters:
        if fnmatch.fnmatchcase(key, pattern):
            verdict = is_include
    return verdict


def _is_stale(source: Thing, target: Thing, asked: Asked) -> bool:
    if asked.no_overwrite:
        return False
    if len(source.data) != len(target.data):
        return True
    return not asked.size_only and source.time > target.time


def _is_within_cap(deletes: int, there: int, asked: Asked, *, is_empty: bool) -> bool:
    if asked.max_delete is not None:
        return deletes <= asked.max_delete
    return is_empty or 2 * deletes <= there
