"""Brings a target folder in step with a source folder.

Listing, deciding and moving overlap: the first object moves once the first page of both listings is in. Deletes
come last, all or none, after the guard (:mod:`keepstep.objects.guard`) has seen both listings to their end.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from keepstep.clock import Clock, SystemClock
from keepstep.errors import ConfigError, Denied, Error, ExitCode, NotFound, Unsupported
from keepstep.objects.filters import Filters
from keepstep.objects.guard import Cap, object_to
from keepstep.objects.join import Side, walk
from keepstep.objects.plan import BlockPlan, Decision, Rules, plan_block
from keepstep.objects.transfer import MIB, Budget, Mover
from keepstep.runs.report import Action, ActionLog, Failure, Report
from keepstep.stores.interface import Store

_DELETE_BATCH = 1000
_HOPELESS = 32
"""So many refusals without a single success mean that the rest would be refused too."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the user asked for."""

    rules: Rules
    filters: Filters = field(default_factory=Filters)
    cap: Cap = field(default_factory=Cap)
    allow_empty_source: bool = False
    dryrun: bool = False
    explain: bool = False
    jobs: int = 32
    """Objects in flight at a time."""
    memory: int = 192 * MIB
    """Bytes of objects in memory at a time."""
    keep_actions: bool = False
    """Whether the report lists every action."""


class Observer(Protocol):
    """Somebody who watches a run: the terminal, a page. Calls come from the event loop and must be quick."""

    def planned(self, objects: int, size: int) -> None:
        """So many more objects and bytes will move."""
        ...

    def moved(self, size: int) -> None:
        """So many more bytes have arrived."""
        ...

    def did(self, action: Action) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def warned(self, text: str) -> None: ...


