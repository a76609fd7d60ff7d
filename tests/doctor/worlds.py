"""The command in this process, and its checks by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keepstep.clock import SystemClock
from tests.cli.inprocess import keepstep


class Clock(SystemClock):
    """The machine's clock, so far ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@dataclass
class Report:
    """What a doctor's visit left."""

    code: int
    checks: list[dict[str, Any]]
    err: str

    def of(self, name: str, about: str = "") -> dict[str, Any]:
        """The only check of that name (about that thing)."""
        found = [check for check in self.checks if check["name"] == name and about in check["about"]]
        assert len(found) == 1, (name, about, self.checks)
        return found[0]

    def verdict(self, name: str, about: str = "") -> str:
        return str(self.of(name, about)["verdict"])

    @property
    def failed(self) -> set[str]:
        return {check["name"] for check in self.checks if check["verdict"] == "fail"}


def doctor(config: Path | None, *words: str, env: Mapping[str, str | None] | None = None) -> Report:
    """``keepstep --config CONFIG doctor WORDS --json``."""
    given = ["--config", str(config)] if config else []
    ran = keepstep(*given, "doctor", *words, "--json", env=env)
    return Report(ran.code, json.loads(ran.out)["checks"] if ran.out else [], ran.err)


def configure(folder: Path, text: str) -> Path:
    """A keepstep.toml whose state is in ``folder`` and where no daemon listens."""
    path = folder / "keepstep.toml"
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    path.write_text(f'[state]\nurl = "sqlite:///{state}/state.db"\n[dashboard]\nlisten = "127.0.0.1:1"\n{text}')
    return path
