"""Records the events of a run, in the report and for the watcher."""

from __future__ import annotations

from typing import Protocol

from keepstep.errors import Error
from keepstep.runs.report import Action, Failure, Report


class DeliveryWatcher(Protocol):
    """Receives events as they happen."""

    def did(self, action: Action) -> None: ...

    def kept(self, action: Action) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def warned(self, text: str) -> None: ...


class DeliveryRecorder:
    """Records every event in the report and passes it on to the watcher."""

    def __init__(self, report: Report, watcher: DeliveryWatcher) -> None:
        self.report = report
        self._watcher = watcher

    def did(self, action: Action) -> None:
        self.report.counts[action.action] += 1
        self._keep(action)
        self._watcher.did(action)

    def kept(self, action: Action) -> None:
        """Something that is in step."""
        self.report.counts["unchanged"] += 1
        self._keep(action)
        self._watcher.kept(action)

    def warn(self, text: str) -> None:
        self.report.warn(text)
        self._watcher.warned(text)

    def fail(self, action: str, error: Error, *, source: str | None, target: str | None = None) -> None:
        failure = Failure.of(action, error, source=source, target=target)
        self.report.fail(failure)
        self._watcher.failed(failure)

    def _keep(self, action: Action) -> None:
        if self.report.actions is not None:
            self.report.actions.add(action)
