"""What was found out about one thing that a job needs. Pure: nothing here asks anybody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepstep.errors import Error, ExitCode


class Verdict(StrEnum):
    """How a thing stands."""

    OK = "ok"
    FAIL = "fail"
    """The job cannot do its work, or will not for long, until somebody does what ``fix`` says."""
    WARN = "warn"
    """The job works; somebody should know of it all the same."""
    UNKNOWN = "unknown"
    """It could not be seen, mostly for want of a permission that the job itself does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report. It holds no secret."""

    name: str
    """One of :data:`keepstep.doctor.catalogue.CHECKS`."""
    about: str
    """The thing: an address, a path, a host."""
    verdict: Verdict
    text: str
    fix: str | None = None
    """The exact next thing to do: a policy statement, a command, a setting. None where all is well."""
    job: str = ""
    """Whose need it is; empty for what concerns the whole configuration."""


def ok(name: str, about: str, text: str) -> Check:
    return Check(name=name, about=about, verdict=Verdict.OK, text=text)


def fail(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.FAIL, text=text, fix=fix)


def warn(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.WARN, text=text, fix=fix)


def unknown(name: str, about: str, text: str, fix: str | None = None) -> Check:
    return Check(name=name, about=about, verdict=Verdict.UNKNOWN, text=text, fix=fix)


def of_error(name: str, about: str, error: Error, *, is_needed: bool = True) -> Check:
    """What an error says of the thing: a job that needs it fails, and one that does not knows nothing of it."""
    make = fail if is_needed else unknown
    return make(name, about, error.message, error.hint)


def exit_code(checks: list[Check]) -> ExitCode:
    """Done when nothing fails; a warning is no failure, and neither is what is unknown."""
    return ExitCode.FAILED if any(check.verdict is Verdict.FAIL for check in checks) else ExitCode.DONE
