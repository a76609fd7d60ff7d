"""Logins under fire: clients log in without pause while a credential is rotated again and again.

200 rotations with ``make test-rotation-full``; a few in CI.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from keepstep.errors import ExitCode
from keepstep.rotation.changes import Strategy
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.oracle import OracleServer
from tests.rotation.fixture import Clouds, Scene, Server, log_in

pytestmark = pytest.mark.long

ROTATIONS = 200 if os.environ.get("FULL") else 2
PAUSE = 0.002 if os.environ.get("FULL") else 0.02
"""Seconds between two logins of one client."""
Real = Callable[..., Scene]


class Client(threading.Thread):
    """Reads CURRENT from one cloud and logs in with it at once, until it is told to stop."""

    def __init__(self, member: Server, read: Callable[[], dict[str, Any] | None], outcomes: Counter[str]) -> None:
        super().__init__(daemon=True)
        self._member = member
        self._read = read
        self._outcomes = outcomes
        self._end = threading.Event()
        self.blips: list[float] = []
        """Seconds from a failed login to the next that succeeded."""

    def run(self) -> None:
        failing_since = 0.0
        while not self._end.wait(PAUSE):
            payload = self._read()
            assert payload
            try:
                log_in(self._member, payload["username"], payload["password"])
            except Exception as exc:  # noqa: BLE001 - each driver has its own
                self._outcomes["failed"] += 1
                self._outcomes[f"failed: {type(exc).__name__}"] += 1
                failing_since = failing_since or time.monotonic()
                continue
            self._outcomes["ok"] += 1
            if failing_since:
                self.blips.append(time.monotonic() - failing_since)
                failing_since = 0.0

    def stop(self) -> None:
        self._end.set()
        self.join()


def rotate(scene: Scene) -> None:
    assert scene.tick(now=True).exit_code is ExitCode.DONE


def under_fire(
    scene: Scene, rotations: int = ROTATIONS, rotate: Callable[[Scene], None] = rotate
) -> tuple[Counter[str], list[float]]:
    """Rotates while a client of each database reads each cloud. Gives the outcomes, and how long blips took."""
    outcomes: Counter[str] = Counter()
    clients = [Client(member, read, outcomes) for member in scene.members for read in (scene.aws, scene.oci)]  # type: ignore[arg-type]
    for client in clients:
        client.start()
    try:
        for _ in range(rotations):
            rotate(scene)
            assert scene.all_let_in(scene.aws())
    finally:
        for client in clients:
            client.stop()
    return outcomes, [blip for client in clients for blip in client.blips]


def test_alternating_users_on_real_databases(real: Real) -> None:
    """PostgreSQL and MariaDB: not one login with AWS's or OCI's CURRENT fails."""
    outcomes, _ = under_fire(real())
    assert outcomes["ok"] > 5 * ROTATIONS
    assert not outcomes["failed"], outcomes


@pytest.mark.parametrize("strategy", [Strategy.DUAL, Strategy.ROLLOVER])
def test_two_passwords(
    clouds: Clouds,
    mysql_server: MysqlServer,
    oracle_server: OracleServer,
    strategy: Strategy,
    record_property: Callable[[str, object], None],
) -> None:
    """MySQL's dual passwords and Oracle's rollover, through the real drivers: not one login fails.

    MySQL is the real server; the one for Oracle is a stand-in that keeps the rules that Oracle documents.
    """
    members = [mysql_server] if strategy is Strategy.DUAL else [oracle_server]
    outcomes, _ = under_fire(Scene(clouds, members, strategy=strategy))
    record_property("logins", outcomes["ok"])
    record_property("failed", outcomes["failed"])
    assert outcomes["ok"] > 2 * ROTATIONS
    assert not outcomes["failed"], outcomes


def test_a_single_user_has_a_measured_blip(real: Real, record_property: Callable[[str, object], None]) -> None:
    """With one user and one password logins may fail between APPLY and PROMOTE, for less than a tick."""
    outcomes, blips = under_fire(real(strategy=Strategy.SINGLE))
    record_property("blip_seconds", max(blips, default=0.0))
    record_property("failed", outcomes["failed"])
    assert outcomes["ok"] > ROTATIONS
    assert max(blips, default=0.0) < 60
