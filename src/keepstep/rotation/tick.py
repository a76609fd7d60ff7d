"""One tick: observe, choose a row, act, observe again, until nothing is left to do.

A tick may be killed anywhere: the next one begins with what it finds. Any number of workers may tick at once: each
write is compared with what was seen, and whoever comes second looks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from keepstep.clock import Clock, SystemClock
from keepstep.databases.errors import OutcomeUnknown, PasswordRefused, Reason
from keepstep.databases.interface import Answer, Login, PasswordPolicy
from keepstep.errors import ConfigError, Conflict, Denied, Error, ExitCode, NotFound, Refused, Transient
from keepstep.rotation import explain
from keepstep.rotation import members as databases
from keepstep.rotation.act import RETIRED, Writer, next_user
from keepstep.rotation.audit_trail import AppendEntry, AuditTrail
from keepstep.rotation.changes import Strategy
from keepstep.rotation.concerns import concerns
from keepstep.rotation.connections import Connections
from keepstep.rotation.credential import partner
from keepstep.rotation.failures import PREFIX, Weight
from keepstep.rotation.lockout_guard import Guard
from keepstep.rotation.member import DatabaseMember, Stopped, remedy_of
from keepstep.rotation.notes import Notes
from keepstep.rotation.observe import Observation, observe, observe_if_idle
from keepstep.rotation.pace import Pace, room_of
from keepstep.rotation.preflight import check
from keepstep.rotation.rows import Act, DecisionInput, Row, decide, words_of
from keepstep.rotation.stores import Stores
from keepstep.runs.report import Action, Failure, Report
from keepstep.vaults.interface import Stage, VersionId

CONFLICTS = 5
"""How often somebody else may be faster before a tick leaves the rest to them."""
UNKNOWN = 5
"""How often an answer may be lost."""
REFUSALS = 3
"""How many passwords a database may refuse before its rules are taken to be the trouble."""
_PAUSE = 0.5
"""Seconds after a conflict that nothing explains; each further one waits longer."""
RESERVE = timedelta(seconds=60)
"""Before the platform ends us, nothing is begun any more."""


Fingerprint = tuple[Hashable, ...]


class Watcher(Protocol):
    """Hears of everything as it happens."""

    def said(self, text: str) -> None: ...
    def did(self, action: Action) -> None: ...
    def failed(self, failure: Failure) -> None: ...
    def warned(self, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """A credential, wired: where it is kept, where it logs in, and how it is to be changed."""

    name: str
    stores: Stores
    bases: tuple[DatabaseMember, ...]
    """The strictest engine first."""
    pace: Pace
    strategy: Strategy = Strategy.SINGLE
    username: str | None = None
    """Secrets of another user are refused; None: whatever they say."""
    append: AppendEntry | None = None
    """The audit log, where there is one."""
    connections: Connections | None = None


@dataclass
class _Memory:
    """What a tick knows beyond what it sees."""

    first: VersionId | None = None
    """A's CURRENT when it began: what is due is that, not what it made of it."""
    conflicts: int = 0
    unexplained: int = 0
    """Conflicts after which both stores were as before."""
    conflict: tuple[Fingerprint, Conflict] | None = None
    """The last one, and what was seen before it."""
    done: set[Hashable] = field(default_factory=set)
    """Rows that were done, each with the state that it was done in."""
    unknown: int = 0
    refusals: int = 0
    unfit: frozenset[tuple[int, Login]] = frozenset()
    reused: frozenset[tuple[int, Login]] = frozenset()
    retired: frozenset[int] = frozenset()
    reasons: dict[int, str] = field(default_factory=dict)
    """Why a database answered as it did."""
    fixes: dict[int, str] = field(default_factory=dict)
    """The statements that it takes to change that."""


