"""Brings a target folder in step with a source folder.

Listing, deciding and moving overlap: the first object moves once the first page of both listings is in. Deletes
come last, all or none, after the guard (:mod:`keepstep.objects.guard`) has seen both listings to their end.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from keepstep.clock import Clock, SystemClock
from keepstep.errors import ConfigError, Denied, Error, ExitCode, Unsupported
from keepstep.objects.account import Observer
from keepstep.objects.blocks import plans
from keepstep.objects.high_water import HighWater
from keepstep.objects.journal import SyncJournal
from keepstep.objects.merge_join import Side
from keepstep.objects.pipeline import Put
from keepstep.objects.places import SyncPlaces
from keepstep.objects.plan import TRANSFERS, Reason, SyncDecision
from keepstep.objects.reach import reach
from keepstep.objects.target_state import read_target
from keepstep.objects.transfer import Vanished
from keepstep.objects.wiring import SyncOptions, wired
from keepstep.runs.report import Action, Failure, Report
from keepstep.stores.interface import Lapse, OnSent, Store

_HOPELESS = 32
"""After this many refusals in a row the rest would be refused too."""


class Sync:
    """One run. ``stop`` asks it to finish what is in flight and to begin nothing new."""

    def __init__(
        self,
        source: Store,
        target: Store,
        options: SyncOptions,
        observer: Observer,
        *,
        trash: Store | None = None,
        journal: SyncJournal | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._source, self._target = source, target
        self._stores = [store for store in (source, target, trash) if store is not None]
        self._options = options
        self._clock = clock or SystemClock()
        self._journal = journal
        self._high_water = self._begin_high_water(journal)
        self._places = SyncPlaces.of(source.address, target.address)
        self._left, self._right = self._sides()
        self._is_stopping = False
        self._is_aborted = False
        self._refusals = 0
        self._has_success = False
        self._fatal: Error | None = None
        parts = wired(source, target, trash, options, observer, journal, self._clock.now())
        self.report, self._account = parts.report, parts.account
        self._mover, self._trash, self._deletes = parts.mover, parts.trash, parts.deletes
        self._comparison, self._pipeline, self._case = parts.comparison, parts.pipeline, parts.case

    def stop(self) -> None:
        self._is_stopping = True
        self._pipeline.stop()

    async def run(self) -> Report:
        """Runs to the end and returns the report; its exit code says how it went. Does not raise for faults."""
        try:
            if objection := self._places.objection(self._options.filters, delete=self._options.rules.delete):
                self._deletes.withhold(objection)
            else:
                if told := self._places.left_out:
                    self._account.warn(told)
                await self._run()
        except asyncio.CancelledError:
            self._is_stopping = True
            raise
        finally:
            self._deletes.close()
            self._conclude()
        if (
            self._high_water
            and self._journal
            and self.report.exit_code is ExitCode.DONE
            and not self._options.dryrun
        ):
            self._journal.keep_marks(self._scope, self._high_water.marks())
        return self.report

    def _sides(self) -> tuple[Side, Side]:
        filters = self._options.filters
        spans = reach(filters.rules)
        if self._high_water:
            spans = self._high_water.spans(spans)
        left, right = self._source.list(spans), self._target.list(spans)
        return (
            Side(left, "source", self._places.source_filters(filters)),
            Side(right, "target", self._places.target_filters(filters)),
        )

    async def _check_target(self, high_water: HighWater) -> None:
        """Before a run that lists the last days alone: whether the target still has what lies before them."""
        spans = reach(self._options.filters.rules)
        found = await read_target(self._target.list(spans), self._right.filters, high_water.spans(spans))
        if high_water.believes(found.state if found else None) and found:
            self._right.listing = found
        else:
            self._left, self._right = self._sides()

    async def _run(self) -> None:
        if self._high_water and not self._high_water.is_full:
            await self._check_target(self._high_water)
        await self._pipeline.run(self._plan, self._do)
        self._account_for(self._left, self._source)
        self._account_for(self._right, self._target)
        if self._goes_on():
            await self._deletes.carry_out(self._left, self._right, goes_on=self._goes_on)
            if not self._options.dryrun:
                await self._tidy()

    def _goes_on(self) -> bool:
        return not (self._is_stopping or self._is_aborted) and self._fatal is None

    # planning

    async def _plan(self, put: Put) -> None:
        options, unrepresentable_names = self._options, 0
        found = plans(options.rules, self._left, self._right, self._comparison, explain=options.explain)
        async with aclosing(found) as blocks:
            async for ours, theirs, plan in blocks:
                unrepresentable_names = self._warn_of_names(unrepresentable_names)
                if self._high_water:
                    self._high_water.see(ours, theirs)
                self._account.planned(plan)
                self._deletes.extend(plan.deletes)
                for decision in [*filter(self._admits, plan.transfers), *plan.unknown]:
                    await put(decision)
                if self._is_aborted:
                    return
        self._warn_of_names(unrepresentable_names)
        if options.rules.delete:
            self._warn_of_undeletable()
        self._warn_of_ignored()

    def _admits(self, decision: SyncDecision) -> bool:
        """False where an option leaves alone what the rules would move."""
        entry = decision.source
        assert entry is not None
        if self._places.is_in_source(entry.key):
            self._account.skipped(self._action(decision), "at the target this is a place within the source itself")
            return False
        # In a cloud nothing but the archive makes an object unfit.
        if entry.unfit and self._options.ignores_archived and self._source.address.kind != "local":
            self._account.passed_over(self._action(decision), entry.unfit)
            return False
        try:
            is_admitted = not self._is_aborted and self._case.admit(decision)
        except Error as exc:
            self._is_aborted = True
            self._account.failed(self._action(decision), exc)
            return False
        if not is_admitted:
            why = "its name differs from another one's only in case"
            self._account.passed_over(self._action(decision), why)
        return is_admitted

    def _action(self, decision: SyncDecision) -> Action:
        return self._account.action(self._options.rules.direction.value, decision)

    def _warn_of_names(self, known: int) -> int:
        unrepresentable_names = self._left.listing.unrepresentable_names
        for name, why in unrepresentable_names[known:]:
            if self._left.filters.includes(name):
                self._account.skipped_name(name, why)
        return len(unrepresentable_names)

    def _warn_of_undeletable(self) -> None:
        for name, why in self._right.listing.unrepresentable_names:
            if self._right.filters.includes(name):
                self._account.skipped_name(name, f"{why}, so it cannot be deleted", self._target.address)

    def _warn_of_ignored(self) -> None:
        if ignored := self.report.counts["newer_ignored"]:
            self._account.warn(
                f"{ignored} objects are newer at the source and of the same size: "
                "a download leaves them alone, as aws s3 sync does; --exact-timestamps takes them"
            )

    # moving

    async def _do(self, decision: SyncDecision, on_sent: OnSent) -> None:
        if self._goes_on() and (settled := await self._settled(decision)):
            await self._move(settled, on_sent)

    async def _settled(self, decision: SyncDecision) -> SyncDecision | None:
        """The decision, once contents are compared where they have to be; None when nothing is to be moved."""
        if decision.reason is not Reason.CONTENTS_UNKNOWN:
            return decision
        try:
            decision = await self._comparison.settled(decision)
        except Error as exc:
            self._failed(self._account.action("compare", decision), exc)
            return None
        except Exception as exc:  # noqa: BLE001 - one object's trouble must not end the others
            self._account.failed(self._account.action("compare", decision), _internal(exc))
            return None
        self._account.settled(decision, tell=self._options.explain)
        return decision if decision.reason in TRANSFERS and self._admits(decision) else None

    async def _move(self, decision: SyncDecision, on_sent: OnSent) -> None:
        account, entry = self._account, decision.source
        assert entry is not None
        action = self._action(decision)
        if entry.unfit:
            account.skipped(action, entry.unfit)
            return
        try:
            if self._options.dryrun:
                self._target.admit(entry.key)
                account.did(action)
                return
            if self._trash and decision.target:
                await self._trash.keep(decision.target)
            size = await self._mover.move(entry, on_sent)
        except Unsupported as exc:
            account.skipped(action, exc.message)
        except Error as exc:
            if isinstance(exc, Vanished) and self._source.address.kind == "local":
                account.skipped(action, "vanished before it could be read")
            else:
                self._failed(action, exc)
        except Exception as exc:  # noqa: BLE001 - one object's trouble must not end the others
            account.failed(action, _internal(exc))
        else:
            self._has_success, self._refusals = True, 0
            account.did(action if action.size == size else action._replace(size=size))

    def _failed(self, action: Action, error: Error) -> None:
        """Invalid credentials concern all objects; a denial, once something succeeded, only the one."""
        self._account.failed(action, error)
        if isinstance(error, ConfigError) or (isinstance(error, Denied) and not self._has_success):
            self._refusals += 1
            if self._refusals == _HOPELESS:
                self._fatal = error
                self._pipeline.stop()

    # around it

    @property
    def _scope(self) -> str:
        """Runs that compare alike, and the same keys, can build on each other."""
        return repr((self._options.filters.rules, self._options.rules))

    def _begin_high_water(self, journal: SyncJournal | None) -> HighWater | None:
        """None where everything is to be listed: what is gone from a source is only seen by listing it whole."""
        pace = self._options.pace
        if pace is None or journal is None or self._options.rules.delete:
            return None
        return HighWater(pace, self._clock.now(), journal.marks(self._scope))

    async def _tidy(self) -> None:
        try:
            await self._target.tidy()
            await self._mover.tidy()
        except Error as exc:
            self._account.warn(f"what an interrupted run left behind could not be removed: {exc.message}")

    def _account_for(self, side: Side, store: Store) -> None:
        """A listing that failed is a failure of the run, and so is each prefix that cannot be read."""
        for error in side.errors:
            self._account.fail(Failure.of("list", error, source=str(store.address)))

    def _conclude(self) -> None:
        report = self.report
        for notice in dict.fromkeys(notice for store in self._stores for notice in store.notices):
            self._account.warn(notice)
        if self._fatal:
            why = f"gave up: {_HOPELESS} objects in a row were refused"
            self._account.fail(Failure("run", None, None, why, self._fatal.hint))
        if report.exit_code is ExitCode.DONE:
            report.exit_code = self._exit_code()
        for store in self._stores:
            report.requests.update(store.requests)
        report.finished = self._clock.now()

    def _exit_code(self) -> ExitCode:
        if self._is_stopping:
            return ExitCode.INTERRUPTED
        nothing_came = [side.error for side in (self._left, self._right) if side.error and not side.keys]
        if self._fatal or any(error.exit_code is not ExitCode.FAILED for error in nothing_came):
            # The settings are wrong, not an object.
            return ExitCode.MISCONFIGURED
        if self.report.counts["failed"]:
            return ExitCode.FAILED
        has_lapsed = any(isinstance(notice, Lapse) for store in self._stores for notice in store.notices)
        return ExitCode.SKIPPED if self.report.counts["skip"] or has_lapsed else ExitCode.DONE


def _internal(exc: Exception) -> Error:
    return Error(f"internal error: {exc!r}", hint="please report this")
