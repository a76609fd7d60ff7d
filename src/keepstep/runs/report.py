"""The account of one run: what was done and why, what failed, and what to do about it.

Actions are kept in a file without a name once they are many, so that a report of a million actions needs no more
memory than one of ten.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TextIO

from keepstep.errors import Error, ExitCode

_IN_MEMORY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Action:
    """One object, and what was done about it (under ``--dryrun``: what would be)."""

    action: str
    """``upload``, ``download``, ``copy``, ``delete`` or ``skip``."""
    source: str | None
    """Address; None for a delete."""
    target: str | None
    size: int | None
    """Bytes."""
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was not done, why, and what to do next."""

    action: str
    """An action's word, ``list`` for a listing, ``guard`` for deletes withheld, ``run`` for the run itself."""
    source: str | None
    target: str | None
    error: str
    hint: str | None

    @classmethod
    def of(cls, action: str, error: Error, *, source: str | None = None, target: str | None = None) -> Failure:
        return cls(action, source, target, error.message, error.hint)


class ActionLog:
    """Actions in the order in which they were done; on disk, unlinked, once they are many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, mode="w+", encoding="utf-8")  # noqa: SIM115

    def add(self, action: Action) -> None:
        json.dump(asdict(action), self._file)
        self._file.write("\n")

    def __iter__(self) -> Iterator[str]:
        """Each action as one line of JSON."""
        self._file.seek(0)
        for line in self._file:
            yield line.rstrip("\n")


@dataclass(slots=True)
class Report:
    """One run of one job."""

    kind: str
    source: str
    target: str
    started: datetime
    is_dryrun: bool = False
    finished: datetime | None = None
    exit_code: ExitCode = ExitCode.DONE
    counts: Counter[str] = field(default_factory=Counter)
    """By action word, and ``failed``, ``unchanged``, ``source_keys``, ``target_keys``, ``warnings``."""
    bytes: int = 0
    """Bytes that reached the target."""
    requests: Counter[str] = field(default_factory=Counter)
    """What was asked of the stores, by side and operation: the part that is billed."""
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    actions: ActionLog | None = None
    """None when nobody asked for them."""

    def fail(self, failure: Failure) -> None:
        self.counts["failed"] += 1
        self.failures.append(failure)

    def warn(self, text: str) -> None:
        self.counts["warnings"] += 1
        self.warnings.append(text)

    def write_json(self, out: TextIO) -> None:
        """Writes one JSON document, actions streamed."""
        head: dict[str, Any] = {
            "version": 1,
            "kind": self.kind,
            "source": self.source,
            "target": self.target,
            "dryrun": self.is_dryrun,
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat() if self.finished else None,
            "exit_code": int(self.exit_code),
            "outcome": self.exit_code.name.lower(),
            "counts": dict(self.counts),
            "bytes": self.bytes,
            "requests": dict(self.requests),
            "warnings": self.warnings,
            "failures": [asdict(failure) for failure in self.failures],
        }
        out.write(json.dumps(head)[:-1] + ', "actions": [')
        for number, line in enumerate(self.actions or ()):
            out.write(("," if number else "") + "\n" + line)
        out.write("]}\n")
