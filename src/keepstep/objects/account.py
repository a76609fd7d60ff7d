"""Records what a run did, in its report and for its observer."""

from __future__ import annotations

from typing import Protocol

from keepstep.errors import Error
from keepstep.objects.plan import TRANSFERS, BlockPlan, SyncDecision
from keepstep.runs.report import Action, Failure, Report
from keepstep.stores.address import Address


class Observer(Protocol):
    """Receives the events of a run, for the terminal or a page. Calls come from the event loop and must return
    quickly."""

    def planned(self, objects: int, size: int) -> None:
        """Adds to the objects and bytes that will move."""
        ...

    def moved(self, size: int) -> None:
        """Adds bytes that have arrived; the number is negative when they have to be sent again."""
        ...

    def did(self, action: Action) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def warned(self, text: str) -> None: ...


class ActionRecorder:
    """Records every event in the report and passes it on to the observer."""

    def __init__(self, report: Report, observer: Observer, source: Address, target: Address) -> None:
        self.report = report
        self._observer = observer
        self._source = source
        self._target = target

    def action(self, word: str, decision: SyncDecision) -> Action:
        entry = decision.source or decision.target
        assert entry is not None
        return Action(
            word,
            self._source.of(entry.key) if decision.source else None,
            self._target.of(entry.key),
            max(0, entry.size),
            decision.reason.value,
        )

    def delete(self, key: str) -> Action:
        return Action("delete", None, self._target.of(key), None, "only at the target")

    def planned(self, plan: BlockPlan) -> None:
        counts = self.report.counts
        counts["source_keys"] += plan.source_keys
        counts["target_keys"] += plan.target_keys
        counts["newer_ignored"] += plan.newer_ignored
        counts["unchanged"] += plan.settled
        if plan.hidden:
            counts["unknown"] += plan.hidden
        sizes = (decision.source.size for decision in plan.transfers if decision.source)
        self._observer.planned(len(plan.transfers), sum(size for size in sizes if size > 0))
        for decision in plan.idle:
            self._record(self.action("skip", decision))

    def settled(self, decision: SyncDecision, *, tell: bool) -> None:
        """Contents have been compared. ``tell``: also of what stays as it is."""
        assert decision.source
        if decision.reason in TRANSFERS:
            self._observer.planned(1, max(0, decision.source.size))
            return
        self.report.counts["unchanged"] += 1
        if tell:
            self._record(self.action("skip", decision))

    def moved(self, size: int) -> None:
        self.report.bytes += size
        self._observer.moved(size)

    def did(self, action: Action) -> None:
        self.report.counts[action.action] += 1
        self._record(action)

    def skipped(self, action: Action, why: str) -> None:
        """Counts and warns of a skipped object: the run cannot end with 0."""
        self.warn(f"skipped {action.source}: {why}")
        self.did(Action("skip", action.source, action.target, action.size, why))

    def passed_over(self, action: Action, why: str) -> None:
        """Records an object that an option excludes: this is not a failure."""
        self.report.counts["unchanged"] += 1
        self._record(Action("skip", action.source, action.target, action.size, why))

    def skipped_name(self, name: str, why: str, place: Address | None = None) -> None:
        """Reports a name that cannot be a key, in printable form, at the source or at ``place``."""
        self.warn(f"skipped {(place or self._source).of(name)}: {why}")
        self.report.counts["skip"] += 1

    def warn(self, text: str) -> None:
        self.report.warn(text)
        self._observer.warned(text)

    def failed(self, action: Action, error: Error) -> None:
        self.fail(Failure.of(action.action, error, source=action.source, target=action.target))

    def fail(self, failure: Failure) -> None:
        self.report.fail(failure)
        self._observer.failed(failure)

    def _record(self, action: Action) -> None:
        if self.report.actions is not None:
            self.report.actions.add(action)
        self._observer.did(action)
