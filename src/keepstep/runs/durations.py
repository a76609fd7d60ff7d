"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> timedelta:
    """``90s``, ``5m``, ``1h30m``, ``7d``. Raises ``ValueError``."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ValueError(f"{text!r} is no duration; write it as 90s, 5m, 1h30m or 7d")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def in_words(duration: timedelta) -> str:
    """The two largest units: ``3d 4h``, ``12m 5s``; ``0s`` at the least."""
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
