"""Logs in to the databases of one tick, and never so often that an account is locked.

Every login that fails is noted before the next one is tried (:mod:`keepstep.rotation.failures`). Where an
administrator sees the limit of an account, that limit holds; where the server shows which password it has, no login
that would fail is tried at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from keepstep.clock import Clock
from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Account, Answer, Login, LoginProbe, PasswordSlot, Session
from keepstep.errors import Denied, Error, NotFound, Refused, Transient
from keepstep.rotation import failures as memory
from keepstep.rotation.failures import Weight
from keepstep.rotation.member import DatabaseMember, Stopped, remedy_of
from keepstep.rotation.rows import StagedCredential

Note = Callable[[memory.Failures], Awaitable[None]]
"""Writes down what is remembered from now on."""
_ADMIN = "administrator"


class Withheld(Stopped):
    """A login was not tried, because one more failure could lock the account; the message says until when."""


class LockoutGuard:
    """One for a tick. ``is_forced``: somebody asks, so what was rejected a while ago is tried again."""

    def __init__(
        self, members: tuple[DatabaseMember, ...], clock: Clock, note: Note, *, is_forced: bool = False
    ) -> None:
        self.failures: memory.Failures = {}
        self.unavailable: dict[int, Error] = {}
        """Databases whose administrator cannot be used, and why."""
        self._members = members
        self._clock = clock
        self._note = note
        self._is_forced = is_forced
        self._rejected: set[tuple[int, Login]] = set()
        self._accepted: set[tuple[int, Login]] = set()
        self._accounts: dict[tuple[int, str], Account | None] = {}

    async def ask(
        self,
        number: int,
        staged: StagedCredential,
        *,
        weight: Weight = Weight.PLAIN,
        session: Session | None = None,
    ) -> LoginProbe:
        """How the database answers to what ``staged`` says; ``WITHHELD`` when it must not be asked now.

        ``session`` is the administrator's, where one is open.
        """
        member, login = self._members[number], staged.credential.login
        account = memory.account_of(member.database.name, login.username)
        key = memory.login_of(account, staged.id)
        limit = await self._limit(number, login.username, session)
        slot = await self._slot(number, login, limit, session)
        if slot is PasswordSlot.NEITHER:
            self._rejected.add((number, login))
            return LoginProbe(Answer.REJECT, "the server has another password")
        is_certain = slot is not None or (number, login) in self._accepted
        if not is_certain and (why := self._too_risky(account, login.username, limit, weight)):
            return LoginProbe(Answer.WITHHELD, why)
        probe = await member.database.probe(login)
        await self._learn(number, login, account, key, probe.answer)
        return probe

    async def accepts(
        self, number: int, staged: StagedCredential, *, session: Session, weight: Weight = Weight.PLAIN
    ) -> bool:
        """The same under the lock. Raises :class:`Stopped` where it does not say yes or no."""
        probe = await self.ask(number, staged, weight=weight, session=session)
        if probe.answer is Answer.WITHHELD:
            raise self.withheld(number, staged)
        return self._is_accept(number, probe)

    def _is_accept(self, number: int, probe: LoginProbe) -> bool:
        is_healed = probe.answer is Answer.EXPIRED and self._members[number].admin is not None
        if probe.answer not in (Answer.ACCEPT, Answer.REJECT) and not is_healed:
            name = self._members[number].database.name
            raise Stopped(
                f"{name} is {probe.answer}" + (f": {probe.why}" if probe.why else ""),
                hint=probe.fix or remedy_of(self._members[number], probe.answer),
            )
        return probe.answer is Answer.ACCEPT

    async def accepts_surely(self, number: int, staged: StagedCredential, *, session: Session) -> bool:
        """False also where it is not to be asked: somebody can do without the answer."""
        probe = await self.ask(number, staged, weight=Weight.LIGHT, session=session)
        return probe.answer is not Answer.WITHHELD and self._is_accept(number, probe)

    def withheld(self, number: int, staged: StagedCredential) -> Error:
        """Why a login is not tried, when it will be, and what would help."""
        member, username = self._members[number], staged.credential.username
        account = memory.account_of(member.database.name, username)
        known = self._accounts.get((number, username))
        limit = known.failures_allowed if known else None
        why = self._too_risky(account, username, limit, Weight.PLAIN)
        count = self.failures[account].count if account in self.failures else 0
        if limit is not None and limit <= 1:
            return one_failure_locks(member, username)
        hint = "what is pending stays; --now tries again at once"
        if limit is not None and count + 1 >= limit:
            hint = f"an administrator has to set the CURRENT version's password: {member.database.remedy(username)}"
        return Withheld(f"{member.database.name}: {why}", hint=hint)

    def remember(self, others: memory.Failures) -> None:
        """What other runs noted."""
        self.failures = memory.merged(self.failures, others)

    def was_set(self, number: int, staged: StagedCredential) -> None:
        """Its password has just been set: whatever it was answered before says nothing any more."""
        member, login = self._members[number], staged.credential.login
        account = memory.account_of(member.database.name, login.username)
        self._rejected.discard((number, login))
        self._accepted.add((number, login))
        self._accounts.pop((number, login.username), None)
        self.failures = memory.without(self.failures, account, memory.login_of(account, staged.id))

    def was_rejected(self, number: int, staged: StagedCredential) -> bool:
        """In this tick, or lately in another one."""
        login = staged.credential.login
        if (number, login) in self._accepted:
            return False  # whatever others noted before
        account = memory.account_of(self._members[number].database.name, login.username)
        failed, key = self.failures.get(account), memory.login_of(account, staged.id)
        is_noted = not self._is_forced and memory.is_remembered(failed, key, self._clock.now())
        return is_noted or (number, login) in self._rejected

    def assume_rejected(self, number: int, login: Login) -> None:
        """A password that was made a moment ago, and that nobody has set."""
        self._rejected.add((number, login))

    async def account(self, number: int, session: Session, username: str) -> Account | None:
        """As the session sees it; its limit is kept to from now on."""
        found = self._accounts[number, username] = await session.account(username)
        return found

    @asynccontextmanager
    async def session(self, number: int, by: StagedCredential | None) -> AsyncIterator[Session]:
        """A session of the administrator, or of ``by``. Raises :class:`Stopped` when there can be none."""
        member = self._members[number]
        login, key = await self._changer(member, by)
        account = memory.account_of(member.database.name, login.username)
        self._check_session(number, login, account, key, by)
        opened = member.database.session(login)
        try:
            session = await opened.__aenter__()
        except NotLoggedIn as exc:
            await self._learn(number, login, account, key, exc.answer)
            raise Stopped(exc.message, hint=exc.probe.fix or remedy_of(member, exc.answer) or exc.hint) from exc
        await self._learn(number, login, account, key, Answer.ACCEPT)
        try:
            yield session
        except BaseException as exc:
            await opened.__aexit__(type(exc), exc, exc.__traceback__)
            raise
        else:
            await opened.__aexit__(None, None, None)

    def _check_session(
        self, number: int, login: Login, account: str, key: str, by: StagedCredential | None
    ) -> None:
        if by is not None or (number, login) in self._accepted:
            return
        failed = self.failures.get(account)
        is_lately = memory.is_remembered(failed, key, self._clock.now()) and not self._is_forced
        if failed and (is_lately or self._too_risky(account, login.username, None, Weight.PLAIN)):
            again = max(failed.at + memory.REST, memory.next_try(failed, None, Weight.PLAIN) or failed.at)
            raise Withheld(
                f"{self._members[number].database.name}: the administrator {login.username} was rejected; the next "
                f"login is tried at {again:%Y-%m-%d %H:%M} UTC, so that the account is not locked",
                hint="correct the administrator's secret; --now tries again at once",
            )

    @staticmethod
    async def _changer(member: DatabaseMember, by: StagedCredential | None) -> tuple[Login, str]:
        if by is not None:
            login = by.credential.login
            return login, memory.login_of(memory.account_of(member.database.name, login.username), by.id)
        try:
            login = await member.administrator()
        except (Denied, NotFound, Transient) as exc:
            raise Stopped(
                f"the administrator's secret of {member.database.name} cannot be read: {exc}", hint=exc.hint
            ) from exc
        return login, memory.login_of(memory.account_of(member.database.name, login.username), _ADMIN)

    def _too_risky(self, account: str, username: str, limit: int | None, weight: Weight) -> str | None:
        """Why the login must not be tried now; None when it may be."""
        failed = self.failures.get(account)
        again = memory.next_try(failed, limit, weight)
        count = failed.count if failed else 0
        if again is None or (again != memory.NEVER and self._is_forced) or again <= self._clock.now():
            return None
        if again == memory.NEVER:
            many = "one failed login locks" if limit == 1 else f"{limit} failed logins lock"
            so_far = f", and {count} failed already" if count else ""
            return f"{many} {username}{so_far}: no login is tried that could fail"
        return f"{count} logins of {username} failed in a row; the next is tried at {again:%Y-%m-%d %H:%M} UTC"

    async def _learn(self, number: int, login: Login, account: str, key: str, answer: Answer) -> None:
        now = self._clock.now()
        if answer is Answer.ACCEPT:
            self._rejected.discard((number, login))
            self._accepted.add((number, login))
            self.failures = memory.with_success(self.failures, account, key, now)
        elif answer is Answer.REJECT:
            self._accepted.discard((number, login))
            self._rejected.add((number, login))
            self.failures = memory.with_failure(self.failures, account, key, now)
            await self._note(self.failures)

    async def _limit(self, number: int, username: str, session: Session | None) -> int | None:
        account = await self._account_of(number, username, session)
        return account.failures_allowed if account else None

    async def _account_of(self, number: int, username: str, session: Session | None) -> Account | None:
        """What an administrator sees; None also where there is none, or where it cannot be seen."""
        member = self._members[number]
        if (
            (number, username) not in self._accounts
            and member.admin
            and member.database.engine.facts.locks_accounts
        ):
            self._accounts[number, username] = None
            try:
                if session:
                    return await self.account(number, session, username)
                if number not in self.unavailable:
                    async with self.session(number, None) as own:
                        return await self.account(number, own, username)
            except Error as exc:
                self.unavailable[number] = exc
        return self._accounts.get((number, username))

    async def _slot(
        self, number: int, login: Login, limit: int | None, session: Session | None
    ) -> PasswordSlot | None:
        """Which of the account's passwords it is, where that is worth a question."""
        member = self._members[number]
        account = memory.account_of(member.database.name, login.username)
        is_dear = (limit is not None and limit <= memory.FREE + 1) or account in self.failures
        try:
            if session:
                return await session.slot_of(login.username, login.password)
            if is_dear and member.admin and number not in self.unavailable:
                async with self.session(number, None) as own:
                    return await own.slot_of(login.username, login.password)
        except (Denied, Stopped):
            return None
        return None


def more_failures(member: DatabaseMember, username: str) -> str:
    """The statement that lets more logins fail before the account is locked."""
    return member.database.engine.facts.more_failures.format(user=username)


def one_failure_locks(member: DatabaseMember, username: str) -> Refused:
    """Some logins of a rotation may fail, and here none may."""
    return Refused(
        f"{member.database.name}: one failed login locks {username}, so no login is tried that could fail",
        hint=f"nothing was written; allow more: {more_failures(member, username)}",
    )
