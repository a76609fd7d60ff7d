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

    primary_state: SecretState
    secondary_state: SecretState
    primary: Stages
    secondary: Stages
    payloads: dict[VersionId, Payload]
    """A's, and under ``o:`` and its number O's."""
    created: datetime | None
    """When A's CURRENT was made."""
    pending_since: datetime | None = None
    """When A's PENDING was."""

    @property
    def newest_gen(self) -> int:
        """Also of versions that stand on no stage, as far as their names tell."""
        return max((gen_in(version.name) for version in self.secondary_state.versions), default=0)

    def primary_payload(self, staged: StagedCredential) -> Payload:
        return self.payloads[staged.id]

    def secondary_payload(self, staged: StagedCredential) -> Payload:
        return self.payloads[_secondary_key(staged.id)]


async def observe_if_idle(stores: Stores) -> Observation | None:
    """Four calls that tell an idle credential: nothing pending, and both stores the same. Else None."""
    secondary = await stores.describe_secondary(versions=False)
    primary = await stores.describe_primary()
    ours, theirs = primary.stages[Stage.CURRENT], secondary.stages[Stage.CURRENT]
    fetched, other = await asyncio.gather(
        stores.primary_content(ours), stores.secondary_content(theirs, refresh=True)
    )
    is_same = fetched.payload.credential == other.payload.credential
    if Stage.PENDING in primary.stages or not is_same or not other.is_newest:
        return None
    return Observation(
        primary_state=primary,
        secondary_state=secondary,
        primary=Stages(StagedCredential(ours, fetched.payload.credential)),
        secondary=Stages(StagedCredential(theirs, other.payload.credential)),
        payloads={ours: fetched.payload, _secondary_key(theirs): other.payload},
        created=fetched.created,
    )


async def observe(stores: Stores) -> Observation:
    """Everything. Raises :class:`Refused` for what X2 names, and what the vaults raise."""
    secondary = await stores.describe_secondary()
    primary = await stores.describe_primary()
    ours = {stage: await stores.primary_content(id_) for stage, id_ in _wanted(primary, stores.primary_name)}
    theirs = {
        stage: await stores.secondary_content(id_) for stage, id_ in _wanted(secondary, stores.secondary_name)
    }
    _check_host(ours, stores.primary_name)
    _check_host(theirs, stores.secondary_name)
    payloads = {primary.stages[stage]: fetched.payload for stage, fetched in ours.items()}
    payloads |= {_secondary_key(secondary.stages[stage]): fetched.payload for stage, fetched in theirs.items()}
    return Observation(
        primary_state=primary,
        secondary_state=secondary,
        primary=_stages(primary, ours),
        secondary=_stages(secondary, theirs),
        payloads=payloads,
        created=ours[Stage.CURRENT].created,
        pending_since=ours[Stage.PENDING].created if Stage.PENDING in ours else None,
    )


def _wanted(state: SecretState, name: str) -> list[tuple[Stage, VersionId]]:
    if Stage.CURRENT not in state.stages:
        raise Refused(f"{name} has no current version", hint='store {"username": …, "password": …} in it')
    return list(state.stages.items())


def _stages(state: SecretState, fetched: dict[Stage, FetchedVersion]) -> Stages:
    staged = {
        stage: StagedCredential(state.stages[stage], one.payload.credential) for stage, one in fetched.items()
    }
    return Stages(staged[Stage.CURRENT], staged.get(Stage.PENDING), staged.get(Stage.PREVIOUS))


def _check_host(fetched: dict[Stage, FetchedVersion], name: str) -> None:
    """X1: a pending version that says another host is not for these databases."""
    if Stage.PENDING not in fetched:
        return
    now, then = (fetched[stage].payload.others.get("host") for stage in (Stage.CURRENT, Stage.PENDING))
    if now != then:
        raise Refused(f"{name}: the pending version is for another host ({then}) than the current one ({now})")


def _secondary_key(id_: VersionId) -> VersionId:
    return VersionId(f"o:{id_}")
