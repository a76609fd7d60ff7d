"""Whole ticks on real databases and both local clouds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepstep.errors import ExitCode
from keepstep.rotation.changes import Strategy
from tests.rotation.fixture import FIRST, Scene

Real = Callable[..., Scene]


def rows(report: object) -> list[str]:
    """The rows that were done, in their order."""
    return [action.reason.rpartition("(")[2].partition(")")[0] for action in report.actions]  # type: ignore[attr-defined]


def test_a_rotation_with_alternating_users(real: Real) -> None:
    """The partner has the new password everywhere, both clouds are in step, and the old one goes on."""
    scene = real()
    report = scene.tick(now=True)
    assert report.exit_code is ExitCode.DONE
    assert rows(report) == ["S1", "S2", "S3", "S3", "S4", "S5", "S5b"]
    assert scene.is_in_step(2)
    current = scene.aws()
    assert current and current["username"] == scene.partner
    assert scene.all_let_in({"username": scene.user, "password": FIRST})


@pytest.mark.parametrize("has_admin", [True, False])
def test_a_rotation_of_a_single_user(real: Real, has_admin: bool) -> None:
    """With an administrator and without one: the user has the new password, and the old one is dead."""
    scene = real(strategy=Strategy.SINGLE, has_admin=has_admin)
    report = scene.tick(now=True)
    assert report.exit_code is ExitCode.DONE
    assert scene.is_in_step(2)
    assert not scene.all_let_in({"username": scene.user, "password": FIRST})


def test_an_idle_tick(real: Real) -> None:
    """Where nothing is due: four calls to the stores, and nothing is written anywhere."""
    scene = real()
    scene.tick(now=True)
    before = scene.stages(), scene.oci()
    report = scene.tick()
    assert report.exit_code is ExitCode.DONE
    assert sum(report.requests.values()) == 4
    assert set(report.requests) == {"DescribeSecret", "GetSecretValue", "GetSecret", "GetSecretBundle"}
    assert (scene.stages(), scene.oci()) == before
