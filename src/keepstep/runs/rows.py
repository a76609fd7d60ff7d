"""Converts runs to rows of the state and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from keepstep.runs.run import Run

COLUMNS = (
    "id, job, kind, host, cause, due, queued, started, seen, finished, outcome, exit_code, source, target, bytes,"
    " price, counts, requests, progress"
)
_TIMES = ("due", "queued", "started", "seen", "finished")


def values_of(run: Run) -> dict[str, Any]:
    """The values of a run, by column."""
    values = {name: _storable(getattr(run, name)) for name in COLUMNS.split(", ")}
    values |= {name: values[name] and values[name].timestamp() for name in _TIMES}
    values |= {name: json.dumps(values[name]) for name in ("counts", "requests")}
    values["progress"] = json.dumps(run.progress) if run.progress else None
    return values


def run_of(row: tuple[Any, ...]) -> Run:
    """Creates a run from the values of ``COLUMNS``."""
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    values |= {name: moment_or_none(values[name]) for name in _TIMES}
    values |= {name: json.loads(values[name]) for name in ("counts", "requests")}
    values["progress"] = json.loads(values["progress"]) if values["progress"] else None
    return Run(**values)


def _storable(value: Any) -> Any:
    """Escapes lone surrogates and, for PostgreSQL, NUL, which addresses chosen by others may contain."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def quoted(words: Iterable[str]) -> str:
    """Quotes fixed words for SQL."""
    return ", ".join(f"'{word}'" for word in words)
