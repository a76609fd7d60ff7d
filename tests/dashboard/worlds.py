"""A state with runs in it, and its page on a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from keepstep.config import load
from keepstep.dashboard.pages import Dashboard
from keepstep.hosts.web import Web, bind
from keepstep.runs.history import History
from keepstep.runs.lifecycle import Line
from keepstep.runs.run import Run, new_id
from keepstep.state.place import place_of

JOBS = """
[job.reports]
kind = "sync"
source = "/nowhere/in"
target = "/nowhere/out"
schedule = "0 */6 * * *"
[job.quiet]
kind = "sync"
source = "/nowhere/a"
target = "/nowhere/b"
"""
NASTY = "<script>alert(1)</script>"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Place:
    """A folder with a configuration and a state."""

    folder: Path
    jobs: str = JOBS
    dashboard: str = ""

    def __post_init__(self) -> None:
        self.url = f"sqlite:///{self.folder}/state/state.db"
        self.history: History = History(place_of(self.url).open())
        self.config = self.folder / "keepstep.toml"
        places = f'[state]\nurl = "{self.url}"\n[dashboard]\nlisten = "127.0.0.1:0"\n{self.dashboard}\n'
        self.config.write_text(places + self.jobs)

    def ran(
        self, job: str = "reports", *, outcome: str = "done", lines: list[Line] | None = None, **fields: Any
    ) -> Run:
        """A run that has ended a moment ago."""
        run = self.runs(job, ago=timedelta(minutes=5))
        fields = {"counts": {"copy": 3}, "bytes": 2048, "requests": {"PutObject": 3}, "price": 0.01, **fields}
        ended = replace(
            run, outcome=outcome, finished=datetime.now(UTC), exit_code=int(outcome != "done"), **fields
        )
        self.history.end(ended, lines or [])
        return ended

    def runs(self, job: str = "reports", *, ago: timedelta = timedelta(minutes=1)) -> Run:
        """A run that is under way."""
        now = datetime.now(UTC)
        at = now - ago
        kept = {"kind": "sync", "host": "vm-1", "cause": "schedule"}
        run = Run(id=new_id(at), job=job, queued=at, seen=now, started=at, outcome="running", **kept)  # type: ignore[arg-type]
        self.history.begin(run)
        return run

    @contextlib.contextmanager
    def served(self, host: str = "127.0.0.1") -> Iterator[Site]:
        """The page; ``host`` is what it believes to listen at."""
        config = load(self.config)
        listening = bind("127.0.0.1:0")
        port = listening.getsockname()[1]
        web = Web(Dashboard(lambda: config, self.history, host).application(), listening)
        try:
            yield Site(port)
        finally:
            web.close()


@dataclass(frozen=True)
class Site:
    """Asked by the standard library's client."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str = "/", method: str = "GET", body: str = "", **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode())
        finally:
            connection.close()
