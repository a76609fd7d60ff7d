"""Compares the contents of two folders, key by key, and changes nothing.

What the listings, checksums and earlier runs cannot tell is read (:mod:`keepstep.objects.checksums`).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from keepstep.clock import Clock, SystemClock
from keepstep.errors import Error, ExitCode
from keepstep.objects.account import ActionRecorder, Observer
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.blocks import plans
from keepstep.objects.budget import Budget
from keepstep.objects.checksums import Comparison
from keepstep.objects.concurrency import objects_in_flight
from keepstep.objects.filters import Filters
from keepstep.objects.journal import SyncJournal
from keepstep.objects.merge_join import Side
from keepstep.objects.pipeline import Pipeline, Put
from keepstep.objects.places import SyncPlaces
from keepstep.objects.plan import BlockPlan, Direction, Reason, Rules, SyncDecision
from keepstep.objects.reach import reach
from keepstep.objects.transfer import MIB, PART_SIZE
from keepstep.runs.report import Action, Failure, Report, action_log
from keepstep.stores.interface import OnSent, Store

_RULES = Rules(Direction.COPY, delete=True, contents=True)
_COUNTS = {Reason.SOURCE_ONLY: "source_only", Reason.TARGET_ONLY: "target_only", Reason.SAME_CONTENTS: "equal"}
"""What a key is counted as; ``different`` where it is none of these."""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What the user asked for."""

    filters: Filters = field(default_factory=Filters)
    explain: bool = False
    """Whether equal keys are named too."""
    jobs: int | None = None
    """Pairs that are looked at at a time; None: as many as make the run fast."""
    bandwidth: int | None = None
    """Maximum bytes read per second."""
    memory: int = 192 * MIB
    """Bytes of objects in memory at a time."""
    keep_actions: bool = False
    """Whether the report lists what was found."""


class Verify:
    """One run. ``stop`` asks it to finish what is in flight and to begin nothing new."""

    def __init__(
        self,
        source: Store,
        target: Store,
        options: VerifyOptions,
        observer: Observer,
        *,
        journal: SyncJournal | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._source, self._target = source, target
        self._options = options
        self._observer = observer
        self._clock = clock or SystemClock()
        spans = reach(options.filters.rules)
        self._places = SyncPlaces.of(source.address, target.address)
        self._left = Side(source.list(spans), "source", self._places.source_filters(options.filters))
        self._right = Side(target.list(spans), "target", self._places.target_filters(options.filters))
        self._pipeline = Pipeline(
            objects_in_flight(options.jobs, lambda: source.throttle_count + target.throttle_count)
        )
        self._comparison = Comparison(
            source,
            target,
            Budget(options.memory),
            observer,
            bandwidth=Bandwidth(options.bandwidth) if options.bandwidth else None,
            journal=journal,
            part_size_for=lambda size: PART_SIZE,
        )
        self._is_stopping = False
        actions = action_log() if options.keep_actions else None
        places = str(source.address), str(target.address)
        self.report = Report("verify", *places, self._clock.now(), actions=actions)
        self._account = ActionRecorder(self.report, observer, source.address, target.address)

    def stop(self) -> None:
        self._is_stopping = True
        self._pipeline.stop()

    async def run(self) -> Report:
        """Runs to the end and returns the report; its exit code says how it went. Does not raise for faults."""
        try:
            if told := self._places.left_out:
                self._account.warn(told)
            await self._pipeline.run(self._plan, self._compare)
            for side in (self._left, self._right):
                self._account_for(side)
        except asyncio.CancelledError:
            self._is_stopping = True
            raise
        finally:
            self._conclude()
        return self.report

    async def _plan(self, put: Put) -> None:
        explain = self._options.explain
        found = plans(_RULES, self._left, self._right, self._comparison, explain=explain, is_guarded=False)
        async with aclosing(found) as blocks:
            async for _, _, plan in blocks:
                self._tell(plan)
                for decision in plan.unknown:
                    await put(decision)
        for side, store in ((self._left, self._source), (self._right, self._target)):
            for name, why in side.listing.unrepresentable_names:
                if side.filters.includes(name):
                    self._account.skipped_name(name, why, store.address)

    def _tell(self, plan: BlockPlan) -> None:
        """What is known without looking."""
        counts = self.report.counts
        counts["source_keys"] += plan.source_keys
        counts["target_keys"] += plan.target_keys
        counts["equal"] += plan.settled
        if plan.hidden:
            counts["unknown"] += plan.hidden
        self._observer.planned(len(plan.unknown) + len(plan.transfers) + len(plan.deletes), 0)
        for decision in plan.transfers:
            assert decision.source
            if decision.source.unfit:
                self._account.skipped(self._action("skip", decision), decision.source.unfit)
            else:
                self._found(decision)
        for entry in plan.deletes:
            self._found(SyncDecision(Reason.TARGET_ONLY, None, entry))
        for decision in plan.idle:
            self._record(self._action("skip", decision))

    async def _compare(self, decision: SyncDecision, _: OnSent) -> None:
        assert decision.source and decision.target
        if self._is_stopping:
            return
        try:
            is_equal = await self._comparison.are_equal(decision.source, decision.target)
        except Error as exc:
            self._account.failed(self._action("compare", decision), exc)
        except Exception as exc:  # noqa: BLE001 - one object's trouble must not end the others
            error = Error(f"internal error: {exc!r}", hint="please report this")
            self._account.failed(self._action("compare", decision), error)
        else:
            self._found(decision._replace(reason=Reason.SAME_CONTENTS if is_equal else Reason.CONTENTS_DIFFER))

    def _found(self, decision: SyncDecision) -> None:
        is_equal = decision.reason is Reason.SAME_CONTENTS
        self.report.counts[_COUNTS.get(decision.reason, "different")] += 1
        action = self._action("skip" if is_equal else "different", decision)
        if is_equal and not self._options.explain:
            self._observer.did(action)
        else:
            self._record(action)

    def _action(self, word: str, decision: SyncDecision) -> Action:
        """Only addresses at which there is something."""
        entry = decision.source or decision.target
        assert entry is not None
        source = self._source.address.of(entry.key) if decision.source else None
        target = self._target.address.of(entry.key) if decision.target else None
        return Action(word, source, target, max(0, entry.size), decision.reason.value)

    def _record(self, action: Action) -> None:
        if self.report.actions is not None:
            self.report.actions.add(action)
        self._observer.did(action)

    def _account_for(self, side: Side) -> None:
        store = self._source if side is self._left else self._target
        for error in side.errors:
            self._account.fail(Failure.of("list", error, source=str(store.address)))

    def _conclude(self) -> None:
        for notice in dict.fromkeys((*self._source.notices, *self._target.notices)):
            self._account.warn(notice)
        self.report.exit_code = self._exit_code()
        for store in (self._source, self._target):
            self.report.requests.update(store.requests)
        self.report.finished = self._clock.now()

    def _exit_code(self) -> ExitCode:
        counts = self.report.counts
        if self._is_stopping:
            return ExitCode.INTERRUPTED
        nothing_came = [side.error for side in (self._left, self._right) if side.error and not side.keys]
        if any(error.exit_code is not ExitCode.FAILED for error in nothing_came):
            return ExitCode.MISCONFIGURED
        if any(counts[name] for name in ("different", "source_only", "target_only", "failed")):
            return ExitCode.FAILED
        return ExitCode.SKIPPED if counts["skip"] else ExitCode.DONE
