"""Describes in words what a run did."""

from __future__ import annotations

from keepstep.runs.run import Run
from keepstep.units import size_in_words

_MOVED = ("upload", "download", "copy")


def achievement(run: Run) -> str:
    """What a run did, or its progress; empty if there is nothing to say."""
    if run.is_open:
        progress = run.progress or {}
        return f"{progress.get('done', 0):,} of {progress['planned']:,} objects" if progress.get("planned") else ""
    words = {
        "transferred": sum(run.counts.get(word, 0) for word in _MOVED),
        "updated": run.counts.get("update", 0),
        "deleted": run.counts.get("delete", 0),
        "rotated": run.counts.get("rotate", 0),
        "failed": run.counts.get("failed", 0),
    }
    said = ", ".join(f"{count:,} {word}" for word, count in words.items() if count)
    return f"{said} ({size_in_words(run.bytes)})" if run.bytes else said