class Tick:
    """Runs once. The account is in ``report`` at any time."""

    def __init__(
        self,
        rotation: Rotation,
        report: Report,
        watcher: Watcher,
        *,
        is_forced: bool = False,
        is_plan: bool = False,
        clock: Clock | None = None,
        ends: float | None = None,
    ) -> None:
        """``is_forced``: what is there when the tick begins is due. ``is_plan``: writes nothing.

        ``ends``: when the platform will end us, on the clock's monotonic scale.
        """
        self.report = report
        self._rotation = rotation
        self._watcher = watcher
        self._is_forced = is_forced
        self._is_plan = is_plan
        self._clock = clock or SystemClock()
        self._ends = ends
        self._memory = _Memory()
        self._is_stopped = False
        self._sight: Observation | None = None
        self._answers: dict[tuple[int, Login], Answer] = {}
        self._said: dict[str, str] = {}
        """What each database answered last."""
        alternates = rotation.strategy is Strategy.ALTERNATING
        self._notes = Notes(rotation.stores)
        self._guard = Guard(rotation.bases, self._clock, self._notes.write, is_forced=is_forced)
        self._writer = Writer(rotation.stores, alternates=alternates, now=self._clock.now)
        self._trail = AuditTrail(rotation.append, tuple(base.database.name for base in rotation.bases))

    async def run(self) -> Report:
        """Raises only what nobody foresaw."""
        outcome = "done"
        try:
            outcome = await self._to_the_end()
        except Error as exc:
            outcome = self._failed(exc)
        await self._conclude(outcome)
        if not self.report.failures:
            for error in self._guard.unavailable.values():
                self._warn(f"{error.message}; the next change would not be possible")
        await self._notes.settle(self._guard.failures, self._clock.now())
        if self._sight and not self._is_plan and self.report.exit_code is not ExitCode.REFUSED:
            await self._connect(self._sight)
            now = self._clock.now()
            async for concern in concerns(self._rotation.name, self._sight, self._rotation.bases, self._guard, now):
                self.report.concerns.append(concern)
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
            sight = self._sight = await observe(self._rotation.stores)
            await self._explain_conflict(sight)
            row = await self._choose(sight)
            if self._is_plan:
                return self._planned(row, sight)
            if row.act is Act.NOTHING:
                return self._rested(row, sight)
            if row.act is Act.STOP:
                raise self._stop_of(row)
            self._check_progress(row, sight)
            if self._is_late() and not self._is_stopped and not self.report.counts["step"]:
                raise ConfigError(
                    f"there is no time for a single step: one may take {RESERVE.total_seconds():.0f} s, and the "
                    "platform ends this run before",
                    hint="nothing was written; give the function a timeout of 120 s at least, better 300 s",
                )
            if self._is_stopped or self._is_late():
                self._warn("the tick ends before all is done; the next one goes on")
                return "interrupted"
            try:
                await self._do(row, sight)
            except databases.Busy as exc:
                self._memory.conflicts += 1
                if self._memory.conflicts > CONFLICTS:
                    return self._contended(str(exc))
            except Conflict as exc:
                if self._memory.conflicts >= CONFLICTS:
                    return self._contended(str(exc))
                self._memory.conflict = (_fingerprint(sight), exc)
            except (Transient, OutcomeUnknown) as exc:
                self._memory.unknown += 1
                if self._memory.unknown > UNKNOWN:
                    raise
                self._watcher.said(f"{words_of(row.name)}: {exc}; looking again")

    async def _explain_conflict(self, sight: Observation) -> None:
        """Another worker shows in what it changed; a conflict with nobody is a failure, and said to be one."""
        if self._memory.conflict is None:
            return
        before, conflict = self._memory.conflict
        self._memory.conflict = None
        if _fingerprint(sight) != before:
            self._memory.conflicts += 1
            return
        self._memory.unexplained += 1
        if self._memory.unexplained > CONFLICTS:
            raise Error(
                f"a write was refused as if somebody else had changed something, and nobody has: {conflict}",
                hint="the next run tries again; if it stays so, somebody holds the secret or the account otherwise",
            ) from conflict
        await asyncio.sleep(_PAUSE * self._memory.unexplained)

    def _check_progress(self, row: Row, sight: Observation) -> None:
        """No row is done twice in the same state: it would be done for ever."""
        if self._step_of(row, sight) in self._memory.done:
            raise Error(
                f"{words_of(row.name)} was done, and is to be done again though nothing has changed",
                hint=f"keepstep rotate {self._rotation.name} --plan; somebody may be undoing it on the database",
            )

    def _step_of(self, row: Row, sight: Observation) -> Hashable:
        what = row.what.id if row.what else None
        state = (_fingerprint(sight), self._memory.unfit, self._memory.retired)
        return (row.name, row.act, what, row.gen, row.member, row.version, state)

    async def _is_idle(self) -> bool:
        """Four calls and a login for each database where nothing is to be done."""
        if self._is_plan or self._is_forced:
            return False
        sight = await observe_if_idle(self._rotation.stores)
        if sight is None or self._is_due(sight) or self._is_grace_over(sight):
            return False
        row = await self._choose(sight)
        if row.act is not Act.NOTHING:
            return False
        self._sight = sight
        self._rested(row, sight)
        return True

    def _check_user(self, sight: Observation) -> None:
        wanted, user = self._rotation.username, sight.a.current.credential.username
        if wanted and wanted.casefold() not in (user.casefold(), partner(user).casefold()):
            raise Refused(
                f"the secrets are of the user {user}, and the databases of {wanted}",
                hint="nothing was written; name the secrets of that user",
            )

    async def _choose(self, sight: Observation) -> Row:
        """The row; every login that it takes is tried now, after the stores were read."""
        self._check_user(sight)
        self._memory.first = self._memory.first or sight.a.current.id
        self._guard.remember(self._notes.read(sight.primary))
        self._answers = dict.fromkeys(self._memory.unfit, Answer.REJECT)
        seen = self._seen(sight)
        while True:
            if row := self._known_to_be_lost(seen):
                return row
            row = decide(replace(seen, answers=self._answers))
            if row.act is not Act.PROBE:
                return row
            assert row.what
            weight = Weight.HEAVY if row.what.same(sight.a.current) else Weight.PLAIN
            probe = await self._guard.ask(row.member, row.what, weight=weight)
            self._answers[row.member, row.what.credential.login] = probe.answer
            self._memory.reasons[row.member] = probe.why
            self._memory.fixes[row.member] = probe.fix
            self._said[self._rotation.bases[row.member].database.name] = str(probe.answer)

    def _known_to_be_lost(self, seen: DecisionInput) -> Row | None:
        """What was rejected before may be set without being asked again; the lock's holder sees how things stand.

        Nothing else is decided by it: another worker may have set it meanwhile.
        """
        row = decide(replace(seen, answers={**seen.remembered, **self._answers}))
        return row if row.act is Act.APPLY else None

    def _seen(self, sight: Observation) -> DecisionInput:
        room = room_of(sight.secondary)
        held = {*sight.a.held(), *sight.o.held()}
        members = range(len(self._rotation.bases))
        return DecisionInput(
            primary=sight.a,
            secondary=sight.o,
            members=tuple(base.member for base in self._rotation.bases),
            alternates=self._rotation.strategy is Strategy.ALTERNATING,
            is_due=self._is_due(sight),
            is_grace_over=self._is_grace_over(sight),
            has_room=room.has_room,
            prunable=room.prunable,
            remembered={
                (member, one.credential.login): Answer.REJECT
                for member in members
                for one in held
                if self._guard.was_rejected(member, one)
            },
            newest_gen=sight.newest_gen,
            unfit=self._memory.unfit,
            reused=self._memory.reused,
            retired=self._memory.retired,
        )

    def _is_due(self, sight: Observation) -> bool:
        if self._memory.first not in (None, sight.a.current.id):
            return False
        return self._is_forced or self._rotation.pace.is_due(sight.created, self._clock.now())

    def _is_grace_over(self, sight: Observation) -> bool:
        look = sight.primary
        is_wanted = self._rotation.strategy.keeps_two and Stage.PREVIOUS in look.stages
        is_noted = look.labels.get(RETIRED) == sight.a.current.id
        is_over = self._rotation.pace.is_grace_over(look.changed, self._clock.now())
        return is_wanted and not is_noted and is_over

    async def _do(self, row: Row, sight: Observation) -> None:
        if row.act is Act.STAGE_A and row.what is None:
            await self._check(sight)
        if row.act is Act.UNLABEL and row.what == sight.a.current:
            await self._trail.conclude("rotated", sight, self._said)
        else:
            await self._intend(row, sight)
        if row.act not in (Act.APPLY, Act.RETIRE):
            if made := await self._writer.do(row, sight):
                for member in range(len(self._rotation.bases)):
                    self._guard.assume_rejected(member, made.login)
        elif not await self._change(row, sight):
            return
        self._memory.done.add(self._step_of(row, sight))
        self._done(row)

    async def _intend(self, row: Row, sight: Observation) -> None:
        try:
            await self._trail.intend(row, sight)
        except Error as exc:
            raise Error(f"the audit log cannot be written: {exc}", hint="nothing was changed in this tick") from exc

    async def _check(self, sight: Observation) -> None:
        """Preflight: every database can be changed, before anything is staged."""
        alternates = self._rotation.strategy is Strategy.ALTERNATING
        user = next_user(sight.a.current, alternates=alternates)
        policy = PasswordPolicy()
        for number, base in enumerate(self._rotation.bases):
            policy = policy.with_(await check(number, base, self._guard, sight.a.current, user))
        self._writer.policy = policy

    async def _change(self, row: Row, sight: Observation) -> bool:
        """False when the database does not take the password."""
        assert row.what
        base, key = self._rotation.bases[row.member], (row.member, row.what.credential.login)

        async def look_again() -> bool:
            look = await self._rotation.stores.look_again()
            self._guard.remember(self._notes.read(look))
            stages = (Stage.CURRENT, Stage.PENDING)
            return all(look.stages.get(stage) == sight.primary.stages.get(stage) for stage in stages)

        try:
            await databases.apply(base, row, sight.a, self._guard, look_again, f"keepstep {sight.primary.id}")
        except PasswordRefused as exc:
            self._memory.refusals += 1
            if self._memory.refusals > REFUSALS:
                raise
            self._watcher.said(f"{words_of(row.name)}: {exc}")
            self._memory.reused |= {key} if exc.reason is Reason.REUSE else set()
            self._memory.unfit |= {key}
            return False
        if row.act is Act.RETIRE:
            self._memory.retired |= {row.member}
        return True

    def _done(self, row: Row) -> None:
        where = self._rotation.bases[row.member].database.name if row.member >= 0 else ""
        self._trail.changes.append(f"{row.name} {where}".rstrip())
        self.report.counts["step"] += 1
        if row.name in ("S5", "D3") and row.act is Act.PROMOTE_A:
            self.report.counts["rotate"] += 1
        what = explain.described(row.what) if row.what else ""
        reason = _reason(row)
        self._record(Action(row.act.value, what or None, where or self._rotation.name, None, reason))

    def _record(self, action: Action) -> None:
        if self.report.actions is not None:
            self.report.actions.add(action)
        self._watcher.did(action)

    def _planned(self, row: Row, sight: Observation) -> str:
        for line in explain.state(sight):
            self._watcher.said(line)
        for (member, login), answer in self._answers.items():
            self._watcher.said(f"{self._rotation.bases[member].database.name}: {login.username} {answer}")
        call = explain.call(row, sight, self._rotation.bases)
        self._record(Action(row.act.value, None, self._rotation.name, None, _reason(row)))
        if call:
            self._watcher.said(f"call: {call}")
        if row.act is Act.STOP:
            raise self._stop_of(row)
        return "planned"

    def _rested(self, row: Row, sight: Observation) -> str:
        if row.why:
            next_ = room_of(sight.secondary).next
            self._warn(f"{row.why}: next at {next_:%Y-%m-%d %H:%M} UTC" if next_ else row.why)
        return "done"

    def _stop_of(self, row: Row) -> Error:
        if row.name == "X1":
            return Refused(row.why, hint="nothing was written; make both stores hold the same user")
        if row.name == "D6":
            return Error(row.why, hint="let that database's password rules take it, or set it there by hand")
        base = self._rotation.bases[row.member]
        if row.what and self._answers.get((row.member, row.what.credential.login)) is Answer.WITHHELD:
            return self._guard.withheld(row.member, row.what)
        reason = self._memory.reasons.get(row.member)
        text = f"{row.why}: {reason}" if reason else row.why
        user = row.what.credential.username if row.what else ""
        if "none of the passwords" in row.why:
            remedy = base.database.remedy(user)
            return Stopped(text, hint=f"an administrator has to run, with the CURRENT version's password: {remedy}")
        answer = self._answers.get((row.member, row.what.credential.login)) if row.what else None
        fix = self._memory.fixes.get(row.member) or (remedy_of(base, answer) if answer else None)
        return Stopped(text, hint=fix or "nothing is lost: the next run goes on where this one stopped")

    def _contended(self, why: str) -> str:
        """Somebody else is doing it: no error."""
        self._warn(f"contended: {why}")
        return "contended"

    def _failed(self, error: Error) -> str:
        self.report.exit_code = _code_of(error)
        failure = Failure.of("run", error, source=self._rotation.name)
        self.report.fail(failure)
        self._watcher.failed(failure)
        return "refused" if self.report.exit_code is ExitCode.REFUSED else "failed"

    async def _conclude(self, outcome: str) -> None:
        if not (self._trail.is_open and self._sight):
            return
        try:
            await self._trail.conclude(outcome, self._sight, self._said)
        except Error as exc:
            self._failed(Error(f"the audit log has no result of this run: {exc}"))

    async def _connect(self, sight: Observation) -> None:
        """The connection blobs; their trouble is reported, and stops nothing."""
        if self._rotation.connections is None:
            return
        async for failure in self._rotation.connections.keep(sight):
            self.report.fail(failure)
            self._watcher.failed(failure)
            self.report.exit_code = self.report.exit_code or ExitCode.FAILED

    def _warn(self, text: str) -> None:
        self.report.warn(text)
        self._watcher.warned(text)

    def _is_late(self) -> bool:
        return self._ends is not None and self._ends - time.monotonic() < RESERVE.total_seconds()


def _reason(row: Row) -> str:
    return f"{words_of(row.name)}: {row.why}" if row.why else words_of(row.name)


def _fingerprint(sight: Observation) -> Fingerprint:
    """What a worker changes when it does something to the stores; notes of failed logins are not that."""
    labels = {item for item in sight.primary.labels.items() if not item[0].startswith(PREFIX)}
    return frozenset(labels), sight.secondary.etag, frozenset(sight.secondary.stages.items())


def _code_of(error: Error) -> ExitCode:
    """Who may not read a secret has to mend something, as who wrote a wrong name; KMS and policies may recover."""
    if isinstance(error, Denied | Transient):
        return ExitCode.FAILED
    if isinstance(error, ConfigError | NotFound | Refused):
        return error.exit_code
    return ExitCode.FAILED
