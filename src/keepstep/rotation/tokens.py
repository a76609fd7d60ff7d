"""Names of versions that two workers derive alike from the same state, so that one of them wins.

Secrets Manager takes a ClientRequestToken once: with other content it is refused. OCI takes a version's name once.
"""

from __future__ import annotations

import uuid

from keepstep.rotation.rows import StagedCredential, Stages

_NAMESPACE = uuid.UUID("6b1f4c0e-2d64-5a57-9d5e-0f4f5f0c7a41")


def token_of(arn: str, stages: Stages, gen: int | None = None) -> str:
    """The id of the version that is staged next in the primary store.

    ``gen`` tells it from an earlier version that was staged from the same state and is not what is wanted now.
    """
    known = (stages.current, stages.pending, stages.previous)
    parts = [arn, *(staged.id if staged else "-" for staged in known), *([] if gen is None else [str(gen)])]
    return str(uuid.uuid5(_NAMESPACE, "|".join(parts)))


def name_of(staged: StagedCredential) -> str:
    """The name of the secondary store's version of what the primary holds as pending: ``rot-g7-1f3c9a2e``."""
    return f"rot-g{staged.gen}-{staged.id[:8]}"


def gen_in(name: str) -> int:
    """The generation in such a name; 0 for any other."""
    prefix, _, rest = name.partition("-g")
    number = rest.partition("-")[0]
    return int(number) if prefix == "rot" and number.isdecimal() else 0
