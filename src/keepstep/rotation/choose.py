"""Which row comes next: asks the databases what the table needs to know, after the stores were read.

What was learnt in earlier rounds of the same tick counts: passwords that a database refused, members without an old
password, the version that was current when the tick began.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from keepstep.clock import Clock
from keepstep.databases.errors import PasswordRefused, RefusalReason
from keepstep.databases.interface import Answer, Login
from keepstep.errors import Refused
from keepstep.rotation.act import RETIRED
from keepstep.rotation.credential import partner
from keepstep.rotation.failures import Weight
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.notes import Notes
from keepstep.rotation.observe import Observation
from keepstep.rotation.pace import room_of
from keepstep.rotation.rows import Act, Decision, DecisionInput, Question, decide
from keepstep.rotation.wiring import Rotation
from keepstep.vaults.interface import Stage, VersionId


class Chooser:
    """One for a tick. ``is_forced``: what is current when the tick begins is due."""

    def __init__(
        self, rotation: Rotation, guard: LockoutGuard, notes: Notes, clock: Clock, *, is_forced: bool
    ) -> None:
        self.answers: dict[tuple[int, Login], Answer] = {}
        """What the databases said to logins in this round."""
        self.last_answers: dict[str, str] = {}
        """What each database answered last, by its name."""
        self.reasons: dict[int, str] = {}
        """Why a database answered as it did."""
        self.fixes: dict[int, str] = {}
        """The statements that change that."""
        self._rotation = rotation
        self._guard = guard
        self._notes = notes
        self._clock = clock
        self._is_forced = is_forced
        self._first: VersionId | None = None
        """The primary store's CURRENT when the tick began: only that is due, not what the tick made of it."""
        self._unfit: frozenset[tuple[int, Login]] = frozenset()
        self._reused: frozenset[tuple[int, Login]] = frozenset()
        self._retired: frozenset[int] = frozenset()

    @property
    def learnt(self) -> Hashable:
        """Changes with everything that may change the row though the stores are as before."""
        return self._unfit, self._retired

    def is_wanted(self, observation: Observation) -> bool:
        """Whether time alone asks for a change: a rotation is due, or old passwords are to be retired."""
        return self._is_due(observation) or self._is_grace_over(observation)

    async def choose(self, observation: Observation) -> Decision:
        """The row; every login that the table asks for is tried now.

        Raises :class:`Refused` when the secrets are of another user than the rotation's.
        """
        self._check_user(observation)
        self._first = self._first or observation.primary.current.id
        self._guard.remember(self._notes.read(observation.primary_state))
        self.answers = dict.fromkeys(self._unfit, Answer.REJECT)
        given = self._input(observation)
        while True:
            if decision := self._known_to_be_lost(given):
                return decision
            found = decide(replace(given, answers=self.answers))
            if isinstance(found, Decision):
                return found
            await self._ask(found, observation)

    def refused(self, number: int, login: Login, error: PasswordRefused) -> None:
        """The database did not take that password."""
        self._unfit |= {(number, login)}
        if error.reason is RefusalReason.REUSE:
            self._reused |= {(number, login)}

    def retired(self, number: int) -> None:
        """The database has no old password any more."""
        self._retired |= {number}

    async def _ask(self, question: Question, observation: Observation) -> None:
        is_current = question.what.same(observation.primary.current)
        weight = Weight.HEAVY if is_current else Weight.PLAIN
        probe = await self._guard.ask(question.member, question.what, weight=weight)
        self.answers[question.member, question.what.credential.login] = probe.answer
        self.reasons[question.member] = probe.why
        self.fixes[question.member] = probe.fix
        self.last_answers[self._rotation.member_name(question.member)] = str(probe.answer)

    def _known_to_be_lost(self, given: DecisionInput) -> Decision | None:
        """What was rejected before may be set without being asked again; the lock's holder sees how things stand.

        Nothing else is decided by it: another worker may have set it meanwhile.
        """
        found = decide(replace(given, answers={**given.remembered, **self.answers}))
        return found if isinstance(found, Decision) and found.act is Act.APPLY else None

    def _check_user(self, observation: Observation) -> None:
        wanted, user = self._rotation.username, observation.primary.current.credential.username
        if wanted and wanted.casefold() not in (user.casefold(), partner(user).casefold()):
            raise Refused(
                f"the secrets are of the user {user}, and the databases of {wanted}",
                hint="nothing was written; name the secrets of that user",
            )

    def _input(self, observation: Observation) -> DecisionInput:
        room = room_of(observation.secondary_state)
        return DecisionInput(
            primary=observation.primary,
            secondary=observation.secondary,
            members=tuple(member.as_input for member in self._rotation.members),
            alternates=self._rotation.alternates,
            is_due=self._is_due(observation),
            is_grace_over=self._is_grace_over(observation),
            has_room=room.has_room,
            prunable=room.prunable,
            remembered=self._remembered(observation),
            newest_gen=observation.newest_gen,
            unfit=self._unfit,
            reused=self._reused,
            retired=self._retired,
        )

    def _remembered(self, observation: Observation) -> dict[tuple[int, Login], Answer]:
        known = {*observation.primary.credentials(), *observation.secondary.credentials()}
        return {
            (number, staged.credential.login): Answer.REJECT
            for number in range(len(self._rotation.members))
            for staged in known
            if self._guard.was_rejected(number, staged)
        }

    def _is_due(self, observation: Observation) -> bool:
        if self._first not in (None, observation.primary.current.id):
            return False
        return self._is_forced or self._rotation.pace.is_due(observation.created, self._clock.now())

    def _is_grace_over(self, observation: Observation) -> bool:
        state = observation.primary_state
        is_wanted = self._rotation.strategy.keeps_two and Stage.PREVIOUS in state.stages
        is_noted = state.labels.get(RETIRED) == observation.primary.current.id
        is_over = self._rotation.pace.is_grace_over(state.changed, self._clock.now())
        return is_wanted and not is_noted and is_over
