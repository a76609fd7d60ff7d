"""Which keys are in scope: ``--exclude`` and ``--include``, with the AWS CLI's meaning.

Everything starts included; rules apply in the order of the command line and the last that matches decides.
Patterns are Python's ``fnmatch`` on the key relative to the folder, so ``*`` crosses ``/`` and ``foo`` does not
match ``foo/x``. Case counts.
(awscli/customizations/s3/filters.py; https://docs.aws.amazon.com/cli/latest/reference/s3/, "Use of Exclude and
Include Filters".)

Here a pattern never sees more than the key. The AWS CLI puts the folder's own path before both, of source and
target alike, from which it follows that there, and not here, a pattern that starts with ``/`` can match (one that
spells out a local folder's whole path), ``*``, ``?`` and ``[`` in a folder's name act as wildcards, and a pattern
for one folder also works in the other when that lies inside it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from keepstep.stores.interface import Page

_WILDCARD = re.compile(r"[*?[]")


class Rule(NamedTuple):
    """One ``--include`` or ``--exclude``."""

    is_include: bool
    pattern: str

    def __str__(self) -> str:
        return f"--{'include' if self.is_include else 'exclude'} {self.pattern!r}"


class Filters:
    """Rules in the order in which they were given; without rules everything is in scope.

    Zero-byte keys that end in ``/`` are folder markers of consoles, and so is the folder's own, empty key: they
    are never in scope.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        # The last match decides, so the last rule is asked first.
        self._matchers = [(re.compile(fnmatch.translate(r.pattern)).match, r) for r in reversed(self.rules)]

    def rule_for(self, key: str) -> Rule | None:
        """The rule that decides about this key; None when none matches, which includes it."""
        for matches, rule in self._matchers:
            if matches(key):
                return rule
        return None

    def includes(self, key: str) -> bool:
        rule = self.rule_for(key)
        return rule is None or rule.is_include

    def may_reach(self, prefix: str) -> bool:
        """False when no key that starts with ``prefix`` can be in scope; True also when that is uncertain."""
        for matches, rule in self._matchers:
            if rule.is_include:
                literal = _WILDCARD.split(rule.pattern, maxsplit=1)[0]
                if literal.startswith(prefix) or prefix.startswith(literal):
                    return True
            elif rule.pattern.endswith("*") and matches(prefix):
                return False
        return True

    def select(self, page: Page) -> Page:
        """The part of the page that is in scope."""
        keep: list[bool] | None = None
        if self._matchers:
            keep = [self.includes(key) for key in page.keys]
        sizes = page.sizes
        markers = [n for n, key in enumerate(page.keys) if not sizes[n] and _is_marker(key)] if 0 in sizes else []
        if markers:
            keep = keep or [True] * len(page)
            for index in markers:
                keep[index] = False
        return page if keep is None or all(keep) else _compress(page, keep)


def _is_marker(key: str) -> bool:
    return not key or key.endswith("/")


def _compress(page: Page, keep: Sequence[bool]) -> Page:
    positions = compress(range(len(page)), keep)
    return Page(
        keys=list(compress(page.keys, keep)),
        sizes=list(compress(page.sizes, keep)),
        times=list(compress(page.times, keep)),
        etags=list(compress(page.etags, keep)),
        unfit={n: page.unfit[old] for n, old in enumerate(positions) if old in page.unfit},
        digests=list(compress(page.digests, keep)),
    )
