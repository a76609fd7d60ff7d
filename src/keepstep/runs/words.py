"""Runs and sizes for people."""

from __future__ import annotations

from keepstep.runs.run import Run

_MOVED = ("upload", "download", "copy")


def achievement(run: Run) -> str:
    """What a run achieved, or how far it is; empty when there is nothing to say."""
    if run.is_open:
        progress = run.progress or {}
        return f"{progress.get('done', 0):,} of {progress['planned']:,} objects" if progress.get("planned") else ""
    words = {
        "moved": sum(run.counts.get(word, 0) for word in _MOVED),
        "updated": run.counts.get("update", 0),
        "deleted": run.counts.get("delete", 0),
        "rotated": run.counts.get("rotate", 0),
        "failed": run.counts.get("failed", 0),
    }
    said = ", ".join(f"{count:,} {word}" for word, count in words.items() if count)
    return f"{said} ({size_in_words(run.bytes)})" if run.bytes else said


def size_in_words(count: int) -> str:
    """Bytes, in powers of 1024."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
