"""Records what a tick did and how it ended, in the report and for the watcher, each event once."""

from __future__ import annotations

from typing import Protocol

from keepstep.databases.interface import Answer
from keepstep.errors import ConfigError, Denied, Error, ExitCode, NotFound, Refused, Transient
from keepstep.rotation import explain
from keepstep.rotation.choose import Chooser
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.member import Stopped, remedy_of
from keepstep.rotation.observe import Observation
from keepstep.rotation.pace import room_of
from keepstep.rotation.rows import Decision
from keepstep.rotation.wiring import Rotation
from keepstep.runs.report import Action, Failure, Report


class RotationWatcher(Protocol):
    """Receives every event as it happens."""

    def said(self, text: str) -> None: ...
    def did(self, action: Action) -> None: ...
    def failed(self, failure: Failure) -> None: ...
    def warned(self, text: str) -> None: ...


class Outcome:
    """One for a tick. Words for how it ended ("done", "refused", …) are those of the audit log."""

    def __init__(self, rotation: Rotation, report: Report, watcher: RotationWatcher) -> None:
        self._rotation = rotation
        self._report = report
        self._watcher = watcher

    @property
    def has_changed_anything(self) -> bool:
        return self._report.counts["step"] > 0

    def did(self, decision: Decision, where: str) -> None:
        """A row was done, on the database ``where`` or, where that is empty, in a store."""
        self._report.counts["step"] += 1
        if decision.act.completes:
            self._report.counts["rotate"] += 1
        what = explain.described(decision.what) if decision.what else None
        name = where or self._rotation.name
        self._record(Action(decision.act.value, what, name, None, decision.reason))

    def planned(self, decision: Decision, observation: Observation, chooser: Chooser) -> None:
        """What there is, what the databases answered, the row, and its call."""
        for line in explain.versions(observation):
            self.said(line)
        for (number, login), answer in chooser.answers.items():
            self.said(f"{self._rotation.member_name(number)}: {login.username} {answer}")
        self._record(Action(decision.act.value, None, self._rotation.name, None, decision.reason))
        if call := explain.call(decision, observation, self._rotation.members):
            self.said(f"call: {call}")

    def rested(self, decision: Decision, observation: Observation) -> None:
        """Nothing is left to do; where something had to wait, until when."""
        if decision.why:
            next_ = room_of(observation.secondary_state).next
            self.warn(f"{decision.why}: next at {next_:%Y-%m-%d %H:%M} UTC" if next_ else decision.why)

    def said(self, text: str) -> None:
        self._watcher.said(text)

    def warn(self, text: str) -> None:
        self._report.warn(text)
        self._watcher.warned(text)

    def failed(self, error: Error) -> str:
        """The tick's failure and its exit code."""
        self._report.exit_code = _code_of(error)
        self.note(Failure.of("run", error, source=self._rotation.name))
        return "refused" if self._report.exit_code is ExitCode.REFUSED else "failed"

    def note(self, failure: Failure) -> None:
        """A failure that does not stop the tick."""
        self._report.fail(failure)
        self._watcher.failed(failure)
        self._report.exit_code = self._report.exit_code or ExitCode.FAILED

    def _record(self, action: Action) -> None:
        if self._report.actions is not None:
            self._report.actions.add(action)
        self._watcher.did(action)


def stop_of(decision: Decision, rotation: Rotation, chooser: Chooser, guard: LockoutGuard) -> Error:
    """The error of a row that stops, with what helps."""
    row = decision.row
    if row.is_refusal:
        return Refused(decision.why, hint=row.hint)
    if decision.what is None:
        return Error(decision.why, hint=row.hint)
    login = decision.what.credential.login
    answer = chooser.answers.get((decision.member, login))
    if answer is Answer.WITHHELD:
        return guard.withheld(decision.member, decision.what)
    member, reason = rotation.members[decision.member], chooser.reasons.get(decision.member)
    fix = chooser.fixes.get(decision.member) or (remedy_of(member, answer) if answer else None)
    hint = row.hint.format(remedy=member.database.remedy(login.username))
    return Stopped(
        f"{decision.why}: {reason}" if reason else decision.why,
        hint=hint if row.names_remedy else fix or hint,
    )


def _code_of(error: Error) -> ExitCode:
    """A right that is missing may be granted, and KMS may recover; a wrong name has to be corrected."""
    if isinstance(error, Denied | Transient):
        return ExitCode.FAILED
    if isinstance(error, ConfigError | NotFound | Refused):
        return error.exit_code
    return ExitCode.FAILED
