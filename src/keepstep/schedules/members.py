"""Daemons that share a state distribute the work evenly by load, without talking to one another.

When a time comes, every daemon works out from the same rows which of them should claim it. The others wait for a
moment, and then claim what is left: a daemon that is gone or frozen delays its share by that moment, and nothing
else. The claim itself decides, so differing views do no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepstep.runs.rows import quoted
from keepstep.runs.run import OPEN
from keepstep.state.database import Database, Query

_HOLD = timedelta(seconds=2)
_EACH = timedelta(milliseconds=50)
"""Seconds that a claim may take on a busy machine."""
_ALIVE = 60.0
"""Seconds since its last sign of life, by the state's clock."""
_RECENT = 3600.0


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """The load of a daemon: first its open runs, then the runs that it claimed within an hour."""

    open: int = 0
    recent: int = 0


class Members:
    """The daemons of one state, as one of them sees them."""

    def __init__(self, database: Database, id_: str, host: str) -> None:
        self.id = id_
        self._database = database
        self._host = host

    def sign(self, now: datetime) -> None:
        """Gives a sign of life, and removes daemons that have been silent for long."""
        at = now.timestamp()
        statement = "INSERT INTO daemon VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen"

        def work(query: Query) -> None:
            query(statement, self.id, self._host, at)
            query("DELETE FROM daemon WHERE seen < ? OR seen > ?", at - _RECENT, at + _RECENT)

        self._database.write(work)

    def leave(self) -> None:
        self._database.write(lambda query: query("DELETE FROM daemon WHERE id = ?", self.id))

    def loads(self, now: datetime) -> dict[str, Load]:
        """The load of every live daemon, always including this one."""
        at = now.timestamp()

        def work(query: Query) -> dict[str, Load]:
            alive = {id_ for (id_,) in query("SELECT id FROM daemon WHERE seen > ?", at - _ALIVE)} | {self.id}
            if len(alive) == 1:
                return {self.id: Load()}
            statement = f"SELECT daemon, count(*) FROM run WHERE outcome IN ({quoted(OPEN)}) GROUP BY daemon"  # noqa: S608
            open_: dict[str, int] = dict(query(statement))
            recent: dict[str, int] = dict(
                query("SELECT daemon, count(*) FROM run WHERE queued > ? GROUP BY daemon", at - _RECENT)
            )
            return {each: Load(open_.get(each, 0), recent.get(each, 0)) for each in alive}

        return self._database.read(work)


def hold(jobs: int) -> timedelta:
    """How long other daemons wait for the daemon whose turn it is, when this many jobs are due at once."""
    return _HOLD + jobs * _EACH


def shares(due: Iterable[tuple[str, datetime]], loads: Mapping[str, Load]) -> dict[str, str]:
    """Assigns each job to a daemon: one after the other goes to the daemon with the least load.

    The order of jobs, and the choice between daemons with equal loads, come from hashes: the same everywhere, and
    different for every time.
    """
    left = dict(loads)
    turns = {}
    for job, at in sorted(due, key=lambda each: _hash(*each)):
        daemon = min(left, key=lambda each: (left[each], _hash(f"{each} {job}", at)))
        left[daemon] = Load(left[daemon].open + 1, left[daemon].recent + 1)
        turns[job] = daemon
    return turns


def _hash(text: str, at: datetime) -> bytes:
    return hashlib.sha256(f"{text} {at.timestamp()}".encode("utf-8", "surrogatepass")).digest()
