"""When each file was last found to be what its vault holds: the age of a file whose vault is away."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FORMAT = 1
_LEEWAY = timedelta(minutes=5)
"""By how much clocks may differ, for instance that of a file server from ours."""


class Ages:
    """Kept as JSON in ``path``, by file; without a path nothing is kept. What cannot be read is started again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._confirmed = _load(path) if path else {}
        self._is_new = False

    def confirm(self, path: str, now: datetime) -> None:
        self._confirmed[path] = now.isoformat(timespec="seconds")
        self._is_new = True

    def confirmed(self, path: str, now: datetime) -> datetime | None:
        """When the file was last in step: as it was noted, or when it was written where nothing was noted.

        None when it is not there, or when the time lies in the future and so tells nothing.
        """
        try:
            written = os.lstat(path).st_mtime
        except OSError:
            return None
        noted = self._confirmed.get(path)
        try:
            time = datetime.fromisoformat(noted) if noted else datetime.fromtimestamp(written, UTC)
        except (OverflowError, ValueError, OSError):
            return None
        return time if time <= now + _LEEWAY else None

    def save(self) -> None:
        """Whole or not at all. That it cannot be written harms nobody: ages then seem higher than they are."""
        if not self._path or not self._is_new:
            return
        self._is_new = False
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            try:
                new.write_text(json.dumps({"version": _FORMAT, "confirmed": self._confirmed}))
                os.replace(new, self._path)
            finally:
                new.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text())
        return {str(name): datetime.fromisoformat(at).isoformat() for name, at in document["confirmed"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def in_words(age: timedelta) -> str:
    """``3 h``, ``2 days``: as people say it."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
