"""One tick: observe, choose a row, act, observe again, until nothing is left to do.

A tick may be killed anywhere: the next one begins with what it finds. Any number of workers may tick at once: each
write is compared with what was observed, and a worker that was slower observes again.
"""

from __future__ import annotations

import time
from datetime import timedelta

from keepstep.clock import Clock, SystemClock
from keepstep.databases.errors import OutcomeUnknown, PasswordRefused
from keepstep.databases.interface import PasswordPolicy
from keepstep.errors import ConfigError, Conflict, Error, ExitCode, Transient
from keepstep.rotation import members
from keepstep.rotation.act import Writer, next_user
from keepstep.rotation.audit_trail import AuditTrail
from keepstep.rotation.choose import Chooser
from keepstep.rotation.concerns import concerns
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.notes import Notes
from keepstep.rotation.observe import Observation, observe, observe_if_idle
from keepstep.rotation.outcome import Outcome, RotationWatcher, stop_of
from keepstep.rotation.preflight import check
from keepstep.rotation.progress import TickProgress
from keepstep.rotation.rows import Act, Decision
from keepstep.rotation.wiring import Rotation
from keepstep.runs.report import Report
from keepstep.vaults.interface import Stage

RESERVE = timedelta(seconds=60)
"""No step starts later than this before the platform ends the run."""


