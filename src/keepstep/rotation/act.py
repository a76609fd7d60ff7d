"""Carries out a row's act on the stores: each is one write, conditional on what was observed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from keepstep.databases.interface import PasswordPolicy
from keepstep.errors import Conflict
from keepstep.rotation.credential import Credential, Payload, partner
from keepstep.rotation.observe import Observation
from keepstep.rotation.passwords import fresh_password
from keepstep.rotation.rows import Act, Decision, StagedCredential
from keepstep.rotation.stores import Stores
from keepstep.rotation.tokens import name_of, token_of
from keepstep.vaults.interface import VersionId

PENDING, CURRENT = "AWSPENDING", "AWSCURRENT"
STAGED = "KEEPSTEP_STAGED"
"""Where a version waits until AWSPENDING has been compared and moved to it."""
RETIRED = "KEEPSTEP_RETIRED"
"""Stands on the version whose predecessors' passwords are known to be dead everywhere."""
_MARGIN = timedelta(days=1, hours=1)
"""OCI deletes a version a day ahead at the soonest."""


class Writer:
    """One for a tick."""

    def __init__(self, stores: Stores, *, alternates: bool, now: Callable[[], datetime]) -> None:
        self._stores = stores
        self._alternates = alternates
        self._now = now
        self.policy = PasswordPolicy()
        """What a fresh password has to meet."""

    async def do(self, decision: Decision, observation: Observation) -> Credential | None:
        """The fresh credential, where one was made and is now pending.

        Raises :class:`Conflict` when somebody was faster, and what the vaults raise. Repeating is safe.
        """
        if decision.act is Act.STAGE_A:
            return await self._stage_in_primary(decision, observation)
        deeds: dict[Act, Callable[[Decision, Observation], Awaitable[None]]] = {
            Act.STAGE_O: self._stage_in_secondary,
            Act.PROMOTE_A: self._promote_in_primary,
            Act.PROMOTE_O: self._promote_in_secondary,
            Act.UNLABEL: self._unlabel,
            Act.NOTE_RETIRED: self._note_retired,
            Act.PRUNE: self._prune,
        }
        await deeds[decision.act](decision, observation)
        return None

    async def _stage_in_primary(self, decision: Decision, observation: Observation) -> Credential | None:
        """A rotation that is due labels with the put itself; what heals labels afterwards, where that compares.

        Only from the state that a due rotation begins in do all ways lead over the same token.
        """
        token = token_of(observation.primary_state.id, observation.primary)
        payload = self._payload(decision, observation)
        made = None if decision.what else payload.credential
        try:
            label = PENDING if decision.row.labels_at_once else STAGED
            if await self._stores.put(token, payload.content(), label) and label == PENDING:
                return made
        except Conflict:
            token, made = await self._version_there(decision, observation, token), None
        away_from = observation.primary.pending.id if observation.primary.pending else None
        await self._stores.move(PENDING, to=VersionId(token), away_from=away_from)
        return made

    async def _version_there(self, decision: Decision, observation: Observation, token: str) -> str:
        """The token is taken: by what is wanted (its label was taken off), or by something else."""
        known = (await self._stores.primary_content(VersionId(token))).payload.credential
        wanted = replace(decision.what.credential if decision.what else known, gen=decision.gen)
        if known == wanted:
            return token
        other = token_of(observation.primary_state.id, observation.primary, decision.gen)
        with suppress(Conflict):  # made by somebody who did not come to label it
            await self._stores.put(other, self._payload(decision, observation).content(), STAGED)
        return other

    def _payload(self, decision: Decision, observation: Observation) -> Payload:
        current = observation.primary_payload(observation.primary.current)
        if decision.what:
            return current.with_credential(replace(decision.what.credential, gen=decision.gen))
        user = next_user(observation.primary.current, alternates=self._alternates)
        return current.with_credential(Credential(decision.gen, user, fresh_password(user, self.policy)))

    async def _stage_in_secondary(self, decision: Decision, observation: Observation) -> None:
        assert decision.what
        taken = {version.name for version in observation.secondary_state.versions}
        name, number = name_of(decision.what), 1
        while name in taken:
            number += 1
            name = f"{name_of(decision.what)}-{number}"
        payload = observation.secondary_payload(observation.secondary.current)
        content = payload.with_credential(decision.what.credential).content()
        await self._stores.stage(observation.secondary_state, name, content)

    async def _promote_in_secondary(self, decision: Decision, observation: Observation) -> None:
        waiting = (observation.secondary.pending, observation.secondary.previous)
        meant = next(staged for staged in waiting if staged and staged.same(decision.what))
        await self._stores.promote(observation.secondary_state, meant.id)

    async def _promote_in_primary(self, decision: Decision, observation: Observation) -> None:
        assert decision.what
        await self._stores.move(CURRENT, to=decision.what.id, away_from=observation.primary.current.id)

    async def _unlabel(self, decision: Decision, observation: Observation) -> None:
        assert decision.what
        await self._stores.move(PENDING, to=None, away_from=decision.what.id)

    async def _note_retired(self, decision: Decision, observation: Observation) -> None:
        holder = observation.primary_state.labels.get(RETIRED)
        await self._stores.move(RETIRED, to=observation.primary.current.id, away_from=holder)

    async def _prune(self, decision: Decision, observation: Observation) -> None:
        assert decision.version
        await self._stores.prune(observation.secondary_state, decision.version, self._now() + _MARGIN)


def next_user(current: StagedCredential, *, alternates: bool) -> str:
    """Whose password is changed next."""
    user = current.credential.username
    return partner(user) if alternates else user
