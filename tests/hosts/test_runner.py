"""The runs of one daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from keepstep.clock import SystemClock
from keepstep.hosts.children import Launch
from keepstep.hosts.runner import Runner
from keepstep.runs.history import History
from keepstep.runs.run import Run
from keepstep.schedules.claims import Claim, claim
from keepstep.state.place import place_of


def test_an_end_that_the_state_could_not_take_is_written_later(tmp_path: Path) -> None:
    """Otherwise the job would look busy, and not run, until its run is taken for dead."""
    history = History(place_of(f"sqlite:///{tmp_path}/state.db").open())
    now = datetime.now(UTC)
    first = Run(
        id="1",
        job="copy",
        kind="sync",
        host="here",
        cause="schedule",
        queued=now,
        seen=now,
        outcome="queued",
        due=now,
    )
    is_away = True

    async def ask(question: Callable[..., Any], *about: Any) -> Any:
        return None if is_away else question(*about)

    async def scene() -> None:
        nonlocal is_away
        launch = Launch(words=["--version"])
        runner = Runner(history, lambda _: launch, ask, structlog.get_logger(), SystemClock(), limit=None)
        assert claim(history.database, first) is Claim.OURS
        runner.start([first])
        await runner.ended()
        await runner.catch_up()
        assert [run.id for run in history.open()] == ["1"]
        is_away = False
        await runner.catch_up()
        assert history.open() == []
        ended = history.last_ended("copy")
        assert ended and (ended.id, ended.outcome, ended.exit_code) == ("1", "done", 0)

    asyncio.run(scene())
