"""Changes the databases of a credential, each under its own lock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from keepstep.databases.errors import PasswordRefused, Reason
from keepstep.databases.interface import Account, Session, Slot
from keepstep.errors import Conflict, Refused
from keepstep.rotation.changes import Ask, Change, Standing, Strategy, next_step, without_current
from keepstep.rotation.credential import partner
from keepstep.rotation.failures import Weight
from keepstep.rotation.lockout_guard import Guard
from keepstep.rotation.member import DatabaseMember, Stopped
from keepstep.rotation.rows import Act, Row, StagedCredential, Stages


class Busy(Conflict):
    """Another worker has the lock."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A database whose lock is held."""

    number: int
    base: DatabaseMember
    guard: Guard
    session: Session
    seen: Stages

    async def accepts(self, held: StagedCredential, weight: Weight = Weight.PLAIN) -> bool:
        return await self.guard.accepts(self.number, held, weight=weight, session=self.session)

    async def accepts_surely(self, held: StagedCredential) -> bool:
        """False also where it is not to be asked, because one failure more could lock the account."""
        return await self.guard.accepts_surely(self.number, held, session=self.session)

    async def make(self, user: str, change: Change) -> None:
        if change.what is None:
            await self.session.retire(user)
            return
        await self.session.set_password(user, change.what.credential.password, keep_old=change.keep_old)
        self.guard.was_set(self.number, change.what)


async def apply(
    base: DatabaseMember, row: Row, seen: Stages, guard: Guard, look_again: Callable[[], Awaitable[bool]], lock: str
) -> None:
    """APPLY and RETIRE: lock, look at A again, see how the account stands, change it, log in.

    ``look_again`` says whether A is as it was. Raises :class:`Conflict` when it is not or somebody has the lock,
    :class:`Stopped`, and what the database raises. Repeating is safe: what is there already is not done again.
    """
    assert row.what
    async with _locked(base, row, guard, lock) as session:
        if not await look_again():
            raise Conflict("the primary store has changed meanwhile")
        work = _Work(number=row.member, base=base, guard=guard, session=session, seen=seen)
        if row.act is Act.RETIRE:
            await _retire(work, row.what)
        else:
            await _set(work, row.what)


async def _retire(work: _Work, current: StagedCredential) -> None:
    user = current.credential.username
    if not await work.accepts(current, Weight.HEAVY):
        raise Conflict(f"{work.base.database.name} has changed meanwhile")
    if await work.session.slot_of(user, current.credential.password) is Slot.SECOND:
        await work.make(user, Change(current))
    await work.session.retire(user)


async def _set(work: _Work, new: StagedCredential) -> None:
    user, strategy = new.credential.username, work.base.strategy
    account = await _account(work, user) if strategy.keeps_two else None
    current = work.seen.current.credential
    standing = Standing(
        has_second=account.has_second_password if account else False,
        slot=await work.session.slot_of(user, current.password) if strategy.keeps_two else None,
        rejected=frozenset(one.id for one in (new, *work.seen.held()) if work.guard.was_rejected(work.number, one)),
    )
    while isinstance(step := next_step(strategy, new, work.seen, standing), Ask):
        is_light = step.weight is Weight.LIGHT
        asked = work.accepts_surely(step.what) if is_light else work.accepts(step.what, step.weight)
        standing = replace(standing, answers={**standing.answers, step.what.id: await asked})
    await _make_all(work, new, account, step)
    if new.same(work.seen.current) and strategy is Strategy.ALTERNATING:
        await _assert_partner(work)
    if not await work.accepts(new):
        raise Stopped(f"{work.base.database.name} took the password of {user}, and does not let it in yet")


async def _assert_partner(work: _Work) -> None:
    """A database that lost CURRENT, a restored one, has lost PREVIOUS too, and clients may still hold that."""
    previous, user = work.seen.previous, work.seen.current.credential.username
    if previous is None or previous.credential.username != partner(user):
        return
    if not await work.accepts_surely(previous):
        with suppress(PasswordRefused):  # it is a courtesy: nothing depends on it
            await work.make(previous.credential.username, Change(previous))


async def _make_all(work: _Work, new: StagedCredential, account: Account | None, steps: tuple[Change, ...]) -> None:
    user = new.credential.username
    for change in steps:
        try:
            await work.make(user, change)
        except PasswordRefused as exc:
            if exc.reason is not Reason.REUSE or change.what is None:
                raise
            if not change.what.same(new):
                await _make_without_current(work, new, account)
            elif not await work.accepts_surely(new):
                raise  # otherwise the history refused what the account has: another worker has set it
            return


async def _make_without_current(work: _Work, new: StagedCredential, account: Account | None) -> None:
    user = new.credential.username
    if account and (until := account.second_password_until):
        raise Stopped(
            f"{work.base.database.name}: {user} has a second password that is in neither store, and its history "
            f"does not take the current one again; the rollover ends at {until:%Y-%m-%d %H:%M} UTC",
            hint="CURRENT goes on working; the first run after that finishes the rotation",
        )
    for change in without_current(new):
        await work.make(user, change)


async def _account(work: _Work, username: str) -> Account:
    account = await work.guard.account(work.number, work.session, username)
    if account is None:
        raise Refused(f"{work.base.database.name} has no user {username}", hint="create it as it was")
    return account


async def look_at(number: int, base: DatabaseMember, guard: Guard, current: StagedCredential) -> Account | None:
    """The current user's account."""
    async with guard.session(number, None if base.admin else current) as session:
        return await guard.account(number, session, current.credential.username)


@asynccontextmanager
async def _locked(base: DatabaseMember, row: Row, guard: Guard, lock: str) -> AsyncIterator[Session]:
    async with guard.session(row.member, row.by) as session:
        if not await session.lock(lock):
            raise Busy(f"{base.database.name} is being changed by another worker")
        yield session