class Tick:
    """Runs once. The account is in ``report`` at any time."""

    def __init__(
        self,
        rotation: Rotation,
        report: Report,
        watcher: RotationWatcher,
        *,
        is_forced: bool = False,
        is_plan: bool = False,
        clock: Clock | None = None,
        ends: float | None = None,
    ) -> None:
        """``is_forced``: what is current when the tick begins is due. ``is_plan``: writes nothing.

        ``ends``: when the platform will end the run, on the clock's monotonic scale.
        """
        self.report = report
        self._rotation = rotation
        self._is_forced = is_forced
        self._is_plan = is_plan
        self._clock = clock or SystemClock()
        self._ends = ends
        self._is_stopped = False
        self._observation: Observation | None = None
        """The last one."""
        self._notes = Notes(rotation.stores)
        self._guard = LockoutGuard(rotation.members, self._clock, self._notes.write, is_forced=is_forced)
        self._chooser = Chooser(rotation, self._guard, self._notes, self._clock, is_forced=is_forced)
        self._writer = Writer(rotation.stores, alternates=rotation.alternates, now=self._clock.now)
        self._trail = AuditTrail(rotation.append, tuple(member.database.name for member in rotation.members))
        self._progress = TickProgress(rotation.name)
        self._outcome = Outcome(rotation, report, watcher)

    async def run(self) -> Report:
        """Raises only unexpected exceptions."""
        try:
            outcome = await self._to_the_end()
        except Error as exc:
            outcome = self._outcome.failed(exc)
        await self._conclude(outcome)
        if not self.report.failures:
            for error in self._guard.unavailable.values():
                self._outcome.warn(f"{error.message}; the next change would not be possible")
        await self._notes.settle(self._guard.failures, self._clock.now())
        if self._observation and not self._is_plan and self.report.exit_code is not ExitCode.REFUSED:
            await self._follow_up(self._observation)
        self.report.requests.update(self._rotation.stores.calls)
        self.report.finished = self._clock.now()
        return self.report

    def stop(self) -> None:
        """Ends the tick after the write that is under way; the next one goes on."""
        self._is_stopped = True

    async def _to_the_end(self) -> str:
        if await self._is_idle():
            return "idle"
        while True:
            observation = self._observation = await observe(self._rotation.stores)
            await self._progress.explain_conflict(observation)
            decision = await self._chooser.choose(observation)
            if self._is_plan:
                self._outcome.planned(decision, observation, self._chooser)
            if decision.act is Act.STOP:
                raise stop_of(decision, self._rotation, self._chooser, self._guard)
            if self._is_plan:
                return "planned"
            if decision.act is Act.NOTHING:
                self._outcome.rested(decision, observation)
                return "done"
            self._progress.check(decision, observation, self._chooser.learnt)
            if self._must_end():
                self._outcome.warn("the tick ends before all is done; the next one goes on")
                return "interrupted"
            if contention := await self._attempt(decision, observation):
                self._outcome.warn(f"contended: {contention}")
                return "contended"

    def _must_end(self) -> bool:
        if self._is_stopped:
            return True
        if self._ends is None or self._ends - time.monotonic() >= RESERVE.total_seconds():
            return False
        if not self._outcome.has_changed_anything:
            raise ConfigError(
                f"there is no time for a single step: one may take {RESERVE.total_seconds():.0f} s, and the "
                "platform ends this run before",
                hint="nothing was written; give the function a timeout of 120 s at least, better 300 s",
            )
        return True

    async def _attempt(self, decision: Decision, observation: Observation) -> Conflict | None:
        """Does the row. The conflict, when other workers were faster so often that the rest is left to them."""
        try:
            await self._do(decision, observation)
        except members.Busy as exc:
            return None if self._progress.was_locked_out() else exc
        except Conflict as exc:
            return None if self._progress.was_slower(observation, exc) else exc
        except (Transient, OutcomeUnknown) as exc:
            if not self._progress.was_lost():
                raise
            self._outcome.said(f"{decision.row.words}: {exc}; looking again")
        return None

    async def _is_idle(self) -> bool:
        """Four calls and a login for each database where nothing is to be done."""
        if self._is_plan or self._is_forced:
            return False
        observation = await observe_if_idle(self._rotation.stores)
        if observation is None or self._chooser.is_wanted(observation):
            return False
        decision = await self._chooser.choose(observation)
        if decision.act is not Act.NOTHING:
            return False
        self._observation = observation
        self._outcome.rested(decision, observation)
        return True

    async def _do(self, decision: Decision, observation: Observation) -> None:
        if decision.needs_preflight:
            await self._preflight(observation)
        if decision.act is Act.UNLABEL and decision.what == observation.primary.current:
            await self._trail.conclude("rotated", observation, self._chooser.last_answers)
        else:
            await self._intend(decision, observation)
        if decision.act.changes_database:
            if not await self._change(decision, observation):
                return
        elif made := await self._writer.do(decision, observation):
            for number in range(len(self._rotation.members)):
                self._guard.assume_rejected(number, made.login)
        self._progress.did(decision, observation, self._chooser.learnt)
        where = self._rotation.member_name(decision.member) if decision.member >= 0 else ""
        self._trail.changes.append(f"{decision.row.code} {where}".rstrip())
        self._outcome.did(decision, where)

    async def _intend(self, decision: Decision, observation: Observation) -> None:
        try:
            await self._trail.intend(decision, observation)
        except Error as exc:
            raise Error(f"the audit log cannot be written: {exc}", hint="nothing was changed in this tick") from exc

    async def _preflight(self, observation: Observation) -> None:
        """Every database can be changed, before anything is staged."""
        current = observation.primary.current
        user = next_user(current, alternates=self._rotation.alternates)
        policy = PasswordPolicy()
        for number, member in enumerate(self._rotation.members):
            policy = policy.with_(await check(number, member, self._guard, current, user))
        self._writer.policy = policy

    async def _change(self, decision: Decision, observation: Observation) -> bool:
        """False when the database does not take the password."""
        assert decision.what
        number, stages = decision.member, observation.primary_state.stages

        async def is_unchanged() -> bool:
            state = await self._rotation.stores.describe_again()
            self._guard.remember(self._notes.read(state))
            return all(state.stages.get(each) == stages.get(each) for each in (Stage.CURRENT, Stage.PENDING))

        try:
            await members.apply(
                self._rotation.members[number],
                decision,
                observation.primary,
                self._guard,
                is_unchanged,
                lock=f"keepstep {observation.primary_state.id}",
            )
        except PasswordRefused as exc:
            if not self._progress.was_refused():
                raise
            self._outcome.said(f"{decision.row.words}: {exc}")
            self._chooser.refused(number, decision.what.credential.login, exc)
            return False
        if decision.act is Act.RETIRE:
            self._chooser.retired(number)
        return True

    async def _conclude(self, outcome: str) -> None:
        if not (self._trail.is_open and self._observation):
            return
        try:
            await self._trail.conclude(outcome, self._observation, self._chooser.last_answers)
        except Error as exc:
            self._outcome.failed(Error(f"the audit log has no result of this run: {exc}"))

    async def _follow_up(self, observation: Observation) -> None:
        """Updates the connection blobs, whose failures are reported and stop nothing, and reports concerns."""
        rotation = self._rotation
        if rotation.connections:
            async for failure in rotation.connections.keep(observation):
                self._outcome.note(failure)
        now = self._clock.now()
        async for concern in concerns(rotation.name, observation, rotation.members, self._guard, now):
            self.report.concerns.append(concern)
