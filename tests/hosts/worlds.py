"""A folder with a keepstep.toml, and the command as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.runs.database import open_database
from keepstep.runs.history import History


@dataclass
class Place:
    """Jobs between folders beneath ``folder``, and their state."""

    folder: Path
    state_url: str = ""

    def __post_init__(self) -> None:
        self.state_url = self.state_url or f"sqlite:///{self.folder}/state/state.db"

    @property
    def config(self) -> Path:
        return self.folder / "keepstep.toml"

    @property
    def history(self) -> History:
        return History(open_database(self.state_url))

    def configure(self, text: str) -> Path:
        """Writes the configuration, complete with the state; ``{folder}`` stands for this folder."""
        body = text.replace("{folder}", str(self.folder))
        new = self.config.with_suffix(".new")
        new.write_text(f'[state]\nurl = "{self.state_url}"\n{body}')
        os.replace(new, self.config)
        return self.config

    def source(self, name: str = "in", **files: str) -> Path:
        """A folder with files in it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, text in (files or {"a": "1"}).items():
            (folder / file).write_text(text)
        return folder

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "keepstep", "--config", str(self.config), *words]

    def keepstep(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **variables}
        return subprocess.run(
            self.command(*words), env=env, capture_output=True, text=True, timeout=120, check=False
        )

    def json(self, *words: str) -> Any:
        result = self.keepstep("--json", *words)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


COPY = """
[job.copy]
kind = "sync"
source = "{folder}/in"
target = "{folder}/out"
schedule = "@hourly"
"""
"""A job that copies a folder."""
