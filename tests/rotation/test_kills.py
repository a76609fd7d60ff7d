"""Killed before and after every write, on real databases: one clean tick puts everything right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keepstep.rotation.changes import Strategy
from tests.rotation.fixture import Clouds, Scene, lets_in

Real = Callable[..., Scene]
FULL = bool(os.environ.get("FULL"))
"""``make test-rotation-full``: every strategy, and before each write too, which is after the one before it."""
HERE = Path(__file__).parent


class Killer:
    """Ticks, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tick(self, scene: Scene, *, now: bool = False, kill_at: int | None = None) -> int:
        """The exit code; -9 when it was killed, and not when it ended before that moment."""
        assert self._process.stdin and self._process.stdout
        request = {**scene.described(), "now": now, "kill_at": kill_at}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture
def killer(clouds: Clouds, tmp_path: Path) -> Iterator[Killer]:
    command = [sys.executable, "-P", "-m", "tests.rotation.killer"]
    env: dict[str, Any] = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    with (tmp_path / "killer.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env
        )
        with process:
            yield Killer(process)
            assert process.stdin
            process.stdin.close()


def check_nobody_is_locked_out(scene: Scene, moment: int) -> None:
    """CURRENT of each store logs in where users take turns; else one of CURRENT, PENDING and PREVIOUS does."""
    for read in (scene.aws, scene.oci):
        stages = ("CURRENT",) if scene.strategy is Strategy.ALTERNATING else ("CURRENT", "PENDING", "PREVIOUS")
        for member in scene.members:
            payloads = [payload for payload in map(read, stages) if payload]
            assert any(lets_in(member, payload) for payload in payloads), moment


@pytest.mark.parametrize(
    ("strategy", "has_admin"),
    [(Strategy.ALTERNATING, True), *([(Strategy.SINGLE, True), (Strategy.SINGLE, False)] if FULL else [])],
)
def test_killed_anywhere(real: Real, killer: Killer, strategy: Strategy, has_admin: bool) -> None:
    """Nobody is locked out at any moment, and one clean tick brings both clouds and both databases in step."""
    scene = real(strategy=strategy, has_admin=has_admin)
    gen = 1
    moments = list(range(15)) if FULL else [0, *range(1, 15, 2), 14]
    for moment in moments:
        was_killed = killer.tick(scene, now=True, kill_at=moment) == -9
        check_nobody_is_locked_out(scene, moment)
        assert killer.tick(scene) == 0, moment
        current = scene.aws()
        assert current and current["gen"] in (gen, gen + 1)
        assert scene.is_in_step(current["gen"]), moment
        gen = current["gen"]
        assert was_killed == (moment < 14)  # seven writes
    assert gen == len(moments)  # but for the one that was killed before it began, each came to its end


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage", "UpdateSecret"])
@pytest.mark.parametrize("after", [0, 1])
def test_lost_answers(real: Real, operation: str, after: int) -> None:
    """A write whose answer is lost is looked for, and not done twice: the rotation comes to its end in one tick."""
    scene = real()
    if operation == "UpdateSecret":
        scene.clouds.cloud.fault(operation, after=after, lose_reply=True)
    else:
        scene.clouds.aws.fault(operation, {"lose_reply": True}, after=after)
    assert scene.tick(now=True).exit_code == 0
    assert scene.is_in_step(2)


@pytest.mark.parametrize("after", range(1, 8, 1 if FULL else 3))
def test_lag(real: Real, after: int) -> None:
    """Secrets Manager shows the state before the last write for a while: nothing is concluded from that."""
    scene = real()
    for operation in ("DescribeSecret", "GetSecretValue"):
        scene.clouds.aws.fault(operation, {"stale": True}, after=after, times=3)
    assert scene.tick(now=True).exit_code == 0
    assert scene.is_in_step(2)
