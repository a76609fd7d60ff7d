"""Where a listing will probably be so many keys further on, judged by the keys it has shown.

A forecast is only a place to divide the work at: a wrong one costs a request, never a key. The characters that a
position may have are taken from the keys themselves, completed to the class they belong to (digits, hexadecimal,
letters), so numbers, dates, hashes and random names all forecast well.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_right

_CLASSES = (
    string.digits,
    string.digits + "abcdef",
    string.digits + "ABCDEF",
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_uppercase,
    string.digits + string.ascii_uppercase + string.ascii_lowercase,
)
_RUN = re.compile(r"[^\W_]+|[\W_]", re.DOTALL)
_DEPTH = 8
"""Characters behind the first difference that are looked at."""


def forecast(first: str, last: str, count: int, distance: int) -> str | None:
    """A string about ``distance`` keys after ``last``, when ``count`` keys reach from ``first`` to ``last``.

    Greater than ``last``; None where the keys give no clue, or their numbering ends before that.
    """
    start = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    if count < 2 or start >= len(last):
        return None
    window = last[start : start + _DEPTH]
    places = _places(first[start : start + _DEPTH], window)
    low, high = _value(first[start : start + _DEPTH], places), _value(window, places)
    goal = high + max(1, (high - low) * distance // (count - 1))
    # A carry reaches as far left as the numbering does.
    while goal >= _size(places) and start > 0 and last[start - 1] in places[0] and places[0].isalnum():
        start -= 1
        places.insert(0, places[0])
        goal += places[0].index(last[start]) * _size(places[1:])
    if goal >= _size(places):
        return None
    found = last[:start] + _text(goal, places)
    return found if found > last else None


def _places(first: str, last: str) -> list[str]:
    """For each character of ``last`` those that may stand in its place: punctuation stays what it is, and a run of
    letters and digits is all of one class."""
    places: list[str] = []
    for run in _RUN.finditer(last):
        text = run.group()
        if not text.isalnum():
            places += text
            continue
        beside = first[run.start() : run.end()]
        alphabet = _class_of({c for c in text + beside if c.isalnum()})
        places += [alphabet] * len(text)
    return places


def _class_of(characters: set[str]) -> str:
    """The smallest class that holds them all; themselves when there is none."""
    for candidate in _CLASSES:
        if characters <= set(candidate):
            return candidate
    return "".join(sorted(characters))


def _value(text: str, places: list[str]) -> int:
    """The text as a number whose digits are the places' characters; a stranger counts as the next lower one."""
    value = 0
    for position, alphabet in enumerate(places):
        character = text[position] if position < len(text) else ""
        value = value * len(alphabet) + max(0, bisect_right(alphabet, character) - 1)
    return value


def _size(places: list[str]) -> int:
    size = 1
    for alphabet in places:
        size *= len(alphabet)
    return size


def _text(value: int, places: list[str]) -> str:
    characters = []
    for alphabet in reversed(places):
        value, digit = divmod(value, len(alphabet))
        characters.append(alphabet[digit])
    return "".join(reversed(characters))
