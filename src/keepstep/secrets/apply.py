"""One run: every target brought in step, and every recipient notified.

All secrets are fetched at once, and each target is placed as soon as its own are there.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path

from keepstep.clock import Clock, SystemClock
from keepstep.containers.interface import Kind, Recipient
from keepstep.errors import Error, ExitCode, Transient
from keepstep.runs.report import Action, Report
from keepstep.secrets.ages import Ages, in_words
from keepstep.secrets.delivery import Target
from keepstep.secrets.fetch import Fetcher
from keepstep.secrets.journal import DeliveryRecorder, DeliveryWatcher
from keepstep.secrets.notifier import Notifier, recipients_of
from keepstep.secrets.place import Placed, folder_of, is_on_disk, place, preview, still_due, tidy
from keepstep.secrets.plan import Plan
from keepstep.vaults.interface import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How a run is to go."""

    dryrun: bool = False
    max_stale: timedelta | None = None
    """While a vault is away a file may be this old; None: a vault that is away fails the run at once."""
    jobs: int = 32
    """Secrets that are asked for at a time."""


class Apply:
    """Runs once. The account is in ``report`` at any time.

    Exit code: 1 when something failed, else 3 when a file changed, else 2 when a file is older than it should be
    and ``max_stale`` allows it, else 0.
    """

    def __init__(
        self,
        plan: Plan,
        vaults: Mapping[str, Vault],
        recipients: Mapping[Kind, Recipient],
        report: Report,
        watcher: DeliveryWatcher,
        *,
        options: ApplyOptions | None = None,
        ages: Ages | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.report = report
        self._journal = DeliveryRecorder(report, watcher)
        self._plan = plan
        self._options = options or ApplyOptions()
        self._fetcher = Fetcher(vaults, self._options.jobs)
        self._telling = Notifier(recipients, self._journal)
        self._ages = ages or Ages(None)
        self._clock = clock or SystemClock()
        self._looked_at: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> Report:
        """Brings in step what can be; what cannot is in the report, also what nobody foresaw. Raises nothing."""
        for mistake in self._plan.mistakes:
            self._journal.fail("map", mistake.error, source=mistake.where)
        if not self._options.dryrun:
            await asyncio.to_thread(tidy, self._plan.targets)
        settled = {id(target): asyncio.create_task(self._bring(target)) for target in self._plan.targets}
        self._tasks = list(settled.values())
        if not self._options.dryrun:
            for notices, concerned in recipients_of(self._plan.targets):
                telling = self._telling.notify(notices, [settled[id(target)] for target in concerned])
                self._tasks.append(asyncio.create_task(telling))
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for target, outcome in zip_longest(self._plan.targets, outcomes):  # what tells recipients comes last
            if isinstance(outcome, Exception):
                place = target.path if target else None
                self._journal.fail("internal", _unforeseen(outcome), source=None, target=place)
        self._ages.save()
        self.report.finished = self._clock.now()
        self.report.exit_code = self._exit_code()
        return self.report

    def stop(self) -> None:
        """Ends the run: what is being written is finished, notices that are due are delivered by the next run."""
        self._fetcher.cancel()
        for task in self._tasks:
            task.cancel()

    async def _bring(self, target: Target) -> None:
        """One target from its secrets to its place."""
        try:
            values = await self._fetcher.values(target.deliveries)
        except Error as exc:
            await self._unfetched(target, exc)
            return
        try:
            contents = [delivery.content.render(values) for delivery in target.deliveries]
            work = preview if self._options.dryrun else place
            placed = await asyncio.to_thread(work, target, contents)
        except Error as exc:
            await self._failed("update", exc, target)
            return
        self._placed(target, placed)
        await self._warn_of_disk(target)

    def _placed(self, target: Target, placed: Placed) -> None:
        changed = [delivery for delivery, _ in placed.changed]
        for delivery, decision in placed.decisions:
            if delivery in changed:
                self._journal.did(Action("update", delivery.origin, delivery.path, None, decision.reason))
            else:
                self._journal.kept(Action("keep", delivery.origin, delivery.path, None, decision.reason))
            if not self._options.dryrun:
                self._ages.confirm(delivery.path, self._clock.now())
        self._telling.note(target, placed.due)

    async def _unfetched(self, target: Target, error: Error) -> None:
        """The last file stays. A vault that is away is not a failure while the file is younger than
        ``max_stale``."""
        text, age = error.message, self._age(target)
        if age is not None:
            text += f"; {target.path} stays as it was {in_words(age)} ago"
            limit = self._options.max_stale
            if isinstance(error, Transient) and limit is not None and age <= limit:
                self.report.counts["stale"] += 1
                self._journal.warn(text)
                await self._note_debts(target)
                return
        await self._failed("fetch", Error(text, hint=error.hint), target)

    def _age(self, target: Target) -> timedelta | None:
        """How long ago the oldest of its files was in step; None when one is missing or its age cannot be told."""
        now = self._clock.now()
        times = [self._ages.confirmed(delivery.path, now) for delivery in target.deliveries]
        known = [time for time in times if time]
        return now - min(known) if len(known) == len(times) else None

    async def _failed(self, action: str, error: Error, target: Target) -> None:
        origin = ", ".join(dict.fromkeys(delivery.origin for delivery in target.deliveries))
        self._journal.fail(action, error, source=origin, target=target.path)
        await self._note_debts(target)

    async def _note_debts(self, target: Target) -> None:
        """What earlier runs owe is delivered also when the secret cannot be obtained now."""
        if target.notices and not self._options.dryrun:
            self._telling.note(target, await asyncio.to_thread(still_due, target))

    async def _warn_of_disk(self, target: Target) -> None:
        """Once for each folder."""
        folder = folder_of(target)
        if folder in self._looked_at:
            return
        self._looked_at.add(folder)
        if await asyncio.to_thread(is_on_disk, target):
            self._journal.warn(f"{folder} is on a disk, where secrets outlive their deletion: mount a tmpfs there")

    def _exit_code(self) -> ExitCode:
        counts = self.report.counts
        if counts["failed"]:
            return ExitCode.FAILED
        if counts["update"]:
            return ExitCode.CHANGED
        return ExitCode.SKIPPED if counts["stale"] else ExitCode.DONE


def _unforeseen(exc: Exception) -> Error:
    """An internal error: where it is, and nothing of what the exception says, which may quote a secret."""
    [*_, frame] = traceback.extract_tb(exc.__traceback__)
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return Error(f"internal error: {type(exc).__name__} in {place}", hint="please report this")
