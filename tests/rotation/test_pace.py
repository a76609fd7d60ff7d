"""When something is due, and how many versions OCI Vault still takes: the edges of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keepstep.rotation.pace import IN_USE, KEPT, PENDING_DELETION, RotationPace, room_of
from keepstep.vaults.interface import VersionId
from keepstep.vaults.staging import SecretState, VersionInfo

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("age", "expected"), [(24 * HOUR - SECOND, False), (24 * HOUR, True), (None, True)])
def test_due(age: timedelta | None, expected: bool) -> None:
    """To the second at which the interval is over; a version without a time is old."""
    pace = RotationPace(interval=24 * HOUR, grace=HOUR)
    assert pace.is_due(NOW - age if age else None, NOW) is expected


@pytest.mark.parametrize(
    ("grace", "age", "expected"),
    [
        (HOUR, HOUR - SECOND, False),
        (HOUR, HOUR, True),
        (48 * HOUR, 24 * HOUR - SECOND, False),
        (48 * HOUR, 24 * HOUR, True),
        (HOUR, None, True),
    ],
)
def test_grace(grace: timedelta, age: timedelta | None, expected: bool) -> None:
    """An old password works for the grace, and never longer than the interval."""
    pace = RotationPace(interval=24 * HOUR, grace=grace)
    assert pace.is_grace_over(NOW - age if age else None, NOW) is expected


@pytest.mark.parametrize(
    ("in_use", "deprecated", "waiting", "has_room", "prunable", "next_"),
    [
        (1, 0, 0, True, None, None),
        (1, KEPT, 0, True, None, None),
        (1, KEPT + 1, 0, True, "2", None),
        (IN_USE - 1, 0, 0, True, None, None),
        (IN_USE, 0, 0, False, None, None),
        (IN_USE - 2, 1, 0, True, None, None),
        (IN_USE - 1, 1, 0, False, str(IN_USE), None),
        (IN_USE, 0, 3, False, None, NOW + (IN_USE + 1) * HOUR),
        (1, KEPT + 1, PENDING_DELETION - 1, True, "2", None),
        (1, KEPT + 1, PENDING_DELETION, True, None, NOW + (KEPT + 3) * HOUR),
    ],
)
def test_room(
    in_use: int, deprecated: int, waiting: int, has_room: bool, prunable: str | None, next_: datetime | None
) -> None:
    """Versions that are in use, deprecated (the oldest is pruned first) and waiting for their deletion."""
    kinds = ["in use"] * in_use + ["deprecated"] * deprecated + ["waiting"] * waiting
    versions = [_version(number, kind) for number, kind in enumerate(kinds, 1)]
    state = SecretState(name="name", id="ocid", stages={}, versions=tuple(reversed(versions)))
    room = room_of(state)
    assert (room.has_room, room.prunable, room.next) == (has_room, prunable and VersionId(prunable), next_)


def _version(number: int, kind: str) -> VersionInfo:
    id_ = VersionId(str(number))
    if kind == "waiting":
        return VersionInfo(id=id_, is_deprecated=True, deletion=NOW + number * HOUR)
    return VersionInfo(id=id_, is_deprecated=kind == "deprecated")
