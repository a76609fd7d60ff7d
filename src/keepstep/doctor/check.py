"""The result of checking one thing that a job needs. Pure: does no input or output."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepstep.errors import Error, ExitCode


class Verdict(StrEnum):
    """The status of a check."""

    OK = "ok"
    FAIL = "fail"
    """The job cannot do its work, or soon cannot, until ``fix`` is applied."""
    WARN = "warn"
    """The job works, but this needs attention."""
    UNKNOWN = "unknown"
    """It could not be determined, usually because a permission is missing that the job itself does not need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report. Contains no secret."""

    name: str
    """One of :data:`keepstep.doctor.catalogue.CHECKS`."""
    about: str
    """What was checked: an address, a path, a host."""
    verdict: Verdict
    text: str
    fix: str | None = None
    """The exact next step: a policy statement, a command, a setting. None if nothing is wrong."""
    job: str = ""
    """The job that needs it; empty if it concerns the whole configuration."""


def ok(name: str, about: str, text: str) -> Check:
    return Check(name=name, about=about, verdict=Verdict.OK, text=text)


def fail(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.FAIL, text=text, fix=fix)


def warn(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.WARN, text=text, fix=fix)


def unknown(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.UNKNOWN, text=text, fix=fix)


def of_error(name: str, about: str, error: Error, *, is_needed: bool = True) -> Check:
    """Turns an error into a check: failed if the job needs the thing, otherwise unknown."""
    make = fail if is_needed else unknown
    return make(name, about, error.message, error.hint)


def exit_code(checks: list[Check]) -> ExitCode:
    """DONE if nothing fails; neither warnings nor unknown results are failures."""
    return ExitCode.FAILED if any(check.verdict is Verdict.FAIL for check in checks) else ExitCode.DONE
