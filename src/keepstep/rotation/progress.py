"""Keeps a tick from looping forever: limits on conflicts, lost answers and refused passwords.

Another worker shows in what it changed: a conflict after which both stores are as before is not contention but a
failure that is reported. No row is done twice in the same state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from keepstep.errors import Conflict, Error
from keepstep.rotation.failures import PREFIX
from keepstep.rotation.observe import Observation
from keepstep.rotation.rows import Decision

CONFLICTS = 5
"""How often somebody else may be faster before a tick leaves the rest to them."""
UNKNOWN = 5
"""How often an answer may be lost."""
REFUSALS = 3
"""How many passwords a database may refuse before its rules are taken to be the trouble."""
PAUSE = 0.5
"""Seconds after a conflict that nothing explains; each further one waits longer."""


@dataclass
class TickProgress:
    """One tick's."""

    name: str
    """The rotation's, for hints."""
    _conflicts: int = 0
    _unexplained: int = 0
    """Conflicts after which both stores were as before."""
    _conflict: tuple[Hashable, Conflict] | None = None
    """The last one, and what was observed before it."""
    _unknown: int = 0
    _refusals: int = 0
    _done: set[Hashable] = field(default_factory=set)
    """Rows that were done, each with the state that it was done in."""

    def check(self, decision: Decision, observation: Observation, learnt: Hashable) -> None:
        """Raises :class:`Error` when the row was done already, and nothing has changed by it."""
        if _step_of(decision, observation, learnt) in self._done:
            raise Error(
                f"{decision.row.words} was done, and is to be done again though nothing has changed",
                hint=f"keepstep rotate {self.name} --plan; somebody may be undoing it on the database",
            )

    def did(self, decision: Decision, observation: Observation, learnt: Hashable) -> None:
        self._done.add(_step_of(decision, observation, learnt))

    def was_locked_out(self) -> bool:
        """Another worker has a database's lock. False when that was too often."""
        self._conflicts += 1
        return self._conflicts <= CONFLICTS

    def was_slower(self, observation: Observation, conflict: Conflict) -> bool:
        """A write was refused because of what another worker wrote. False when that was too often."""
        self._conflict = (_fingerprint(observation), conflict)
        return self._conflicts < CONFLICTS

    def was_lost(self) -> bool:
        """An answer did not arrive. False when that was too often."""
        self._unknown += 1
        return self._unknown <= UNKNOWN

    def was_refused(self) -> bool:
        """A database did not take a password. False when that was too often."""
        self._refusals += 1
        return self._refusals <= REFUSALS

    async def explain_conflict(self, observation: Observation) -> None:
        """Counts the last conflict, by what is observed after it; waits where nothing shows another worker.

        Raises :class:`Error` when that was too often.
        """
        if self._conflict is None:
            return
        before, conflict = self._conflict
        self._conflict = None
        if _fingerprint(observation) != before:
            self._conflicts += 1
            return
        self._unexplained += 1
        if self._unexplained > CONFLICTS:
            raise Error(
                f"a write was refused as a conflict, although nothing has changed: {conflict}",
                hint="the next run tries again; if that persists, another program holds the secret or the account",
            ) from conflict
        await asyncio.sleep(PAUSE * self._unexplained)


def _step_of(decision: Decision, observation: Observation, learnt: Hashable) -> Hashable:
    what = decision.what.id if decision.what else None
    step = (decision.row, decision.act, what, decision.gen, decision.member, decision.version)
    return (*step, _fingerprint(observation), learnt)


def _fingerprint(observation: Observation) -> Hashable:
    """What a worker changes when it does something to the stores; notes of failed logins are not that."""
    labels = {item for item in observation.primary_state.labels.items() if not item[0].startswith(PREFIX)}
    secondary = observation.secondary_state
    return frozenset(labels), secondary.etag, frozenset(secondary.stages.items())
