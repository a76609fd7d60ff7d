"""A database in memory: the model that the others are held against, and the fast half of many tests.

It keeps the rules that the engines document: two passwords as MySQL has them or a rollover as Oracle has it,
locks that die with their session, a password history, and accounts that failed logins lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn, PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import (
    Account,
    Answer,
    Finding,
    Login,
    LoginProbe,
    PasswordPolicy,
    PasswordSlot,
    ServerInfo,
    Session,
)
from keepstep.errors import Conflict, NotFound, Unsupported
from keepstep.secret import Secret


@dataclass(slots=True)
class _User:
    newest: Secret
    second: Secret | None = None
    history: list[Secret] = field(default_factory=list)
    failures: int = 0
    locked: str = ""
    roles: frozenset[str] = frozenset()


class MemoryDatabase:
    """Users in a dictionary. Every one of them may change passwords, as an administrator may."""

    def __init__(
        self,
        name: str = "app",
        *,
        engine: Engine = Engine.POSTGRES,
        keeps_two_passwords: bool = False,
        remembers: int = 0,
        failures_allowed: int | None = None,
        shows_verifiers: bool = False,
        policy: Callable[[str], bool] = lambda password: True,
    ) -> None:
        self.engine = engine
        self.name = f"{engine} {name}@memory"
        self.name_limit = 63
        self.away: Answer | None = None
        """Set to ``UNREACHABLE`` or ``TLS_ERROR``, no login gets further than that, and sessions die."""
        self.users: dict[str, _User] = {}
        self.locks: dict[str, object] = {}
        self.server = ServerInfo(version="memory", keeps_two_passwords=keeps_two_passwords)
        self.remembers = remembers
        self.failures_allowed = failures_allowed
        self.shows_verifiers = shows_verifiers
        self.policy = policy
        self.demands = PasswordPolicy()
        """What sessions tell of the policy."""
        self.findings: list[Finding] = []
        """What every preflight finds."""

    def add(self, username: str, password: Secret | str, *, roles: frozenset[str] = frozenset()) -> None:
        """A user, or a new password for one: the way tests set a scene."""
        secret = password if isinstance(password, Secret) else Secret(password)
        self.users[username] = _User(secret, history=[secret], roles=roles)

    async def probe(self, login: Login) -> LoginProbe:
        if self.away:
            return LoginProbe(self.away, f"{self.name} is away")
        user = self.users.get(login.username)
        if user is None:
            return LoginProbe(Answer.REJECT, "no such user or wrong password")
        if user.locked:
            return LoginProbe(Answer.LOCKED, user.locked)
        if login.password not in (user.newest, user.second):
            user.failures += 1
            if user.failures == self.failures_allowed:
                user.locked = "LOCKED(TIMED)"
            return LoginProbe(Answer.REJECT, "no such user or wrong password")
        user.failures = 0
        return LoginProbe(Answer.ACCEPT)

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._session(login)

    def remedy(self, username: str) -> str:
        return f"database.add({username!r}, '…')"

    @asynccontextmanager
    async def _session(self, login: Login) -> AsyncIterator[MemorySession]:
        probe = await self.probe(login)
        if probe.answer is not Answer.ACCEPT:
            raise NotLoggedIn.of(self.name, login.username, probe)
        session = MemorySession(self)
        try:
            yield session
        finally:
            self.locks = {name: holder for name, holder in self.locks.items() if holder is not session}


class MemorySession:
    """Looks at the database's state at each call."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.server = database.server
        self._database = database

    async def lock(self, name: str) -> bool:
        self._check_alive()
        return self._database.locks.setdefault(name, self) is self

    async def account(self, username: str) -> Account | None:
        self._check_alive()
        user = self._database.users.get(username)
        if user is None:
            return None
        return Account(
            username=username,
            locked=user.locked,
            has_second_password=user.second is not None,
            can_keep_two=self.server.keeps_two_passwords,
            failures_allowed=self._database.failures_allowed,
            roles=user.roles,
        )

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        self._check_alive()
        name, user = self._database.name, self._database.users.get(username)
        if user is None:
            return [Finding(f"{name}: there is no user {username}", self._database.remedy(username))]
        found = list(self._database.findings)
        if user.locked:
            found.append(Finding(f"{name}: {username} is locked: {user.locked}"))
        if keep_old and not self.server.keeps_two_passwords:
            found.append(Finding(f"{name} keeps one password for each user"))
        missing = sorted(self._user(like).roles - user.roles) if like else []
        return found + [Finding(f"{name}: {username} lacks the role {role}", f"GRANT {role}") for role in missing]

    async def policy(self, username: str) -> PasswordPolicy:
        return self._database.demands

    async def slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        self._check_alive()
        if not self._database.shows_verifiers or username not in self._database.users:
            return None
        user = self._database.users[username]
        return {user.second: PasswordSlot.SECOND, user.newest: PasswordSlot.NEWEST}.get(
            password, PasswordSlot.NEITHER
        )

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        self._check_alive()
        user = self._user(username)
        if keep_old:
            self._check_room(user)
        self._check_password(user, new)
        if keep_old:
            user.second = user.newest
        user.newest = new
        user.history.append(new)

    async def retire(self, username: str) -> None:
        self._check_alive()
        self._user(username).second = None

    def _user(self, username: str) -> _User:
        if username not in self._database.users:
            raise NotFound(f"{self._database.name}: there is no user {username}")
        return self._database.users[username]

    def _check_alive(self) -> None:
        if self._database.away:
            raise Unreachable(f"{self._database.name}: the connection was lost")

    def _check_room(self, user: _User) -> None:
        if not self.server.keeps_two_passwords:
            raise Unsupported(f"{self._database.name} keeps one password for each user")
        if self._database.engine is Engine.ORACLE and user.second:
            raise Conflict(f"{self._database.name}: a rollover is under way")

    def _check_password(self, user: _User, new: Secret) -> None:
        if not self._database.policy(new.reveal()):
            raise PasswordRefused(f"{self._database.name} does not take the password", RefusalReason.POLICY)
        if self._database.remembers and new in user.history[-self._database.remembers :]:
            raise PasswordRefused(f"{self._database.name} has had this password", RefusalReason.REUSE)
