"""Rows in words: what was observed, and the exact call that would follow. No password is in any of it."""

from __future__ import annotations

from collections.abc import Iterator

from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.observe import Observation
from keepstep.rotation.rows import Act, Row, StagedCredential, Stages
from keepstep.rotation.tokens import name_of, token_of


def state(sight: Observation) -> Iterator[str]:
    """A line for each version that stands somewhere."""
    for store, stages in (("aws", sight.a), ("oci", sight.o)):
        for stage, held in _named(stages):
            yield f"{store} {stage}: {described(held)}, version {held.id}"


def described(held: StagedCredential) -> str:
    return f"generation {held.gen} of {held.credential.username}"


def call(row: Row, sight: Observation, bases: tuple[DatabaseMember, ...]) -> str:
    """What is sent, and where; empty when nothing is."""
    aws, oci = sight.primary.name, sight.secondary.name
    etag = sight.secondary.etag
    what = row.what.id if row.what else ""
    match row.act:
        case Act.STAGE_A:
            label = (
                "AWSPENDING" if row.name == "S1" else "KEEPSTEP_STAGED], then UpdateSecretVersionStage [AWSPENDING"
            )
            token = token_of(sight.primary.id, sight.a)
            return f"PutSecretValue SecretId={aws} ClientRequestToken={token} VersionStages=[{label}]"
        case Act.STAGE_O if row.what:
            return (
                f"PUT /20180608/secrets/{oci} if-match={etag} secretContent.name={name_of(row.what)} stage=PENDING"
            )
        case Act.PROMOTE_O:
            number = next(h.id for h in (sight.o.pending, sight.o.previous) if h and h.same(row.what))
            return f"PUT /20180608/secrets/{oci} if-match={etag} currentVersionNumber={number}"
        case Act.PROMOTE_A:
            ends = f"MoveToVersionId={what} RemoveFromVersionId={sight.a.current.id}"
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=AWSCURRENT {ends}"
        case Act.UNLABEL:
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=AWSPENDING RemoveFromVersionId={what}"
        case Act.NOTE_RETIRED:
            return f"UpdateSecretVersionStage SecretId={aws} VersionStage=KEEPSTEP_RETIRED MoveToVersionId={what}"
        case Act.PRUNE:
            return f"POST /20180608/secrets/{oci}/version/{row.version}/actions/scheduleDeletion if-match={etag}"
        case Act.APPLY | Act.RETIRE if row.what:
            return _statement(row, row.what, bases[row.member])
        case _:
            return ""


def _statement(row: Row, what: StagedCredential, base: DatabaseMember) -> str:
    user = what.credential.username
    if row.act is Act.RETIRE:
        return f"{base.database.name}: retire the old password of {user}"
    return f"{base.database.name}: {base.database.remedy(user)} ({base.strategy})"


def _named(stages: Stages) -> Iterator[tuple[str, StagedCredential]]:
    named = (("current", stages.current), ("pending", stages.pending), ("previous", stages.previous))
    yield from ((name, held) for name, held in named if held)
