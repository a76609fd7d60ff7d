"""The connection blob: ready-made connection strings, rebuilt from CURRENT in each cloud.

It is derived data: the next run builds it again, and nothing waits for it. A blob is written when its content is
not what it would be built as, pending first and then promoted, compared as the credential's own versions are.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from keepstep.databases.adapters import adapter_of
from keepstep.databases.endpoint import Endpoint
from keepstep.databases.engines import Engine
from keepstep.errors import Conflict
from keepstep.rotation.credential import SCHEMA, Credential
from keepstep.secret import Secret
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.staging import LabelledVault, RevisedVault, SecretState

_NAMESPACE = uuid.UUID("0c5d3f3a-6f0b-5b43-8a43-6d5c5f0a9be1")


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """One database as clients reach it: an endpoint, or a dsn."""

    engine: Engine
    endpoint: Endpoint | None = None
    dsn: str = ""


def build(credential: Credential, places: Iterable[DatabaseAddress]) -> Secret:
    """The blob's JSON; the same credential and databases always make the same bytes."""
    document = {
        "schema": SCHEMA,
        "gen": credential.gen,
        "username": credential.username,
        "password": credential.password.reveal(),
        "databases": [_described(place, credential) for place in places],
    }
    return Secret(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


Confirm = Callable[[], Awaitable[bool]]
"""Whether the blob's generation is still the current one: asked only where the blob that is there is newer."""


async def keep_on_aws(vault: LabelledVault, name: str, wanted: Secret, confirm: Confirm) -> bool:
    """True when it had to be written. One read when it is in step.

    A blob of a later generation stays. Raises :class:`Conflict` when somebody else wrote it since it was read.
    """
    value = await vault.get(name)
    if value.content == wanted or (_gen_of(value.content) > _gen_of(wanted) and not await confirm()):
        return False
    state = await vault.describe(name)
    read = value.version.id
    if state.stages[Stage.CURRENT] != read:
        raise Conflict(f"{name} has changed meanwhile")
    digest = hashlib.sha256(wanted.reveal_bytes()).hexdigest()
    token = str(uuid.uuid5(_NAMESPACE, f"{state.id}|{read}|{digest}"))
    await vault.put(name, token, wanted, "AWSPENDING")
    await vault.move(name, "AWSCURRENT", to=VersionId(token), away_from=read)
    return True


async def keep_on_oci(vault: RevisedVault, name: str, wanted: Secret, confirm: Confirm) -> bool:
    """The same: what was read must still be current when the new version is staged, and when it is promoted."""
    value = await vault.get(name)
    if value.content == wanted or (_gen_of(value.content) > _gen_of(wanted) and not await confirm()):
        return False
    state = await _unchanged(vault, name, value.version.id)
    if Stage.PENDING not in state.stages or (await vault.get(name, state.stages[Stage.PENDING])).content != wanted:
        await vault.stage(state, f"blob-{len(state.versions) + 1}-{uuid.uuid4().hex[:8]}", wanted)
        state = await _unchanged(vault, name, value.version.id)
        if (await vault.get(name, state.stages[Stage.PENDING])).content != wanted:
            raise Conflict(f"{name} has changed meanwhile")
    await vault.promote(state, state.stages[Stage.PENDING])
    return True


async def _unchanged(vault: RevisedVault, name: str, current: VersionId) -> SecretState:
    state = await vault.describe(name)
    if state.stages[Stage.CURRENT] != current:
        raise Conflict(f"{name} has changed meanwhile")
    return state


def _gen_of(content: Secret) -> int:
    """The generation that a blob was built from; 0 for what keepstep did not build."""
    try:
        gen = json.loads(content.reveal_bytes())["gen"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return gen if type(gen) is int else 0


def _described(place: DatabaseAddress, credential: Credential) -> dict[str, Any]:
    strings = adapter_of(place.engine).connection_strings(place.endpoint or place.dsn, credential.login)
    if place.endpoint is None:
        return {"engine": place.engine.value, "dsn": place.dsn, **strings}
    where = {"host": place.endpoint.host, "port": place.endpoint.port, "name": place.endpoint.name}
    return {"engine": place.engine.value, **where, **strings}
