"""A small world to run in: vaults and recipients in memory, files beneath a folder of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keepstep.clock import SystemClock
from keepstep.containers.interface import Kind
from keepstep.errors import Error
from keepstep.runs.report import Action, Failure, Report, action_log
from keepstep.secrets.ages import Ages
from keepstep.secrets.apply import Apply, ApplyOptions
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import make_plan
from keepstep.secrets.settings import SecretFile, SecretSet
from keepstep.testing.containers import MemoryRecipients
from keepstep.testing.vaults import MemoryVault
from keepstep.vaults.interface import SecretValue, Stage, Which


class Clock(SystemClock):
    """The machine's clock, and what a test has wound it forward."""

    ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Vault(MemoryVault):
    """A memory vault that is told to fail, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Error] = {}
        """By secret; ``*`` stands for authentication."""
        self.asked: list[str] = []
        self.entered = 0
        self.pause = 0.0
        self.under_way = self.most_under_way = 0

    async def authenticate(self) -> None:
        self.entered += 1
        if "*" in self.errors:
            raise self.errors["*"]

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        self.asked.append(name)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.pause)
        finally:
            self.under_way -= 1
        if name in self.errors:
            raise self.errors[name]
        return await super().get(name, which)


@dataclass
class Lines:
    """What a run said."""

    actions: list[Action] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def did(self, action: Action) -> None:
        self.actions.append(action)

    def kept(self, action: Action) -> None:
        """In step."""

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    @property
    def updated(self) -> list[str]:
        return sorted(Path(action.target or "").name for action in self.actions if action.action == "update")


class World:
    """``world.run(map lines)`` is one run; secrets are ``aws-sm:NAME``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vault = Vault()
        self.containers = MemoryRecipients("web", "mail")
        self.clock = Clock()
        self.ages_path = root.parent / "ages.json"
        self.lines = Lines()
        self.report: Report

    def line(self, name: str, *more: str, file: str | None = None) -> str:
        """A map's line for the secret ``name`` in a file of the same name."""
        return ",".join([f"aws-sm:{name}", str(self.root / (file or name)), *more])

    def job(
        self,
        lines: Sequence[str] = (),
        *,
        files: Sequence[dict[str, Any]] = (),
        sets: Sequence[dict[str, Any]] = (),
        **options: Any,
    ) -> Apply:
        plan = make_plan(
            parse_map("\n".join(lines).encode()),
            [SecretFile.model_validate(each) for each in files],
            [SecretSet.model_validate(each) for each in sets],
        )
        self.lines = Lines()
        self.report = Report("secrets", "map", "host", self.clock.now(), actions=action_log())
        return Apply(
            plan,
            {"aws-sm": self.vault},
            dict.fromkeys(Kind, self.containers),
            self.report,
            self.lines,
            options=ApplyOptions(**options),
            ages=Ages(self.ages_path),
            clock=self.clock,
        )

    def run(self, *lines: str, **options: Any) -> int:
        """The run's exit code."""
        return self.run_job(lines, **options)

    def run_job(self, lines: Sequence[str] = (), **options: Any) -> int:
        async def work() -> int:
            return int((await self.job(lines, **options).run()).exit_code)

        return asyncio.run(work())

    @property
    def told(self) -> list[str]:
        """What containers were told since the last look."""
        told = [f"{notice.whom} {notice.what}" for notice in self.containers.told]
        self.containers.told.clear()
        return told

    def markers(self) -> list[str]:
        return [path.name for path in self.root.rglob(".keepstep-*")]
