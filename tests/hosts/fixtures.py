"""A folder with a keepstep.toml, and the command as its users call it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from keepstep.runs.history import History
from keepstep.state.place import place_of


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
        return History(place_of(self.state_url).open())

    def configure(self, text: str, *, drain: str = "20s") -> Path:
        """Writes the configuration, complete with the state; ``{folder}`` stands for this folder."""
        body = text.replace("{folder}", str(self.folder))
        places = f'[state]\nurl = "{self.state_url}"\n[dashboard]\nlisten = "127.0.0.1:0"\n'
        new = self.config.with_suffix(".new")
        new.write_text(f'{places}[daemon]\ndrain = "{drain}"\n{body}')
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

    def daemon(self, name: str = "daemon", **variables: str) -> contextlib.AbstractContextManager[Service]:
        return service(self.command("run"), self.folder / f"{name}.log", **variables)

    def json(self, *words: str) -> Any:
        result = self.keepstep("--json", *words)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@dataclass
class Service:
    """A daemon that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self, event: str = "", **fields: object) -> list[dict[str, Any]]:
        """Its log lines, all JSON, that have those fields."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        wanted = fields | ({"event": event} if event else {})
        return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]

    def wait(self, event: str, count: int = 1, *, timeout: float = 60, **fields: object) -> dict[str, Any]:
        """The last of so many events, once they have come."""
        until(lambda: len(self.events(event, **fields)) >= count, self.log, timeout)
        return self.events(event, **fields)[count - 1]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer."""
        try:
            with urlopen(self.wait("serving")["address"] + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def until(is_so: Callable[[], bool], log: Path, timeout: float = 60) -> None:
    """Returns when it is so; fails with the end of the log when it takes too long."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)


@contextlib.contextmanager
def service(command: list[str], log: Path, **variables: str) -> Iterator[Service]:
    """A daemon that has started. What it leaves running ends with the block."""
    env = {**os.environ, **variables}
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    running = Service(process, log)
    try:
        until(lambda: bool(running.events("started")) or process.poll() is not None, log)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


COPY = """
[job.copy]
kind = "sync"
source = "{folder}/in"
target = "{folder}/out"
schedule = "@hourly"
"""
"""A job that copies a folder."""

HANG = """
[job.hang]
kind = "secrets"
map = "{folder}/pipe"
startup = true
"""
"""A job that waits until somebody writes its map into a pipe."""
