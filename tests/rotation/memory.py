"""The real engine on stores and databases in memory, where a test decides who goes on at every call.

``Turns`` lets any number of workers reach for a store or database one at a time, in an order drawn from a seed, and
lets some of them die there.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep.databases.engines import Engine
from keepstep.databases.interface import Database, Login, Session
from keepstep.rotation.audit_trail import AppendEntry
from keepstep.rotation.changes import Strategy
from keepstep.rotation.pace import RotationPace
from keepstep.rotation.stores import Stores
from keepstep.rotation.tick import Tick
from keepstep.rotation.wiring import Rotation
from keepstep.runs.report import Report, action_log
from keepstep.testing.databases import MemoryDatabase
from keepstep.testing.staging import MemoryLabels, MemoryRevisions
from tests.rotation.null_watcher import Silence
from tests.rotation.wiring import admin_of, member_of

Gate = Callable[[str], Awaitable[None]]
USER = "app_a"
FIRST = "first-Passw0rd"
ENGINES = {Strategy.DUAL: Engine.MYSQL, Strategy.ROLLOVER: Engine.ORACLE}


class Died(BaseException):
    """The worker's process was killed."""


async def open_gate(name: str) -> None:
    """Lets everybody through."""


class Gated:
    """Passes every call on, after the gate."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method) or name in ("session", "remedy"):
            return method

        async def gated(*args: Any, **kwargs: Any) -> Any:
            await self._gate(name)
            return await method(*args, **kwargs)

        return gated


class GatedDatabase(Gated):
    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[Session]:
        async with self._inner.session(login) as session:
            yield Gated(session, self._gate)


@dataclass
class MemoryScene:
    """A credential in memory. ``members`` are made for the strategy unless they are given."""

    strategy: Strategy = Strategy.ALTERNATING
    count: int = 2
    members: list[MemoryDatabase] = field(default_factory=list)
    has_admin: bool = True
    interval: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(hours=1)
    append: AppendEntry | None = None
    others: dict[str, Any] = field(default_factory=dict)
    labels: MemoryLabels = field(default_factory=MemoryLabels)
    revisions: MemoryRevisions = field(default_factory=MemoryRevisions)

    def __post_init__(self) -> None:
        engine = ENGINES.get(self.strategy, Engine.POSTGRES)
        for number in range(0 if self.members else self.count):
            keeps_two = self.strategy.keeps_two
            self.members.append(MemoryDatabase(f"app{number}", engine=engine, keeps_two_passwords=keeps_two))
        for member in self.members:
            member.add(USER, FIRST)
            member.add("app_b", "of-the-partner-1")
            member.add("admin", "admin-Passw0rd")
        self.labels.create("aws", self.payload(FIRST, gen=1))
        self.revisions.put("oci", self.payload(FIRST, gen=1))

    def payload(self, password: str, *, gen: int | None = None, user: str = USER) -> str:
        numbered = {} if gen is None else {"schema": 1, "gen": gen}
        return json.dumps({**numbered, "username": user, "password": password, **self.others})

    def rotation(self, gate: Gate = open_gate) -> Rotation:
        admin = admin_of("admin", "admin-Passw0rd") if self.has_admin else None
        databases: list[Database] = [GatedDatabase(member, gate) for member in self.members]
        labels: Any = Gated(self.labels, gate)
        revisions: Any = Gated(self.revisions, gate)
        return Rotation(
            name="job",
            stores=Stores(labels, revisions, "aws", "oci", patience=-1),
            members=tuple(member_of(database, self.strategy, admin) for database in databases),
            pace=RotationPace(interval=self.interval, grace=self.grace),
            strategy=self.strategy,
            append=self.append,
        )

    async def ticked(self, *, gate: Gate = open_gate, watcher: Silence | None = None, **options: Any) -> Report:
        report = Report("rotate", "aws", "oci", datetime.now(UTC), actions=action_log())
        return await Tick(self.rotation(gate), report, watcher or Silence(), **options).run()

    def tick(self, *, now: bool = False, watcher: Silence | None = None, **options: Any) -> Report:
        return asyncio.run(self.ticked(is_forced=now, watcher=watcher, **options))

    def aws(self, label: str = "AWSCURRENT") -> dict[str, Any] | None:
        id_ = self.labels.labels["aws"].get(label)
        return json.loads(self.labels.contents["aws"][id_][0].reveal()) if id_ else None

    def oci(self, stage: str = "CURRENT") -> dict[str, Any] | None:
        secret = self.revisions._secrets["oci"]
        number = {str(name): number for name, number in secret.stages.items()}.get(stage)
        return json.loads(secret.contents[number - 1][0].reveal()) if number else None

    def let_in(self, payload: dict[str, Any] | None) -> list[bool]:
        """By each database."""
        assert payload
        return [_knows(member, payload) for member in self.members]

    def is_in_step(self, gen: int) -> bool:
        a, o = self.aws(), self.oci()
        if a is None or o is None or self.aws("AWSPENDING"):
            return False
        return a["gen"] == gen and a == o and all(self.let_in(a))

    def locked_out(self) -> Iterator[str]:
        """Who cannot log in with what a client reads."""
        for name, read in (("aws", self.aws), ("oci", self.oci)):
            if not all(self.let_in(read())):
                yield name


def _knows(member: MemoryDatabase, payload: dict[str, Any]) -> bool:
    user = member.users.get(payload["username"])
    known = [secret.reveal() for secret in (user.newest, user.second) if secret] if user else []
    return payload["password"] in known


class Turns:
    """Workers that go on one call at a time, in an order drawn from a seed."""

    def __init__(self, seed: int, *, deaths: float = 0.0, check: Callable[[], None] = lambda: None) -> None:
        self._random = random.Random(seed)
        self._deaths = deaths
        self._check = check
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def gate(self, number: int) -> Gate:
        async def wait(name: str) -> None:
            self._waiting[number] = asyncio.get_running_loop().create_future()
            await self._waiting[number]

        return wait

    async def run(self, workers: list[Callable[[Gate], Coroutine[Any, Any, Any]]]) -> list[Any]:
        """Their results; ``Died`` of those who did."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(worker(self.gate(number))) for number, worker in enumerate(workers)
        ]
        while not all(task.done() for task in tasks):
            for _ in range(20):  # everybody who can comes to a gate or to an end
                await asyncio.sleep(0)
            self._check()
            ready = sorted(number for number in self._waiting if not tasks[number].done())
            if ready:
                self._let_go(self._random.choice(ready), tasks)
            elif not all(task.done() for task in tasks):
                await asyncio.sleep(0.001)
        return [task.exception() or task.result() for task in tasks]

    def _let_go(self, number: int, tasks: list[asyncio.Task[Any]]) -> None:
        future = self._waiting.pop(number)
        if self._random.random() < self._deaths and any(not task.done() for task in tasks):
            future.set_exception(Died())
        else:
            future.set_result(None)
