"""Changes the databases of a credential, each under its own lock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from keepstep.databases.errors import PasswordRefused, RefusalReason
from keepstep.databases.interface import Account, PasswordSlot, Session
from keepstep.errors import Conflict, Refused
from keepstep.rotation.changes import Ask, Change, Standing, Strategy, next_step, without_current
from keepstep.rotation.credential import partner
from keepstep.rotation.failures import Weight
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.member import DatabaseMember, Stopped
from keepstep.rotation.rows import Act, Decision, StagedCredential, Stages


class Busy(Conflict):
    """Another worker has the lock."""


@dataclass(frozen=True, kw_only=True)
class _LockedMember:
    """A database whose lock is held."""

    number: int
    member: DatabaseMember
    guard: LockoutGuard
    session: Session
    stages: Stages

    @property
    def name(self) -> str:
        return self.member.database.name

    async def accepts(self, staged: StagedCredential, weight: Weight = Weight.PLAIN) -> bool:
        return await self.guard.accepts(self.number, staged, weight=weight, session=self.session)

    async def accepts_surely(self, staged: StagedCredential) -> bool:
        """False also where it is not to be asked, because one failure more could lock the account."""
        return await self.guard.accepts_surely(self.number, staged, session=self.session)

    async def make(self, user: str, change: Change) -> None:
        if change.what is None:
            await self.session.retire(user)
            return
        await self.session.set_password(user, change.what.credential.password, keep_old=change.keep_old)
        self.guard.was_set(self.number, change.what)


async def apply(
    member: DatabaseMember,
    decision: Decision,
    stages: Stages,
    guard: LockoutGuard,
    is_unchanged: Callable[[], Awaitable[bool]],
    lock: str,
) -> None:
    """APPLY and RETIRE: lock, look at A again, see how the account stands, change it, log in.

    ``is_unchanged`` says whether A is as it was. Raises :class:`Conflict` when it is not or somebody has the lock,
    :class:`Stopped`, and what the database raises. Repeating is safe: what is there already is not done again.
    """
    assert decision.what
    async with _locked(member, decision, guard, lock) as session:
        if not await is_unchanged():
            raise Conflict("the primary store has changed meanwhile")
        locked = _LockedMember(number=decision.member, member=member, guard=guard, session=session, stages=stages)
        if decision.act is Act.RETIRE:
            await _retire(locked, decision.what)
        else:
            await _set(locked, decision.what)


async def _retire(locked: _LockedMember, current: StagedCredential) -> None:
    user = current.credential.username
    if not await locked.accepts(current, Weight.HEAVY):
        raise Conflict(f"{locked.name} has changed meanwhile")
    if await locked.session.slot_of(user, current.credential.password) is PasswordSlot.SECOND:
        await locked.make(user, Change(current))
    await locked.session.retire(user)


async def _set(locked: _LockedMember, new: StagedCredential) -> None:
    user, strategy = new.credential.username, locked.member.strategy
    account = await _account(locked, user) if strategy.keeps_two else None
    current = locked.stages.current.credential
    standing = Standing(
        has_second=account.has_second_password if account else False,
        slot=await locked.session.slot_of(user, current.password) if strategy.keeps_two else None,
        rejected=frozenset(
            one.id for one in (new, *locked.stages.credentials()) if locked.guard.was_rejected(locked.number, one)
        ),
    )
    while isinstance(step := next_step(strategy, new, locked.stages, standing), Ask):
        is_light = step.weight is Weight.LIGHT
        asked = locked.accepts_surely(step.what) if is_light else locked.accepts(step.what, step.weight)
        standing = replace(standing, answers={**standing.answers, step.what.id: await asked})
    await _make_all(locked, new, account, step)
    if new.same(locked.stages.current) and strategy is Strategy.ALTERNATING:
        await _assert_partner(locked)
    if not await locked.accepts(new):
        raise Stopped(f"{locked.name} took the password of {user}, and does not let it in yet")


async def _assert_partner(locked: _LockedMember) -> None:
    """A database that lost CURRENT, a restored one, has lost PREVIOUS too, and clients may still hold that."""
    previous, user = locked.stages.previous, locked.stages.current.credential.username
    if previous is None or previous.credential.username != partner(user):
        return
    if not await locked.accepts_surely(previous):
        with suppress(PasswordRefused):  # it is a courtesy: nothing depends on it
            await locked.make(previous.credential.username, Change(previous))


async def _make_all(
    locked: _LockedMember, new: StagedCredential, account: Account | None, steps: tuple[Change, ...]
) -> None:
    user = new.credential.username
    for change in steps:
        try:
            await locked.make(user, change)
        except PasswordRefused as exc:
            if exc.reason is not RefusalReason.REUSE or change.what is None:
                raise
            if not change.what.same(new):
                await _make_without_current(locked, new, account)
            elif not await locked.accepts_surely(new):
                raise  # otherwise the history refused what the account has: another worker has set it
            return


async def _make_without_current(locked: _LockedMember, new: StagedCredential, account: Account | None) -> None:
    user = new.credential.username
    if account and (until := account.second_password_until):
        raise Stopped(
            f"{locked.name}: {user} has a second password that is in neither store, and its history "
            f"does not take the current one again; the rollover ends at {until:%Y-%m-%d %H:%M} UTC",
            hint="CURRENT goes on working; the first run after that finishes the rotation",
        )
    for change in without_current(new):
        await locked.make(user, change)


async def _account(locked: _LockedMember, username: str) -> Account:
    account = await locked.guard.account(locked.number, locked.session, username)
    if account is None:
        raise Refused(f"{locked.name} has no user {username}", hint="create it as it was")
    return account


async def look_at(
    number: int, member: DatabaseMember, guard: LockoutGuard, current: StagedCredential
) -> Account | None:
    """The current user's account."""
    async with guard.session(number, None if member.admin else current) as session:
        return await guard.account(number, session, current.credential.username)


@asynccontextmanager
async def _locked(
    member: DatabaseMember, decision: Decision, guard: LockoutGuard, lock: str
) -> AsyncIterator[Session]:
    async with guard.session(decision.member, decision.by) as session:
        if not await session.lock(lock):
            raise Busy(f"{member.database.name} is being changed by another worker")
        yield session