class Sync:
    """One run. ``stop`` asks it to finish what is in flight and to begin nothing new."""

    def __init__(
        self,
        source: Store,
        target: Store,
        options: SyncOptions,
        observer: Observer,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._observer = observer
        self._clock = clock or SystemClock()
        self._stopping = asyncio.Event()
        self._deletes = KeyLog()
        self._refusals = 0
        self._has_success = False
        self._fatal: Error | None = None
        self.report = Report(
            "sync",
            str(source.address),
            str(target.address),
            self._clock.now(),
            is_dryrun=options.dryrun,
            actions=ActionLog() if options.keep_actions else None,
        )
        budget = Budget(options.memory)
        self._mover = Mover(source, target, budget=budget, on_bytes=self._count_bytes)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> Report:
        """Runs to the end and returns the report; its exit code says how it went. Does not raise for faults."""
        left = Side(self._source.list(), "source")
        right = Side(self._target.list(), "target")
        queue: asyncio.Queue[Decision | None] = asyncio.Queue(2 * self._options.jobs)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(self._options.jobs)]
        try:
            await self._plan(left, right, queue)
            for _ in workers:
                await queue.put(None)
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        self._account_for(left, self._source)
        self._account_for(right, self._target)
        if not self._stopping.is_set() and self._fatal is None:
            await self._delete(left, right)
            if not self._options.dryrun:
                await self._target.tidy()
        self._finish(left, right)
        return self.report

    # planning

    async def _plan(self, left: Side, right: Side, queue: asyncio.Queue[Decision | None]) -> None:
        options, counts = self._options, self.report.counts
        strays = 0
        async with aclosing(walk(left, right, options.filters.select)) as blocks:
            async for ours, theirs in blocks:
                holes = [prefix for prefix, _ in right.listing.holes]
                plan = plan_block(options.rules, ours, theirs, holes=holes, explain=options.explain)
                strays = self._warn_of_strays(left, strays)
                self._count(plan)
                self._deletes.extend(entry.key for entry in plan.deletes)
                for decision in plan.transfers:
                    await queue.put(decision)
                    if self._stopping.is_set() or self._fatal:
                        return
        self._warn_of_strays(left, strays)
        if counts["newer_ignored"]:
            self._warn(
                f"{counts['newer_ignored']} objects are newer at the source and of the same size: "
                "a download leaves them alone, as aws s3 sync does; --exact-timestamps takes them"
            )

    def _count(self, plan: BlockPlan) -> None:
        counts = self.report.counts
        counts["source_keys"] += plan.source_keys
        counts["target_keys"] += plan.target_keys
        counts["newer_ignored"] += plan.newer_ignored
        counts["unchanged"] += plan.source_keys - len(plan.transfers)
        moving = sum(decision.source.size for decision in plan.transfers if decision.source)
        self._observer.planned(len(plan.transfers), moving)
        for decision in plan.idle:
            self._record(self._action("skip", decision))

    def _warn_of_strays(self, side: Side, known: int) -> int:
        strays = side.listing.strays
        for name, why in strays[known:]:
            self._warn(f"skipped {self._source.address.of(name)}: {why}")
            self.report.counts["skip"] += 1
        return len(strays)

    # moving

    async def _work(self, queue: asyncio.Queue[Decision | None]) -> None:
        while (decision := await queue.get()) is not None:
            if not self._stopping.is_set() and self._fatal is None:
                await self._move(decision)

    async def _move(self, decision: Decision) -> None:
        word = self._options.rules.direction.value
        action = self._action(word, decision)
        entry = decision.source
        assert entry is not None
        if entry.unfit:
            self._skip(action, entry.unfit)
            return
        if self._options.dryrun:
            self._did(action)
            return
        try:
            size = await self._mover.move(entry)
        except NotFound as exc:
            if self._source.address.kind == "local":
                self._skip(action, "vanished before it could be read")
            else:
                self._failed(action, exc)
        except Unsupported as exc:
            self._skip(action, exc.message)
        except Error as exc:
            self._failed(action, exc)
        except Exception as exc:  # noqa: BLE001 - one object's trouble must not end the others
            self._failed(action, Error(f"internal error: {exc!r}", hint="please report this"))
        else:
            self._has_success = True
            self._did(action if size == action.size else self._action(word, decision, size=size))

    # deleting

    async def _delete(self, left: Side, right: Side) -> None:
        uncertified = " and of the ".join(side.name for side in (left, right) if not side.is_certified)
        objection = object_to(
            deletes=len(self._deletes),
            source_in_scope=self.report.counts["source_keys"],
            target_in_scope=self.report.counts["target_keys"],
            uncertified=uncertified,
            cap=self._options.cap,
            allow_empty_source=self._options.allow_empty_source,
        )
        if objection:
            error = Error(objection.message, hint=objection.hint)
            self._failed(Action("guard", None, str(self._target.address), None, ""), error)
            if objection.is_refusal:
                self.report.exit_code = ExitCode.REFUSED
            return
        keys = iter(self._deletes)
        while (batch := list(islice(keys, _DELETE_BATCH))) and not self._stopping.is_set():
            failures = {} if self._options.dryrun else await self._delete_batch(batch)
            for key in batch:
                action = Action("delete", None, self._target.address.of(key), None, "only at the target")
                if key in failures:
                    self._failed(action, failures[key])
                else:
                    self._did(action)

    async def _delete_batch(self, keys: list[str]) -> dict[str, Error]:
        try:
            return await self._target.delete(keys)
        except Error as exc:
            return dict.fromkeys(keys, exc)

    # accounting

    def _action(self, word: str, decision: Decision, *, size: int | None = None) -> Action:
        entry = decision.source or decision.target
        assert entry is not None
        return Action(
            word,
            self._source.address.of(entry.key) if decision.source else None,
            self._target.address.of(entry.key),
            max(0, entry.size) if size is None else size,
            decision.reason.value,
        )

    def _did(self, action: Action) -> None:
        self.report.counts[action.action] += 1
        self._record(action)

    def _record(self, action: Action) -> None:
        if self.report.actions is not None:
            self.report.actions.add(action)
        self._observer.did(action)

    def _skip(self, action: Action, why: str) -> None:
        self._warn(f"skipped {action.source}: {why}")
        self._did(Action("skip", action.source, action.target, action.size, why))

    def _warn(self, text: str) -> None:
        self.report.warn(text)
        self._observer.warned(text)

    def _failed(self, action: Action, error: Error) -> None:
        failure = Failure.of(action.action, error, source=action.source, target=action.target)
        self.report.fail(failure)
        self._observer.failed(failure)
        if isinstance(error, (ConfigError, Denied)):
            self._refusals += 1
            if not self._has_success and self._refusals == _HOPELESS:
                self._fatal = error

    def _count_bytes(self, size: int) -> None:
        self.report.bytes += size
        self._observer.moved(size)

    def _account_for(self, side: Side, store: Store) -> None:
        """A listing that broke is a failure of the run, and so is each hole in it."""
        faults = [error for _, error in side.listing.holes] + ([side.error] if side.error else [])
        for error in faults:
            failure = Failure.of("list", error, source=str(store.address))
            self.report.fail(failure)
            self._observer.failed(failure)

    def _finish(self, left: Side, right: Side) -> None:
        report = self.report
        for side in (left, right):
            # Nothing could be listed at all: the settings are wrong, not an object.
            if side.error and not side.keys and side.error.exit_code is not ExitCode.FAILED:
                report.exit_code = ExitCode.MISCONFIGURED
        if self._fatal:
            failure = Failure("run", None, None, f"gave up: the first {_HOPELESS} objects were all refused", None)
            report.fail(failure)
            self._observer.failed(failure)
        if report.exit_code is ExitCode.DONE:
            if report.counts["failed"]:
                report.exit_code = ExitCode.FAILED
            elif report.counts["skip"]:
                report.exit_code = ExitCode.SKIPPED
        for store in (self._source, self._target):
            report.requests.update(store.requests)
        report.finished = self._clock.now()


class KeyLog:
    """Keys, in memory while they are few and in an unlinked file when they are many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(8 * MIB, mode="w+b")  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, keys: Iterator[str]) -> None:
        for key in keys:
            data = key.encode()
            self._file.write(len(data).to_bytes(4, "big") + data)
            self._count += 1

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        while head := self._file.read(4):
            yield self._file.read(int.from_bytes(head, "big")).decode()
