"""The report of one run: what was done and why, what failed, and what to do about it.

A report of a million actions needs no more memory than one of ten.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TextIO

from keepstep.errors import Error, ExitCode
from keepstep.runs.records import Records


class Action(NamedTuple):
    """One object or secret, and what was done about it (under ``--dryrun``: what would be)."""

    action: str
    """``upload``, ``download``, ``copy``, ``delete`` or ``skip``; of a verification ``different`` or ``skip``; of
    secrets ``update``, ``keep`` or ``notify``."""
    source: str | None
    """Address; None for a delete."""
    target: str | None
    size: int | None
    """Bytes; None for secrets, whose length must not be disclosed."""
    reason: str


class Failure(NamedTuple):
    """Something that failed, why, and what to do next."""

    action: str
    """An action's word, ``compare`` for contents, ``list`` for a listing, ``guard`` for deletes withheld, ``run``
    for the run itself.

    For secrets: ``map`` for an invalid line or table, ``fetch`` for the vault, ``update`` for the file.
    """
    source: str | None
    target: str | None
    error: str
    hint: str | None

    @classmethod
    def of(cls, action: str, error: Error, *, source: str | None = None, target: str | None = None) -> Failure:
        return cls(action, source, target, error.message, error.hint)


class Concern(NamedTuple):
    """A problem that a run found although the run itself succeeded."""

    name: str
    """``pending`` (an unfinished rotation), ``oracle-window`` (half of an old password's lifetime has passed),
    ``oci-quota`` (when OCI's versions run out), ``audit`` (the chain is broken)."""
    since: datetime
    text: str
    """The problem, in one line."""
    means: str
    hint: str
    command: str = ""


def action_log() -> Records[Action]:
    return Records(Action._asdict, lambda fields: Action(**fields))


def _failure_log() -> Records[Failure]:
    return Records(Failure._asdict, lambda fields: Failure(**fields))


def _text_log() -> Records[str]:
    return Records(str, str)


_COUNTED = {
    "sync": ("upload", "download", "copy", "delete", "skip", "failed", "unchanged", "warnings"),
    "verify": ("equal", "different", "source_only", "target_only", "skip", "failed", "warnings"),
    "secrets": ("update", "unchanged", "notify", "stale", "failed", "warnings"),
    "rotate": ("rotate", "step", "failed", "warnings"),
}
"""What a report of each kind always counts, even if zero."""


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
    """By action word, and ``failed``, ``unchanged``, ``warnings``; ``source_keys``, ``target_keys``; ``stale``;
    ``unknown``: keys whose other side cannot be read."""
    bytes: int = 0
    """Bytes that reached the target."""
    requests: Counter[str] = field(default_factory=Counter)
    """Requests to the stores, by the cloud's name of the operation; these are billed."""
    failures: Records[Failure] = field(default_factory=_failure_log)
    warnings: Records[str] = field(default_factory=_text_log)
    concerns: list[Concern] = field(default_factory=list)
    """Each raises an alert, which ends with the first run that no longer finds it."""
    actions: Records[Action] | None = None
    """In the order in which they were done; None if they were not requested."""

    def fail(self, failure: Failure) -> None:
        self.counts["failed"] += 1
        self.failures.add(failure)

    def warn(self, text: str) -> None:
        self.counts["warnings"] += 1
        self.warnings.add(text)

    def write_json(self, out: TextIO) -> None:
        """Writes one JSON document, its lists streamed."""
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
            "counts": dict.fromkeys(_COUNTED.get(self.kind, ()), 0) | self.counts,
            "bytes": self.bytes,
            "requests": dict(self.requests),
        }
        if self.concerns:
            head["concerns"] = [concern._asdict() for concern in self.concerns]
        out.write(json.dumps(head, default=str)[:-1])
        lists: dict[str, Records[Any]] = {"warnings": self.warnings, "failures": self.failures}
        lists["actions"] = self.actions or action_log()
        for name, records in lists.items():
            out.write(f', "{name}": ')
            records.write_json(out)
        out.write("}\n")
