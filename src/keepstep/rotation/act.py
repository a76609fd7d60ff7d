"""Does what a row says to the stores: each of these is one write, compared with what was seen."""

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
from keepstep.rotation.rows import Act, Row, StagedCredential
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

    async def do(self, row: Row, sight: Observation) -> Credential | None:
        """The fresh credential, where one was made and is now pending.

        Raises :class:`Conflict` when somebody was faster, and what the vaults raise. Repeating is safe.
        """
        if row.act is Act.STAGE_A:
            return await self._stage_in_primary(row, sight)
        deeds: dict[Act, Callable[[Row, Observation], Awaitable[None]]] = {
            Act.STAGE_O: self._stage_in_secondary,
            Act.PROMOTE_A: self._promote_in_primary,
            Act.PROMOTE_O: self._promote_in_secondary,
            Act.UNLABEL: self._unlabel,
            Act.NOTE_RETIRED: self._note_retired,
            Act.PRUNE: self._prune,
        }
        await deeds[row.act](row, sight)
        return None

    async def _stage_in_primary(self, row: Row, sight: Observation) -> Credential | None:
        """A rotation that is due labels with the put itself; what heals labels afterwards, where that compares.

        Only from the state that a due rotation begins in do all ways lead over the same token.
        """
        token = token_of(sight.primary.id, sight.a)
        payload = self._payload(row, sight)
        made = None if row.what else payload.credential
        try:
            is_labelled = await self._stores.put(token, payload.content(), PENDING if row.name == "S1" else STAGED)
            if row.name == "S1" and is_labelled:
                return made
        except Conflict:
            token, made = await self._version_there(row, sight, token), None
        away_from = sight.a.pending.id if sight.a.pending else None
        await self._stores.move(PENDING, to=VersionId(token), away_from=away_from)
        return made

    async def _version_there(self, row: Row, sight: Observation, token: str) -> str:
        """The token is taken: by what is wanted (its label was taken off), or by something else."""
        known = (await self._stores.primary_content(VersionId(token))).payload.credential
        is_wanted = known == replace(row.what.credential, gen=row.gen) if row.what else known.gen == row.gen
        if is_wanted:
            return token
        other = token_of(sight.primary.id, sight.a, row.gen)
        with suppress(Conflict):  # made by somebody who did not come to label it
            await self._stores.put(other, self._payload(row, sight).content(), STAGED)
        return other

    def _payload(self, row: Row, sight: Observation) -> Payload:
        current = sight.payload_of_a(sight.a.current)
        if row.what:
            return current.with_credential(replace(row.what.credential, gen=row.gen))
        user = next_user(sight.a.current, alternates=self._alternates)
        return current.with_credential(Credential(row.gen, user, fresh_password(user, self.policy)))

    async def _stage_in_secondary(self, row: Row, sight: Observation) -> None:
        assert row.what
        taken = {version.name for version in sight.secondary.versions}
        name, number = name_of(row.what), 1
        while name in taken:
            number += 1
            name = f"{name_of(row.what)}-{number}"
        content = sight.payload_of_o(sight.o.current).with_credential(row.what.credential).content()
        await self._stores.stage(sight.secondary, name, content)

    async def _promote_in_secondary(self, row: Row, sight: Observation) -> None:
        waiting = (sight.o.pending, sight.o.previous)
        meant = next(held for held in waiting if held and held.same(row.what))
        await self._stores.promote(sight.secondary, meant.id)

    async def _promote_in_primary(self, row: Row, sight: Observation) -> None:
        assert row.what
        await self._stores.move(CURRENT, to=row.what.id, away_from=sight.a.current.id)

    async def _unlabel(self, row: Row, sight: Observation) -> None:
        assert row.what
        await self._stores.move(PENDING, to=None, away_from=row.what.id)

    async def _note_retired(self, row: Row, sight: Observation) -> None:
        holder = sight.primary.labels.get(RETIRED)
        await self._stores.move(RETIRED, to=sight.a.current.id, away_from=holder)

    async def _prune(self, row: Row, sight: Observation) -> None:
        assert row.version
        await self._stores.prune(sight.secondary, row.version, self._now() + _MARGIN)


def next_user(current: StagedCredential, *, alternates: bool) -> str:
    """Whose password is changed next."""
    user = current.credential.username
    return partner(user) if alternates else user
