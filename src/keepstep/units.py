"""Durations, sizes and counts as people write and read them."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


LONGEST = timedelta(days=3660)
"""Ten years. Anything longer is a mistake, and calendars end."""


def parse_duration(text: str) -> timedelta:
    """Parses ``90s``, ``5m``, ``1h30m``, ``7d``. Raises ``ValueError``."""
    parts = _PART.findall(text) if len(text) < 100 else []
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ValueError(f"{text[:100]!r} is not a duration; write it as 90s, 5m, 1h30m or 7d")
    return bounded(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def bounded(seconds: float) -> timedelta:
    """Converts seconds. Raises ``ValueError`` for a negative duration, or one longer than ten years."""
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise ValueError("a duration must be between 0s and 3660d")
    return timedelta(seconds=seconds)


def in_words(duration: timedelta) -> str:
    """The two largest units: ``3d 4h``, ``12m 5s``; at least ``0s``."""
    left = max(0, round(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append((unit, f"{count}{unit}"))
    kept = parts[:2]
    if len(kept) == 2 and "dhms".index(kept[1][0]) - "dhms".index(kept[0][0]) > 1:
        kept = kept[:1]
    return " ".join(text for _, text in kept) or "0s"


LARGEST = 2**50
"""Bytes. Anything larger is a mistake."""


def parse_size(text: str) -> int:
    """Parses bytes: ``512MiB``, ``2GiB``, ``1048576``. Raises ``ValueError``."""
    found = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB)?", text)
    if not found:
        raise ValueError(f"{text[:100]!r} is not a size; write it as 512MiB or 2GiB")
    size = int(found[1][:20]) * {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[found[2] or ""]
    if len(found[1]) > 20 or size > LARGEST:
        raise ValueError("a size is at most 1048576GiB")
    return size


def size_in_words(count: int) -> str:
    """Formats bytes, in powers of 1024."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 object``, ``2,000 objects``; ``plural`` is for nouns that do not just add an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
