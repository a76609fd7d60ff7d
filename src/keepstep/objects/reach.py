"""Which parts of a listing the filters can reach at all: only those are listed.

``--exclude '*' --include 'logs/*'`` lists ``logs/`` alone, ``--exclude 'tmp/*'`` passes ``tmp/`` over. The answer
may be too large, never too small: the filters still look at every key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from keepstep.objects.filters import Rule
from keepstep.stores.interface import EVERYTHING, Span

_WILDCARD = re.compile(r"[*?[]")
_LAST = "\U0010ffff"
_MOST = 32
"""Each span costs a request at least."""
NOWHERE = (Span("", ""),)
"""No key but the empty one: a listing of it still finds out whether there is a folder."""


def reach(rules: Iterable[Rule]) -> Sequence[Span]:
    """The spans that hold every key that the rules include, ordered and apart."""
    spans = list(EVERYTHING)
    for rule in rules:
        literal = _WILDCARD.split(rule.pattern, maxsplit=1)[0]
        if rule.is_include:
            spans = union([*spans, beginning_with(literal)])
        elif rule.pattern == literal + "*":
            spans = [part for span in spans for part in _without(span, literal)]
    if len(spans) > _MOST:
        spans = [Span(spans[0].after, spans[-1].until)]
    return spans or NOWHERE


def intersection(ours: Sequence[Span], theirs: Sequence[Span]) -> Sequence[Span]:
    """What lies in both."""
    both = [
        Span(_later(a.after, b.after), _lower(a.until, b.until))
        for a in ours
        for b in theirs
        if _reaches_behind(a.until, b.after) and _reaches_behind(b.until, a.after)
    ]
    return sorted(both, key=_start) or NOWHERE


def beginning_with(prefix: str) -> Span:
    """Every key that begins so, and few others."""
    return Span(before(prefix), _behind(prefix))


def _without(span: Span, prefix: str) -> list[Span]:
    """The span less the keys that begin so, but for a few."""
    if not prefix:
        return []
    left = Span(span.after, _lower(span.until, prefix))
    right = Span(_later(span.after, prefix + _LAST), span.until)
    return [part for part in (left, right) if not part.is_empty]


def union(spans: Sequence[Span]) -> list[Span]:
    """What lies in any of them, ordered and apart."""
    merged: list[Span] = []
    for span in sorted(spans, key=_start):
        if merged and _reaches(merged[-1].until, span.after):
            merged[-1] = Span(merged[-1].after, _higher(merged[-1].until, span.until))
        else:
            merged.append(span)
    return merged


def before(prefix: str) -> str | None:
    """Less than every key that begins so, but greater than most others that are; None where nothing is less."""
    if not prefix:
        return None
    code = ord(prefix[-1]) - 1
    if code < 0:
        return prefix[:-1]
    return prefix[:-1] + chr(0xD7FF if code == 0xDFFF else code) + _LAST


def _behind(prefix: str) -> str | None:
    """Not less than any key that begins so; None when nothing is."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return None
    code = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if code == 0xD800 else code)


def _start(span: Span) -> tuple[bool, str]:
    """Spans in order: those from the beginning come first."""
    return span.after is not None, span.after or ""


def _later(one: str | None, other: str | None) -> str | None:
    return max((start for start in (one, other) if start is not None), default=None)


def _lower(one: str | None, other: str | None) -> str | None:
    return min((end for end in (one, other) if end is not None), default=None)


def _higher(one: str | None, other: str | None) -> str | None:
    return None if one is None or other is None else max(one, other)


def _reaches(until: str | None, start: str | None) -> bool:
    return until is None or start is None or until >= start


def _reaches_behind(until: str | None, start: str | None) -> bool:
    return until is None or start is None or until > start
