"""The databases of a credential: asked who may log in, and changed, each under its own lock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from keepstep.clock import Clock
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Account, Answer, Database, Login, Probe, Session
from keepstep.databases.probing import Sparing
from keepstep.errors import Conflict, Denied, Error, NotFound, Refused, Transient
from keepstep.rotation.changes import Change, Standing, Strategy, changes
from keepstep.rotation.credential import partner
from keepstep.rotation.rows import Act, Held, Member, Row, Stages


class Spared(Sparing):
    """What failed before says nothing any more of a password that was set, or that was let in a moment ago."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._accepted: set[Login] = set()

    async def probe(self, login: Login) -> Probe:
        if login in self._accepted:
            self.start_anew(login.username)
        probe = await super().probe(login)
        (self._accepted.add if probe.answer is Answer.ACCEPT else self._accepted.discard)(login)
        return probe

    def start_anew(self, username: str) -> None:
        self._failures.pop(username, None)


Admin = Callable[[], Awaitable[Login]]


@dataclass(frozen=True, slots=True)
class Base:
    """One database, how it is changed, and by whom: without an administrator the credential changes itself."""

    database: Database
    strategy: Strategy
    admin: Admin | None = field(default=None, repr=False)

    @property
    def member(self) -> Member:
        return Member(self.database.name, self.admin is not None)

    async def changer(self, by: Held | None) -> Login:
        if by is not None:
            return by.credential.login
        assert self.admin, "the table asks for an administrator only where there is one"
        return await self.admin()


class Stopped(Error):
    """X3: a database does not answer as it should. What is pending stays; the next tick goes on."""


async def probe(base: Base, login: Login) -> tuple[Answer, str]:
    """How the database answers, and why in words."""
    answered = await base.database.probe(login)
    return answered.answer, answered.why


async def apply(base: Base, row: Row, seen: Stages, look_again: Callable[[], Awaitable[bool]], lock: str) -> None:
    """APPLY and RETIRE: lock, look at A again, probe again, change, probe.

    ``look_again`` says whether A is as it was. Raises :class:`Conflict` when it is not or somebody has the lock,
    :class:`Stopped`, and what the database raises. Repeating is safe: what is there already is not done again.
    """
    assert row.what
    async with _locked(base, row.by, lock) as session:
        if not await look_again():
            raise Conflict("the primary store has changed meanwhile")
        if row.act is Act.RETIRE:
            await _retire(session, base, row.what)
        else:
            await _set(session, base, row.what, seen)


async def _retire(session: Session, base: Base, current: Held) -> None:
    if not await _accepts(base, current):
        raise Conflict(f"{base.database.name} has changed meanwhile")
    await session.retire(current.credential.username)


async def _set(session: Session, base: Base, new: Held, seen: Stages) -> None:
    user = new.credential.username
    # First, because it is likely to be let in: failed logins in a row are what locks accounts.
    is_current_in = not base.strategy.keeps_two or new.same(seen.current) or await _accepts(base, seen.current)
    if not (is_current_in and await _has(base, new)):
        account = await _account(session, base, user)
        for change in await _changes(base, new, seen, account, is_current_in=is_current_in):
            await _make(session, base, user, change)
        if not await _accepts(base, new):
            raise Stopped(f"{base.database.name} took the password of {user}, and does not let it in yet")
    if new.same(seen.current) and base.strategy is Strategy.ALTERNATING:
        await _assert_partner(session, base, seen)


async def _assert_partner(session: Session, base: Base, seen: Stages) -> None:
    """A database that lost CURRENT, a restored one, has lost PREVIOUS too, and clients may still hold that."""
    previous = seen.previous
    if previous is None or previous.credential.username != partner(seen.current.credential.username):
        return
    if not await _accepts(base, previous):
        await _make(session, base, previous.credential.username, Change(previous))


async def check(base: Base, by: Held | None, username: str) -> None:
    """Before anything is staged: whoever is to change the account can log in, and the account can be changed.

    Raises :class:`Refused` for what only people can mend, and :class:`Stopped`.
    """
    name = base.database.name
    if len(username.encode()) > base.database.name_limit:
        raise Refused(f"{name}: the username {username} has more than {base.database.name_limit} bytes")
    async with _session(base, by) as session:
        account = await _account(session, base, username)
        if account.locked:
            raise Stopped(f"{name}: {username} is locked ({account.locked})", hint="unlock the account")
        if base.strategy.keeps_two and (not session.server.keeps_two_passwords or account.can_keep_two is False):
            raise Refused(
                f"{name} cannot keep two passwords of {username}",
                hint="dual needs MySQL 8.0.14, rollover Oracle 19.12 and a profile with PASSWORD_ROLLOVER_TIME; "
                'else use strategy = "alternating"',
            )


async def look_at(base: Base, current: Held) -> Account | None:
    """The current user's account."""
    async with _session(base, None if base.admin else current) as session:
        return await session.account(current.credential.username)


async def _changes(
    base: Base, new: Held, seen: Stages, account: Account, *, is_current_in: bool
) -> Iterable[Change]:
    previous = seen.previous if base.strategy.keeps_two and account.has_second_password is not False else None
    is_of_user = previous is not None and previous.credential.username == new.credential.username
    is_previous_in = previous is not None and is_of_user and is_current_in and await _accepts(base, previous)
    has_second = account.has_second_password
    standing = Standing(
        has_second=is_previous_in if has_second is None else has_second,
        previous_logs_in=is_previous_in,
        current_logs_in=is_current_in,
    )
    return changes(base.strategy, new, seen.current, standing)


async def _make(session: Session, base: Base, user: str, change: Change) -> None:
    if change.what is None:
        await session.retire(user)
        return
    await session.set_password(user, change.what.credential.password, keep_old=change.keep_old)
    if isinstance(base.database, Spared):
        base.database.start_anew(user)


async def _accepts(base: Base, held: Held) -> bool:
    answer, why = await probe(base, held.credential.login)
    if answer is Answer.WITHHELD:
        raise Conflict(why)
    if answer not in (Answer.ACCEPT, Answer.REJECT):
        raise Stopped(f"{base.database.name} is {answer}" + (f": {why}" if why else ""))
    return answer is Answer.ACCEPT


async def _has(base: Base, new: Held) -> bool:
    """Whether it is there already; where that cannot be asked now, only what may be set twice is set."""
    try:
        return await _accepts(base, new)
    except Conflict:
        if base.strategy.keeps_two:
            raise
        return False


async def _account(session: Session, base: Base, username: str) -> Account:
    account = await session.account(username)
    if account is None:
        raise Refused(
            f"{base.database.name} has no user {username}",
            hint="create it with the same rights as its partner" if base.strategy is Strategy.ALTERNATING else None,
        )
    return account


@asynccontextmanager
async def _locked(base: Base, by: Held | None, lock: str) -> AsyncIterator[Session]:
    async with _session(base, by) as session:
        if not await session.lock(lock):
            raise Conflict(f"{base.database.name} is being changed by another worker")
        yield session


@asynccontextmanager
async def _session(base: Base, by: Held | None) -> AsyncIterator[Session]:
    try:
        login = await base.changer(by)
    except (Denied, NotFound, Transient) as exc:
        raise Stopped(f"the administrator of {base.database.name} cannot be had: {exc}", hint=exc.hint) from exc
    try:
        async with base.database.session(login) as session:
            yield session
    except NotLoggedIn as exc:
        raise Stopped(exc.message, hint=exc.hint) from exc
