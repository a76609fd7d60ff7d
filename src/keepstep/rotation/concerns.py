"""Concerns that people should know about although the tick succeeded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from keepstep.databases.interface import Account
from keepstep.errors import Error
from keepstep.rotation.changes import Strategy
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.members import look_at
from keepstep.rotation.observe import Observation
from keepstep.rotation.pace import room_of
from keepstep.runs.report import Concern


async def concerns(
    name: str, observation: Observation, members: tuple[DatabaseMember, ...], guard: LockoutGuard, now: datetime
) -> AsyncIterator[Concern]:
    """Of what was seen last, when the tick had ended."""
    command = f"keepstep rotate {name} --plan"
    pending = observation.primary.pending
    if pending and pending.id != observation.primary.current.id:
        since = observation.pending_since or now
        yield Concern(
            "pending",
            since,
            f"the rotation to generation {pending.gen} is not finished since {since:%Y-%m-%d %H:%M} UTC",
            "CURRENT goes on working; the databases do not all have the pending password yet",
            "see the obstacles that the plan names",
            command,
        )
        for number, member in enumerate(members):
            if member.strategy is not Strategy.ROLLOVER:
                continue
            if until := await _window(number, member, guard, observation, since, now):
                yield _half_gone(member, until, since, command)
    room = room_of(observation.secondary_state)
    if not room.has_room and room.prunable is None:
        yield Concern(
            "oci-quota",
            room.next or now,
            "OCI Vault takes no more versions of the secret now",
            "rotations wait until a deprecated version is gone",
            "rotate less often: about 30 rotations a day are what OCI's quota allows",
            command,
        )


def _half_gone(member: DatabaseMember, until: datetime, since: datetime, command: str) -> Concern:
    return Concern(
        "oracle-window",
        since,
        f"{member.database.name}: the current password dies at {until:%Y-%m-%d %H:%M} UTC",
        "half of its PASSWORD_ROLLOVER_TIME is gone, and the rotation is not finished",
        "let the rotation finish before that, or undo it on the database",
        command,
    )


async def _window(
    number: int,
    member: DatabaseMember,
    guard: LockoutGuard,
    observation: Observation,
    since: datetime,
    now: datetime,
) -> datetime | None:
    """When the old password dies, once half of its time is gone; None also where that cannot be read now."""
    try:
        account: Account | None = await look_at(number, member, guard, observation.primary.current)
    except Error:
        return None
    until = account.second_password_until if account else None
    return until if until and now - since >= (until - since) / 2 else None
