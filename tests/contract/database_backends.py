"""The databases that the contract is held against: memory, PostgreSQL, MariaDB, MySQL, and Oracle's rules.

The administrators of the real ones have exactly the grants that docs/databases.md names.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from keepstep.cli.running import run
from keepstep.databases.endpoint import Endpoint, trust
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Database, Login
from keepstep.secret import Secret
from keepstep.testing.databases import MemoryDatabase

T = TypeVar("T")
_long = pytest.mark.long
REMOTE: tuple[Any, ...] = (
    "postgres",
    "mariadb",
    "mysql",
    "oracle",
    pytest.param("new_postgres", marks=_long),
    pytest.param("new_mariadb", marks=_long),
)
KINDS: tuple[Any, ...] = ("memory", "memory-two", *REMOTE)
TWO = ("memory-two", "mysql", "oracle")
_numbers = itertools.count()


@dataclass
class DatabaseBackend:
    """One kind of database, and what an administrator does to it."""

    kind: str
    make: Callable[[Endpoint], Database]
    endpoint: Endpoint
    admin: Login
    add: Callable[[str, str], None]
    """A user with a password."""
    lock: Callable[[str], None]
    """Lets a user in no more."""
    weak: Callable[[str], Secret]
    """A password that this server's policy refuses for that user."""
    with_policy: Callable[[], AbstractContextManager[None]] = nullcontext
    server: Any = None
    keeps_two: bool = False
    locks_out: bool = False
    remembers: bool = False
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return self.make(self.endpoint)

    def at(self, **change: Any) -> Database:
        """The same database, looked for elsewhere or trusted otherwise."""
        return self.make(replace(self.endpoint, **change))

    def user(self) -> Login:
        """A new one."""
        number = next(_numbers)
        login = Login(f"u{number}x{os.getpid()}", Secret(f"First-{number}-Pass.word"))
        self.add(login.username, login.password.reveal())
        return login

    def run(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def main() -> T:
            return await work(self.database)

        return run(main())


def fresh(text: str = "New") -> Secret:
    """A password that every policy takes, and that nobody has had."""
    return Secret(f"{text}-{next(_numbers)}-Pass.word")


@pytest.fixture
def database_ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseBackend]:
    """Tests name their kinds by ``@pytest.mark.parametrize("database_ground", [...], indirect=True)``."""
    kind: str = request.param
    if kind.startswith("memory"):
        yield _memory(keeps_two=kind == "memory-two")
        return
    for part in ("psycopg", "pymysql", "oracledb"):
        pytest.importorskip(part, reason=f"{part} is not here: pip install 'keepstep[all]'")
    server = request.getfixturevalue(f"{kind}_server")
    makers = {"postgres": _postgres, "mariadb": _mariadb, "mysql": _mysql, "oracle": _oracle}
    yield makers[kind.removeprefix("new_")](server)


def _memory(*, keeps_two: bool) -> DatabaseBackend:
    database = MemoryDatabase(
        keeps_two_passwords=keeps_two,
        engine=Engine.MYSQL if keeps_two else Engine.POSTGRES,
        policy=lambda password: len(password) >= 8,
        failures_allowed=3,
        remembers=4,
    )
    database.add("admin", "Admin-Pass.word-1")

    def lock(username: str) -> None:
        database.users[username].locked = "LOCKED"

    return DatabaseBackend(
        "memory",
        lambda endpoint: database,
        Endpoint(Engine.POSTGRES, "memory", 0, "app"),
        Login("admin", Secret("Admin-Pass.word-1")),
        lambda name, password: database.add(name, password),
        lock,
        lambda username: Secret("short"),
        keeps_two=keeps_two,
        locks_out=True,
        remembers=True,
    )


def _postgres(server: Any) -> DatabaseBackend:
    from keepstep.databases.postgres import PostgresDatabase

    return DatabaseBackend(
        "postgres",
        PostgresDatabase,
        server.endpoint,
        server.admin,
        server.add_user,
        lambda name: server.execute(f'ALTER ROLE "{name}" NOLOGIN'),
        # All that a server can see of a verifier is whether it was made of the username.
        Secret,
        server=server,
    )


def _mariadb(server: Any) -> DatabaseBackend:
    from keepstep.databases.mysql import MysqlDatabase

    @contextmanager
    def with_policy() -> Iterator[None]:
        server.execute("INSTALL SONAME 'simple_password_check'")
        try:
            yield
        finally:
            server.execute("UNINSTALL SONAME 'simple_password_check'")

    return DatabaseBackend(
        "mariadb",
        MysqlDatabase,
        server.endpoint,
        server.admin,
        server.add_user,
        lambda name: server.execute(f"ALTER USER '{name}'@'%' ACCOUNT LOCK"),
        lambda username: Secret("short"),
        with_policy,
        server=server,
    )


def _mysql(server: Any) -> DatabaseBackend:
    from keepstep.databases.mysql import MysqlDatabase

    @contextmanager
    def with_policy() -> Iterator[None]:
        server.execute("INSTALL COMPONENT 'file://component_validate_password'")
        try:
            yield
        finally:
            server.execute("UNINSTALL COMPONENT 'file://component_validate_password'")

    limits = "PASSWORD HISTORY 4 FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1"
    return DatabaseBackend(
        "mysql",
        MysqlDatabase,
        server.endpoint,
        server.admin,
        lambda name, password: server.add_user(name, password, limits=limits),
        lambda name: server.execute(f"ALTER USER '{name}'@'%' ACCOUNT LOCK"),
        lambda username: Secret("short"),
        with_policy,
        server=server,
        keeps_two=True,
        locks_out=True,
        remembers=True,
    )


def _oracle(server: Any) -> DatabaseBackend:
    from keepstep.databases.oracle import OracleDatabase, dsn_of

    def lock(name: str) -> None:
        server.users.users[name.upper()].is_locked = True

    return DatabaseBackend(
        "oracle",
        lambda endpoint: OracleDatabase(dsn_of(endpoint), trust(endpoint), patience=endpoint.patience),
        server.endpoint,
        server.admin,
        lambda name, password: server.add_user(name, password, failures_allowed=3),
        lock,
        lambda username: Secret("short"),
        server=server,
        keeps_two=True,
        locks_out=True,
        remembers=True,
    )
