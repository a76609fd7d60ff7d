"""What there is now, in the order that the protocol needs: O before A, then contents, then (elsewhere) logins.

Read the other way round, a worker that stalled in between would take its own old view of O for newer than A.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from keepstep.errors import Refused
from keepstep.rotation.credential import Payload
from keepstep.rotation.rows import StagedCredential, Stages
from keepstep.rotation.stores import FetchedVersion, Stores
from keepstep.rotation.tokens import gen_in
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.staging import SecretState


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Both secrets at one moment."""

    primary: SecretState
    secondary: SecretState
    a: Stages
    o: Stages
    payloads: dict[VersionId, Payload]
    """A's, and under ``o:`` and its number O's."""
    created: datetime | None
    """When A's CURRENT was made."""
    pending_since: datetime | None = None
    """When A's PENDING was."""

    @property
    def newest_gen(self) -> int:
        """Also of versions that stand on no stage, as far as their names tell."""
        return max((gen_in(version.name) for version in self.secondary.versions), default=0)

    def payload_of_a(self, held: StagedCredential) -> Payload:
        return self.payloads[held.id]

    def payload_of_o(self, held: StagedCredential) -> Payload:
        return self.payloads[_of_o(held.id)]


async def observe_if_idle(stores: Stores) -> Observation | None:
    """Four calls that tell an idle credential: nothing pending, and both stores the same. Else None."""
    secondary = await stores.look_at_secondary(versions=False)
    primary = await stores.look_at_primary()
    c, o = primary.stages[Stage.CURRENT], secondary.stages[Stage.CURRENT]
    kept, other = await asyncio.gather(stores.primary_content(c), stores.secondary_content(o, anew=True))
    is_same = kept.payload.credential == other.payload.credential
    if Stage.PENDING in primary.stages or not is_same or not other.is_newest:
        return None
    return Observation(
        primary=primary,
        secondary=secondary,
        a=Stages(StagedCredential(c, kept.payload.credential)),
        o=Stages(StagedCredential(o, other.payload.credential)),
        payloads={c: kept.payload, _of_o(o): other.payload},
        created=kept.created,
    )


async def observe(stores: Stores) -> Observation:
    """Everything. Raises :class:`Refused` for what X2 names, and what the vaults raise."""
    secondary = await stores.look_at_secondary()
    primary = await stores.look_at_primary()
    ours = {stage: await stores.primary_content(id_) for stage, id_ in _wanted(primary, stores.primary_name)}
    theirs = {
        stage: await stores.secondary_content(id_) for stage, id_ in _wanted(secondary, stores.secondary_name)
    }
    _check_host(ours, stores.primary_name)
    _check_host(theirs, stores.secondary_name)
    payloads = {primary.stages[stage]: kept.payload for stage, kept in ours.items()}
    payloads |= {_of_o(secondary.stages[stage]): kept.payload for stage, kept in theirs.items()}
    return Observation(
        primary=primary,
        secondary=secondary,
        a=_stages(primary, ours),
        o=_stages(secondary, theirs),
        payloads=payloads,
        created=ours[Stage.CURRENT].created,
        pending_since=ours[Stage.PENDING].created if Stage.PENDING in ours else None,
    )


def _wanted(look: SecretState, name: str) -> list[tuple[Stage, VersionId]]:
    if Stage.CURRENT not in look.stages:
        raise Refused(f"{name} has no current version", hint='store {"username": …, "password": …} in it')
    return list(look.stages.items())


def _stages(look: SecretState, kept: dict[Stage, FetchedVersion]) -> Stages:
    held = {stage: StagedCredential(look.stages[stage], one.payload.credential) for stage, one in kept.items()}
    return Stages(held[Stage.CURRENT], held.get(Stage.PENDING), held.get(Stage.PREVIOUS))


def _check_host(kept: dict[Stage, FetchedVersion], name: str) -> None:
    """X1: a pending version that says another host is not for these databases."""
    if Stage.PENDING not in kept:
        return
    now, then = (kept[stage].payload.others.get("host") for stage in (Stage.CURRENT, Stage.PENDING))
    if now != then:
        raise Refused(f"{name}: the pending version is for another host ({then}) than the current one ({now})")


def _of_o(id_: VersionId) -> VersionId:
    return VersionId(f"o:{id_}")
