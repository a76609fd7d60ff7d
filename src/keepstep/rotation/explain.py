"""Rows in words: what was observed, and the exact call that would follow. No password is in any of it."""

from __future__ import annotations

from collections.abc import Iterator

from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.observe import Observation
from keepstep.rotation.rows import Act, Decision, StagedCredential, Stages
from keepstep.rotation.tokens import name_of, token_of


def versions(observation: Observation) -> Iterator[str]:
    """A line for each version that stands somewhere."""
    for store, stages in (("aws", observation.primary), ("oci", observation.secondary)):
        for stage, staged in _named(stages):
            yield f"{store} {stage}: {described(staged)}, version {staged.id}"


def described(staged: StagedCredential) -> str:
    return f"generation {staged.gen} of {staged.credential.username}"


def call(decision: Decision, observation: Observation, members: tuple[DatabaseMember, ...]) -> str:
    """What is sent, and where; empty when nothing is."""
    aws, oci = observation.primary_state.name, observation.secondary_state.name
    etag = observation.secondary_state.etag
    what = decision.what.id if decision.what else ""
    match decision.act:
        case Act.STAGE_A:
            later = "KEEPSTEP_STAGED], then UpdateSecretVersionStage [AWSPENDING"
            label = "AWSPENDING" if decision.row.labels_at_once else later
            token = token_of(observation.primary_state.id, observation.primary)
            return f"PutSecretValue SecretId={aws} ClientRequestToken={token} VersionStages=[{label}]"
        case Act.STAGE_O if decision.what:
            content = f"secretContent.name={name_of(decision.what)} stage=PENDING"
            return f"PUT /20180608/secrets/{oci} if-match={etag} {content}"
        case Act.PROMOTE_O:
            waiting = (observation.secondary.pending, observation.secondary.previous)
            number = next(staged.id for staged in waiting if staged and staged.same(decision.what))
            return f"PUT /20180608/secrets/{oci} if-match={etag} currentVersionNumber={number}"
        case Act.PROMOTE_A:
            ends = f"MoveToVersionId={what} RemoveFromVersionId={observation.primary.current.id}"
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=AWSCURRENT {ends}"
        case Act.UNLABEL:
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=AWSPENDING RemoveFromVersionId={what}"
        case Act.NOTE_RETIRED:
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=KEEPSTEP_RETIRED MoveToVersionId={what}"
        case Act.PRUNE:
            return (
                f"POST /20180608/secrets/{oci}/version/{decision.version}/actions/scheduleDeletion if-match={etag}"
            )
        case Act.APPLY | Act.RETIRE if decision.what:
            return _statement(decision, decision.what, members[decision.member])
        case _:
            return ""


def _statement(decision: Decision, what: StagedCredential, member: DatabaseMember) -> str:
    user = what.credential.username
    if decision.act is Act.RETIRE:
        return f"{member.database.name}: retire the old password of {user}"
    return f"{member.database.name}: {member.database.remedy(user)} ({member.strategy})"


def _named(stages: Stages) -> Iterator[tuple[str, StagedCredential]]:
    named = (("current", stages.current), ("pending", stages.pending), ("previous", stages.previous))
    yield from ((name, staged) for name, staged in named if staged)
