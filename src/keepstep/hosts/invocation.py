"""Runs a job for each event of a serverless host, and returns the run's report.

The run is a separate process, as everywhere: it is stopped in time before the host would freeze or kill it, leaves
no thread and no connection for the next event, and loads only what its job needs. This module imports only the
standard library.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from keepstep.errors import ConfigError, ExitCode
from keepstep.hosts.children import Child, Launch
from keepstep.jobs.environment import CONFIG, JOB
from keepstep.jobs.kinds import KINDS, Kind
from keepstep.trust import CONFIG_PATHS, trusted
from keepstep.units import parse_duration, parse_size

RECORD = "KEEPSTEP_RECORD_FD"
_MARGIN = 12.0
"""Seconds before the host's deadline at which a run is asked to stop; it then finishes transfers in flight."""
_LAST = 2.0
"""Seconds before the deadline at which it is killed."""
_WELL = (ExitCode.DONE, ExitCode.SKIPPED, ExitCode.CHANGED, ExitCode.LOCKED)
"""Exit codes that are not a failure, including that another run is in progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    report: dict[str, Any]
    is_well: bool
    seconds: float

    @property
    def words(self) -> str:
        """What went wrong, in one line."""
        failures = self.report.get("failures") or [{}]
        why = failures[0].get("error") or self.report.get("outcome") or "failed"
        hint = failures[0].get("hint")
        return f"{self.report.get('job') or 'the run'}: {why}" + (f" ({hint})" if hint else "")


async def run_event(event: object, *, remaining: float) -> Outcome:
    """Runs the job that the event names, or the only one. ``remaining`` is in seconds.

    Raises :class:`ConfigError` if there is nothing to run.
    """
    began = time.monotonic()
    text = await _config()
    name, kind, limits = _chosen(event, text)
    ends = min(remaining - _margin(remaining), limits.seconds)
    with _descriptors(text) as (config, record, output):
        options = ["--config", f"/dev/fd/{config}"] if config is not None else []
        shown = ["--json"] if kind.prints_report else ["--quiet"]
        limit = ["--seconds", f"{max(0.0, ends):.1f}"] if kind.takes_seconds else []
        launch = Launch(
            words=[*options, *shown, *(kind.serverless or kind.words), *limit, *(["--", name] if name else [])],
            descriptors=[each for each in (config, record) if each is not None],
            output=output if kind.prints_report else None,
            deadline=timedelta(seconds=ends),
            memory=limits.memory,
            grace=_margin(remaining) - min(_LAST, remaining / 10),
        )
        child = await Child.start(launch, {RECORD: str(record)})
        said: list[str] = []

        def heard(line: str) -> None:
            said.append(line)
            say("output", job=name, line=line)

        code = await child.ended(heard)
        report = _report(record, output) or _last_words(said)
    report = {"job": name, "kind": kind.name, "exit_code": code, "outcome": _word(code)} | report
    if child.was_overdue:
        report["outcome"] = "overdue"
    is_well = code in _WELL and not child.was_overdue
    return Outcome(report, is_well, time.monotonic() - began)


def say(event: str, **fields: object) -> None:
    """A log line, as JSON, on stderr."""
    print(json.dumps({"event": event, **fields}, default=str), file=sys.stderr, flush=True)  # noqa: T201


async def _config() -> bytes | None:
    """``KEEPSTEP_CONFIG``, a path or an object's address; otherwise the bundled file, if any."""
    place = os.environ.get(CONFIG)
    if place and "://" in place:
        from keepstep.hosts.stored_config import fetch

        return await fetch(place)
    return _config_file(place)


def _config_file(place: str | None) -> bytes | None:
    if place:
        try:
            return Path(place).read_bytes()
        except FileNotFoundError:
            raise ConfigError(f"the configuration {place} does not exist", hint="check KEEPSTEP_CONFIG") from None
    for path in CONFIG_PATHS:
        if path.exists():
            return trusted(path, hint=f"name it, if you trust it: KEEPSTEP_CONFIG={path}").read_bytes()
    return None


def _chosen(event: object, text: bytes | None) -> tuple[str, Kind, Limits]:
    """The job's name, kind and limits. Without a configuration it is the rotation from variables."""
    named = _named(event) or os.environ.get(JOB, "")
    if text is None:
        if named:
            raise ConfigError(f"there is no job {named}: there is no keepstep.toml", hint="add one to the bundle")
        return "", KINDS["rotate"], Limits()
    try:
        jobs = tomllib.loads(text.decode()).get("job", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the configuration is not TOML: {exc}") from exc
    if not named and len(jobs) == 1:
        named = next(iter(jobs))
    if named not in jobs:
        raise ConfigError(
            f"there is no job {named}" if named else "the event does not name a job",
            hint='send {"job": "NAME"}, or set KEEPSTEP_JOB; configured jobs: '
            + (", ".join(sorted(jobs)) or "none"),
        )
    kind = jobs[named].get("kind")
    if kind not in KINDS:
        raise ConfigError(f"job.{named}.kind must be one of {', '.join(KINDS)}")
    return named, KINDS[kind], _limits_of(named, jobs[named])


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a job sets for its runs."""

    seconds: float = math.inf
    memory: int | None = None
    """Bytes."""


def _limits_of(name: str, job: Mapping[str, Any]) -> Limits:
    """Parses a limit; a number is seconds or bytes. Raises :class:`ConfigError`."""
    deadline, memory = job.get("deadline", math.inf), job.get("memory")
    try:
        return Limits(
            parse_duration(_completed(deadline)).total_seconds() if isinstance(deadline, str) else float(deadline),
            parse_size(_completed(memory)) if isinstance(memory, str) else memory,
        )
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"job.{name}: {exc}", hint="see deadline and memory in docs/daemon.md") from None


def _completed(text: str) -> str:
    """Expands ``${NAME}`` from the environment, as everywhere in keepstep.toml."""
    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda found: os.environ.get(found[1], ""), text)


def _named(event: object) -> str:
    """The job of ``{"job": "NAME"}``, or of the same as the detail of an EventBridge event."""
    for place in (event, event.get("detail") if isinstance(event, Mapping) else None):
        if isinstance(place, Mapping) and isinstance(place.get("job"), str):
            return str(place["job"])
    return ""


def _margin(remaining: float) -> float:
    return min(_MARGIN, remaining / 3)


@contextmanager
def _descriptors(text: bytes | None) -> Iterator[tuple[int | None, int, int]]:
    """Files in memory: the configuration, the record that the run returns, and what it prints."""
    names = ["config"] if text is not None else []
    held = {name: os.memfd_create(name, os.MFD_CLOEXEC) for name in [*names, "record", "output"]}
    try:
        if text is not None:
            os.write(held["config"], text)
        yield held.get("config"), held["record"], held["output"]
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _report(record: int, output: int) -> dict[str, Any]:
    """The printed run report, otherwise the record that the run returned, otherwise nothing."""
    for descriptor in (output, record):
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _last_words(lines: list[str]) -> dict[str, Any]:
    """The error of a run that could not start, and so has no report."""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    if not errors:
        return {}
    return {"failures": [{"action": "run", "error": errors[-1], "hint": hints[-1] if hints else None}]}


def _word(code: int) -> str:
    return next((known.name.lower() for known in ExitCode if known == code), "crashed")
