"""Two workers, two stores and some databases as one immutable state, and every step that can be taken from it.

The table (`rotation/rows.py`), the changes of an account (`rotation/changes.py`) and the tokens are the real ones;
the stores and databases keep the rules that their vendors document. Every read and every write is a step of its
own, and between any two of them the other worker may do whatever it likes, or an operator may.

A worker goes round: etag of O, stages of O, stages of A, a probe at a time, then one act; an act on a database is
lock, read A again, one login or one change at a time, unlock. Where a setting has a limit, the servers count failed
logins and lock accounts, and workers remember them as the engine does (`rotation/failures.py`), each note a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from keepstep.databases.interface import Answer, Login, PasswordSlot
from keepstep.rotation import failures as memory
from keepstep.rotation.changes import Ask, Change, Standing, Strategy, next_step
from keepstep.rotation.credential import Credential, partner
from keepstep.rotation.failures import Failed, Weight
from keepstep.rotation.rows import (
    Act,
    Decision,
    DecisionInput,
    Member,
    Question,
    Row,
    StagedCredential,
    Stages,
    decide,
)
from keepstep.rotation.tokens import name_of, token_of
from keepstep.secret import Secret
from keepstep.vaults.interface import VersionId

T = TypeVar("T")

_kept: dict[int, Any] = {}
_results: dict[int, Any] = {}


def once(key: Any, compute: Callable[[], T]) -> T:
    """The result for that object, computed the first time; objects are compared by identity, and kept."""
    if id(key) not in _results:
        _kept[id(key)] = key
        _results[id(key)] = compute()
    found: T = _results[id(key)]
    return found


def forget() -> None:
    """Lets go of everything that :func:`once` keeps."""
    _kept.clear()
    _results.clear()


class Store(NamedTuple):
    """A secret: its versions, and the ids that the stages stand on."""

    versions: tuple[StagedCredential, ...]
    current: str
    pending: str = ""
    previous: str = ""
    etag: int = 0
    names: frozenset[str] = frozenset()
    noted: str = ""
    """The version that "all are retired" is noted on."""

    def find(self, id_: str) -> StagedCredential | None:
        return next((staged for staged in self.versions if staged.id == id_), None) if id_ else None

    @property
    def stages(self) -> Stages:
        return once(self, self._stages)

    def _stages(self) -> Stages:
        current = self.find(self.current)
        assert current
        return Stages(current, self.find(self.pending), self.find(self.previous))

    @property
    def deprecated(self) -> list[StagedCredential]:
        return [staged for staged in self.versions if staged.id not in (self.current, self.pending, self.previous)]


class Account(NamedTuple):
    """One user of one database: the newest password, and the one that goes on working."""

    newest: Secret
    second: Secret | None = None
    failures: int = 0
    """Logins that failed in a row, where the server counts them."""
    is_locked: bool = False


Users = tuple[tuple[str, Account], ...]
Remembered = frozenset[tuple[str, Failed]]
"""What is remembered of accounts."""
Note = tuple[int, Remembered]
"""A label of the secret: who wrote it, and what it says."""
NOW = datetime(2026, 3, 4, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)


class Base(NamedTuple):
    """One database; ``holder`` is the worker that has its lock."""

    users: Users
    holder: int = -1

    def says(self, login: Login) -> Answer:
        account = dict(self.users).get(login.username)
        is_known = account is not None and login.password in (account.newest, account.second)
        return Answer.ACCEPT if is_known else Answer.REJECT

    def asked(self, login: Login, limit: int | None) -> Base:
        """A login was tried: the server counts those that fail in a row, and locks the account at its limit."""
        account = dict(self.users).get(login.username)
        if account is None or limit is None:
            return self
        count = 0 if self.says(login) is Answer.ACCEPT else account.failures + 1
        counted = account._replace(failures=count, is_locked=account.is_locked or count >= limit)
        return self if counted == account else self.with_account(login.username, counted)

    def slot(self, login: Login) -> PasswordSlot:
        account = dict(self.users)[login.username]
        return {account.second: PasswordSlot.SECOND, account.newest: PasswordSlot.NEWEST}.get(
            login.password, PasswordSlot.NEITHER
        )

    def with_account(self, user: str, account: Account) -> Base:
        return self._replace(users=tuple(sorted({**dict(self.users), user: account}.items())))


class Worker(NamedTuple):
    """Where a worker is, and what it believes. ``at`` is the step that comes next."""

    at: str = "etag"
    etag: int = -1
    o: Stages | None = None
    o_names: frozenset[str] = frozenset()
    a: Stages | None = None
    prunable: str = ""
    is_grace_over: bool = False
    answers: frozenset[tuple[int, Login, Answer]] = frozenset()
    decision: Decision | None = None
    changes: tuple[Change, ...] = ()
    unfit: frozenset[tuple[int, Login]] = frozenset()
    retired: frozenset[int] = frozenset()
    rejected: frozenset[tuple[int, Login]] = frozenset()
    """Logins that were rejected in this tick, or are fresh."""
    accepted: frozenset[tuple[int, Login]] = frozenset()
    """Logins that were let in or set in this tick, where a limit makes that matter."""
    failures: Remembered = frozenset()
    read: frozenset[Note] = frozenset()
    """The notes that it knows."""
    then: str = ""
    """Where it goes on once a failed login is noted."""
    under: frozenset[tuple[str, bool]] = frozenset()
    """Logins under the lock, by version."""

    def again(self) -> Worker:
        """Observes again; what it knows of this tick stays."""
        return self._replace(
            **{name: Worker._field_defaults[name] for name in ("at", "etag", "o", "o_names", "a", "prunable")},
            **{name: Worker._field_defaults[name] for name in ("is_grace_over", "answers", "decision", "changes")},
            then="",
            under=frozenset(),
        )


class World(NamedTuple):
    a: Store
    o: Store
    bases: tuple[Base, ...]
    workers: tuple[Worker | None, ...]
    notes: frozenset[Note] = frozenset()
    """Labels of the secret that remember failed logins."""

    def base(self, number: int, base: Base) -> World:
        return self._replace(bases=(*self.bases[:number], base, *self.bases[number + 1 :]))

    def worker(self, number: int, worker: Worker | None) -> World:
        return self._replace(workers=(*self.workers[:number], worker, *self.workers[number + 1 :]))

    def crashed(self, number: int) -> World:
        """A session that dies frees its lock."""
        free = [base._replace(holder=-1) if base.holder == number else base for base in self.bases]
        return self._replace(bases=tuple(free)).worker(number, None)


@dataclass(frozen=True)
class Fences:
    """What keeps workers from hurting each other; the model has to fail when one is taken away."""

    lock: bool = True
    read_again: bool = True
    probe_again: bool = True
    expire_first: bool = True
    secondary_first: bool = True
    generations: bool = True
    if_match: bool = True
    tokens: bool = True
    label: bool = True
    memory: bool = True


@dataclass(frozen=True)
class Setting:
    """What is checked: a strategy for each database, how many rotations, what an operator does."""

    strategies: tuple[Strategy, ...]
    rotations: int = 2
    edit: str = ""
    """One of ``EDITS``: somebody does it by hand, at any point of a rotation that was given up."""
    has_admin: bool = True
    kept: int = 99
    """Deprecated versions of O that are not pruned."""
    unfit: frozenset[int] = frozenset()
    """Databases whose policy does not take the first fresh password."""
    has_gen: bool = True
    limit: int | None = None
    """Failed logins in a row that lock an account."""
    is_shown: bool = False
    """The databases show which password an account has."""
    workers: int = 2
    fences: Fences = Fences()

    @property
    def alternates(self) -> bool:
        return Strategy.ALTERNATING in self.strategies

    @property
    def is_seamless(self) -> bool:
        return Strategy.SINGLE not in self.strategies


ARN = "arn"
USER = "u_a"


def start(setting: Setting) -> World:
    """In step, after a rotation; the old passwords still log in where there may be two."""
    gens = (1, 2) if setting.has_gen else (0, 0)
    users = (partner(USER), USER) if setting.alternates else (USER, USER)
    before = Credential(gens[0], users[0], Secret("before"))
    now = Credential(gens[1], users[1], Secret("now"))
    a = Store(
        (StagedCredential(VersionId("a1"), before), StagedCredential(VersionId("a2"), now)), "a2", previous="a1"
    )
    o = Store(
        (StagedCredential(VersionId("1"), before), StagedCredential(VersionId("2"), now)),
        "2",
        previous="1",
        names=frozenset("12"),
    )
    bases = [Base(_accounts(strategy, before, now)) for strategy in setting.strategies]
    return World(a, o, tuple(bases), (Worker(),) * setting.workers)


def _accounts(strategy: Strategy, before: Credential, now: Credential) -> Users:
    if strategy is Strategy.ALTERNATING:
        return ((now.username, Account(now.password)), (before.username, Account(before.password)))
    return ((now.username, Account(now.password, before.password if strategy.keeps_two else None)),)


def starts(setting: Setting) -> Iterator[World]:
    """Where the search begins: in step, or wherever a worker stood that crashed before somebody's edit."""
    world = start(setting)
    if not setting.edit:
        yield world
        return
    for _ in range(100):
        stopped = world
        for number in range(setting.workers):
            stopped = stopped.crashed(number)
        if edited := EDITS[setting.edit](setting, stopped):
            yield edited._replace(workers=(Worker(),) * setting.workers)
        name, world = [(name, after) for number, name, after in steps(setting, world) if number == 0][-1]
        if name == "S0":
            return
    raise AssertionError("a worker alone goes on forever")


def steps(setting: Setting, world: World) -> Iterator[tuple[int, str, World]]:
    """Every step from here: who takes it, its name, and where it leads."""
    for number, worker in enumerate(world.workers):
        if worker is not None:
            for name, after in Stepper(setting, world, number, worker).steps():
                yield number, name, after


Step = tuple[str, World]


class Stepper:
    """One worker's next steps; there are several only where the clock decides."""

    def __init__(self, setting: Setting, world: World, number: int, worker: Worker) -> None:
        self.setting = setting
        self.world = world
        self.number = number
        self.worker = worker

    def steps(self) -> Iterator[Step]:
        yield from getattr(self, f"_{self.worker.at}")()

    def _to(self, **changes: object) -> World:
        return self.world.worker(self.number, self.worker._replace(**changes))  # type: ignore[arg-type]

    def _again(self, world: World | None = None) -> World:
        return (world or self.world).worker(self.number, self.worker.again())

    def _etag(self) -> Iterator[Step]:
        if self.setting.fences.secondary_first or self.worker.a is not None:
            yield "read O's etag", self._to(at="o", etag=self.world.o.etag)
        else:
            yield from self._a()

    def _o(self) -> Iterator[Step]:
        o = self.world.o
        prunable = o.deprecated[0].id if len(o.deprecated) > self.setting.kept else ""
        then = "a" if self.worker.a is None else "decide"
        yield "read O", self._to(at=then, o=o.stages, o_names=o.names, prunable=prunable, **self._known(o))

    def _a(self) -> Iterator[Step]:
        """The grace is always over: a worker for which it is not would only do less."""
        then = "decide" if self.worker.o is not None else "etag"
        keeps_two = any(strategy.keeps_two for strategy in self.setting.strategies)
        is_over = keeps_two and self.world.a.noted != self.world.a.current
        yield "read A", self._to(at=then, a=self.world.a.stages, is_grace_over=is_over, **self._notes())

    def _known(self, o: Store) -> dict[str, Any]:
        """What it knows of logins that are in no store any more does not matter."""
        staged = {each.credential.login for store in (o, self.world.a) for each in store.stages.credentials()}
        return {
            "rejected": frozenset(pair for pair in self.worker.rejected if pair[1] in staged),
            "accepted": frozenset(pair for pair in self.worker.accepted if pair[1] in staged),
        }

    def _notes(self) -> dict[str, Any]:
        """What the labels say that it has not read yet."""
        new = self.world.notes - self.worker.read
        if not new:
            return {}
        failures = dict(self.worker.failures)
        for _, said in sorted(new, key=repr):
            failures = dict(memory.merged(failures, dict(said)))
        return {"failures": frozenset(failures.items()), "read": self.worker.read | new}

    def _decide(self) -> Iterator[Step]:
        decision = once(self.worker, lambda: _decision(self.setting, self.worker))
        if isinstance(decision, Question):
            weight = Weight.HEAVY if self.worker.a and decision.what.same(self.worker.a.current) else Weight.PLAIN
            yield self._asked(decision.member, decision.what, weight)
        else:
            yield from getattr(self, f"_{decision.act.name.lower()}")(decision)

    def _asked(self, member: int, staged: StagedCredential, weight: Weight) -> Step:
        """As the guard does it: remembered, seen without a login, withheld, or tried and noted."""
        login, base, limit = staged.credential.login, self.world.bases[member], self.setting.limit
        account = memory.account_of(str(member), login.username)
        key, failures = memory.login_of(account, staged.id), dict(self.worker.failures)
        if self._is_shown and base.slot(login) is PasswordSlot.NEITHER:
            return "seen", self._answered(member, staged, Answer.REJECT)
        is_certain = self._is_shown or (member, login) in self.worker.accepted or limit is None
        again = memory.next_try(failures.get(account), limit if self.setting.has_admin else None, weight)
        if self.setting.fences.memory and not is_certain and again is not None and again > NOW:
            return "withheld", self._answered(member, staged, Answer.WITHHELD)
        answer = base.says(login)
        world = self.world.base(member, base.asked(login, limit))
        stepper = Stepper(self.setting, world, self.number, self.worker)
        if limit is None:
            return "probe", stepper._answered(member, staged, answer)
        learn = memory.with_success if answer is Answer.ACCEPT else memory.with_failure
        learnt = frozenset(learn(failures, account, key, NOW).items())
        mine = stepper._answered(member, staged, answer).workers[self.number]
        assert mine
        mine = mine._replace(failures=learnt)
        if answer is Answer.REJECT and self.setting.fences.memory:
            mine = mine._replace(then=mine.at, at="note")
        return "probe", world.worker(self.number, mine)

    @property
    def _is_shown(self) -> bool:
        return self.setting.is_shown and self.setting.has_admin

    def _answered(self, member: int, staged: StagedCredential, answer: Answer) -> World:
        login, worker = staged.credential.login, self.worker
        pair = frozenset({(member, login)})
        if answer is Answer.ACCEPT:
            accepted = worker.accepted if self.setting.limit is None else worker.accepted | pair
            worker = worker._replace(rejected=worker.rejected - pair, accepted=accepted)
        elif answer is Answer.REJECT:
            worker = worker._replace(rejected=worker.rejected | pair, accepted=worker.accepted - pair)
        if worker.at in ("standing", "retiring"):
            worker = worker._replace(under=worker.under | {(staged.id, answer is Answer.ACCEPT)})
        else:
            worker = worker._replace(answers=worker.answers | {(member, login, answer)})
        return self.world.worker(self.number, worker)

    def _note(self) -> Iterator[Step]:
        """The new label, and off with those that it has read."""
        mine = (self.number, self.worker.failures)
        notes = (self.world.notes - self.worker.read) | {mine}
        yield "note", self._to(at=self.worker.then, then="", read=frozenset({mine}))._replace(notes=notes)

    def _settled(self) -> World:
        """The tick ends, and what succeeded meanwhile need not be remembered."""
        left = frozenset((account, failed) for account, failed in self.worker.failures if failed.count)
        known = {each for _, said in self.worker.read for each in said}
        if left == known:
            return self.world.worker(self.number, Worker())
        notes = self.world.notes - self.worker.read
        notes |= {(self.number, left)} if left else frozenset()
        return self.world._replace(notes=notes).worker(self.number, Worker())

    def _nothing(self, decision: Decision) -> Iterator[Step]:
        yield "S0", self._settled()

    def _stop(self, decision: Decision) -> Iterator[Step]:
        if any(answer is Answer.WITHHELD for *_, answer in self.worker.answers):
            yield "rest", _later(self._settled())
        else:
            yield "S0", self._settled()

    def _stage_a(self, decision: Decision) -> Iterator[Step]:
        """S1 labels with the put itself; what heals labels in a second step, which compares."""
        a, mine = self.world.a, self.worker.a
        assert mine
        token = token_of(ARN, mine) + ("" if self.setting.fences.tokens else f" of worker {self.number}")
        known = a.find(token)
        if known and not self._is_wanted(decision, known):
            token = token_of(ARN, mine, decision.gen)
            known = a.find(token)
        if not known:
            a = a._replace(versions=(*a.versions, self._new(decision, token)))
            if decision.row.labels_at_once or not self.setting.fences.label:
                fresh = self._fresh(decision, a.versions[-1])
                after = self.world._replace(a=a._replace(pending=token))
                yield decision.row.code, after.worker(self.number, self.worker.again()._replace(rejected=fresh))
                return
        labelling = self.worker._replace(at="label", decision=replace(decision, version=VersionId(token)))
        yield f"{decision.row.code} put", self.world._replace(a=a).worker(self.number, labelling)

    def _fresh(self, decision: Decision, made: StagedCredential) -> frozenset[tuple[int, Login]]:
        """A password that was made a moment ago is taken to be rejected everywhere."""
        if decision.what:
            return self.worker.rejected
        return self.worker.rejected | {(each, made.credential.login) for each in range(len(self.world.bases))}

    def _is_wanted(self, decision: Decision, known: StagedCredential) -> bool:
        return (
            known.credential == self._new(decision, known.id).credential
            if decision.what
            else known.gen == decision.gen
        )

    def _label(self) -> Iterator[Step]:
        a, mine, decision = self.world.a, self.worker.a, self.worker.decision
        assert mine and decision and decision.version
        if a.pending == (mine.pending.id if mine.pending else ""):
            a = a._replace(pending=decision.version)
        yield f"{decision.row.code} label", self._again(self.world._replace(a=a))

    def _new(self, decision: Decision, token: str) -> StagedCredential:
        if decision.what:
            return StagedCredential(VersionId(token), replace(decision.what.credential, gen=decision.gen))
        assert self.worker.a
        user = self.worker.a.current.credential.username
        user = partner(user) if self.setting.alternates else user
        return StagedCredential(
            VersionId(token), Credential(decision.gen, user, Secret(f"{token} by {self.number}"))
        )

    def _stage_o(self, decision: Decision) -> Iterator[Step]:
        assert decision.what
        o = self.world.o
        name = name_of(decision.what)
        while name in self.worker.o_names:
            name += "+"
        if (self.setting.fences.if_match and o.etag != self.worker.etag) or name in o.names:
            yield f"{decision.row.code} contended", self._again()
            return
        id_ = VersionId(str(len(o.names) + 1))
        changed = o._replace(
            versions=(*o.versions, StagedCredential(id_, decision.what.credential)),
            pending=id_,
            etag=o.etag + 1,
            names=o.names | {name if self.setting.fences.if_match else name + id_},
        )
        yield decision.row.code, self._again(self.world._replace(o=changed))

    def _promote_o(self, decision: Decision) -> Iterator[Step]:
        assert decision.what and self.worker.o
        o = self.world.o
        meant = next(
            (h for h in self.worker.o.credentials() if h.same(decision.what) and h != self.worker.o.current), None
        )
        assert meant
        if self.setting.fences.if_match and o.etag != self.worker.etag:
            yield f"{decision.row.code} contended", self._again()
            return
        pending = "" if o.pending == meant.id else o.pending
        previous = o.current if o.current != meant.id else o.previous
        changed = o._replace(current=meant.id, previous=previous, pending=pending, etag=o.etag + 1)
        yield decision.row.code, self._again(self.world._replace(o=changed))

    def _promote_a(self, decision: Decision) -> Iterator[Step]:
        assert decision.what and self.worker.a
        a = self.world.a
        if self.setting.fences.label and a.current != self.worker.a.current.id:
            yield f"{decision.row.code} contended", self._again()
            return
        previous = a.current if a.current != decision.what.id else a.previous
        changed = a._replace(current=decision.what.id, previous=previous)
        yield decision.row.code, self._again(self.world._replace(a=changed))

    def _unlabel(self, decision: Decision) -> Iterator[Step]:
        assert decision.what
        a = self.world.a
        changed = a._replace(pending="") if a.pending == decision.what.id else a
        yield decision.row.code, self._again(self.world._replace(a=changed))

    def _prune(self, decision: Decision) -> Iterator[Step]:
        o = self.world.o
        if o.etag != self.worker.etag:
            yield f"{decision.row.code} contended", self._again()
            return
        kept = tuple(staged for staged in o.versions if staged.id != decision.version)
        assert len(kept) == len(o.versions) - 1 and {o.current, o.pending or o.current} <= {h.id for h in kept}
        yield decision.row.code, self._again(self.world._replace(o=o._replace(versions=kept, etag=o.etag + 1)))

    def _note_retired(self, decision: Decision) -> Iterator[Step]:
        a = self.world.a
        assert decision.what
        yield decision.row.code, self._again(self.world._replace(a=a._replace(noted=decision.what.id)))

    def _apply(self, decision: Decision) -> Iterator[Step]:
        base = self.world.bases[decision.member]
        if self.setting.fences.lock and base.holder not in (-1, self.number):
            yield f"{decision.row.code} contended", self._again()
            return
        staged = base._replace(holder=self.number) if self.setting.fences.lock else base
        world = self.world.base(decision.member, staged)
        yield "lock", world.worker(self.number, self.worker._replace(at="locked", decision=decision))

    _retire = _apply

    def _unlocked(self, name: str, **changes: object) -> Step:
        decision = self.worker.decision
        assert decision
        base = self.world.bases[decision.member]
        free = base._replace(holder=-1) if base.holder == self.number else base
        world = self.world.base(decision.member, free)
        return name, world.worker(self.number, self.worker.again()._replace(**changes))  # type: ignore[arg-type]

    def _locked(self) -> Iterator[Step]:
        assert self.worker.a
        mine, a = self.worker.a, self.world.a.stages
        if self.setting.fences.read_again and (mine.current, mine.pending) != (a.current, a.pending):
            yield self._unlocked("A has moved")
        else:
            then = "retiring" if self.worker.decision and self.worker.decision.act is Act.RETIRE else "standing"
            yield "read A again", self._to(at=then, **self._notes())

    def _standing(self) -> Iterator[Step]:
        """What the account is like is asked under the lock, so it cannot change before the change."""
        decision, a = self.worker.decision, self.worker.a
        assert decision and decision.what and a
        strategy, account = self.setting.strategies[decision.member], self._account_of(decision.what)
        under = dict(self.worker.under)
        if not self.setting.fences.probe_again:
            under |= {decision.what.id: False}
        standing = Standing(
            has_second=account.second is not None,
            slot=self._base.slot(a.current.credential.login) if self._is_shown and strategy.keeps_two else None,
            answers={VersionId(id_): is_in for id_, is_in in under.items()},
            rejected=frozenset(
                one.id
                for one in (decision.what, *a.credentials())
                if _was_rejected(self.worker, decision.member, one)
            ),
        )
        step = next_step(strategy, decision.what, a, standing)
        if isinstance(step, Ask):
            name, world = self._asked(decision.member, step.what, step.weight)
            if name == "withheld" and step.weight is not Weight.LIGHT:
                yield "rest", self._given_up()
            else:
                yield name, world
        elif not step:
            yield self._unlocked("has it already")
        elif decision.member in self.setting.unfit and decision.what.gen == 3:
            refused = self.worker.unfit | {(decision.member, decision.what.credential.login)}
            yield self._unlocked("refused", unfit=refused)
        else:
            if strategy is Strategy.ROLLOVER and not self.setting.fences.expire_first:
                step = tuple(change for change in step if change.what)
            yield from self._decided(step)

    def _decided(self, changes: tuple[Change, ...]) -> Iterator[Step]:
        worker = self.worker._replace(at="changing", changes=changes, under=frozenset())
        yield from Stepper(self.setting, self.world, self.number, worker).steps()

    def _retiring(self) -> Iterator[Step]:
        decision, under = self.worker.decision, dict(self.worker.under)
        assert decision and decision.what
        if decision.what.id not in under:
            name, world = self._asked(decision.member, decision.what, Weight.HEAVY)
            yield (name, world) if name != "withheld" else ("rest", self._given_up())
        elif not under[decision.what.id]:
            yield self._unlocked("it does not log in")
        else:
            is_second = self._is_shown and self._base.slot(decision.what.credential.login) is PasswordSlot.SECOND
            again = (Change(decision.what),) if is_second else ()
            yield from self._decided((*again, Change(None)))

    def _given_up(self) -> World:
        """A login that is needed must not be tried now: the tick ends, and time passes."""
        _, world = self._unlocked("rest")
        mine = world.workers[self.number]
        assert mine
        return _later(Stepper(self.setting, world, self.number, mine)._settled())

    @property
    def _base(self) -> Base:
        assert self.worker.decision
        return self.world.bases[self.worker.decision.member]

    def _account_of(self, what: StagedCredential) -> Account:
        return dict(self._base.users)[what.credential.username]

    def _changing(self) -> Iterator[Step]:
        decision = self.worker.decision
        assert decision and decision.what
        change, *rest = self.worker.changes
        user = decision.what.credential.username
        strategy = self.setting.strategies[decision.member]
        account = dict(self._base.users)[user]
        world = self.world.base(decision.member, self._base.with_account(user, _changed(strategy, account, change)))
        stepper = Stepper(self.setting, world, self.number, self.worker)
        if rest:
            yield "change", stepper._to(changes=tuple(rest))
        elif decision.act is Act.RETIRE:
            yield stepper._unlocked("retire", retired=self.worker.retired | {decision.member})
        else:
            yield stepper._let_in(decision.what)._unlocked(f"{decision.row.code} change")

    def _let_in(self, what: StagedCredential) -> Stepper:
        """What was set is logged in with, which is certain to succeed."""
        assert self.worker.decision
        number, login = self.worker.decision.member, what.credential.login
        pair = frozenset({(number, login)})
        worker = self.worker._replace(rejected=self.worker.rejected - pair)
        if self.setting.limit is None:
            return Stepper(self.setting, self.world, self.number, worker)
        account = memory.account_of(str(number), login.username)
        key = memory.login_of(account, what.id)
        learnt = memory.with_success(dict(worker.failures), account, key, NOW)
        worker = worker._replace(accepted=worker.accepted | pair, failures=frozenset(learnt.items()))
        world = self.world.base(number, self.world.bases[number].asked(login, self.setting.limit))
        return Stepper(self.setting, world, self.number, worker)


def _later(world: World) -> World:
    """The rests are over."""
    aged = [
        (who, frozenset((account, replace(failed, at=LONG_AGO)) for account, failed in said))
        for who, said in world.notes
    ]
    return world._replace(notes=frozenset(aged))


def _changed(strategy: Strategy, account: Account, change: Change) -> Account:
    """The engines' rules: Oracle's second password stays during a rollover, MySQL's is replaced by RETAIN."""
    if change.what is None:
        return account._replace(second=None)
    new = change.what.credential.password
    if change.keep_old and not (strategy is Strategy.ROLLOVER and account.second):
        return account._replace(newest=new, second=account.newest)
    return account._replace(newest=new)


def _was_rejected(worker: Worker, member: int, staged: StagedCredential) -> bool:
    login = staged.credential.login
    if (member, login) in worker.accepted:
        return False
    account = memory.account_of(str(member), login.username)
    failed = dict(worker.failures).get(account)
    is_noted = memory.is_remembered(failed, memory.login_of(account, staged.id), NOW)
    return is_noted or (member, login) in worker.rejected


def _decision(setting: Setting, worker: Worker) -> Decision | Question:
    assert worker.a and worker.o
    given = DecisionInput(
        primary=worker.a,
        secondary=worker.o,
        members=tuple(Member(str(number), setting.has_admin) for number in range(len(setting.strategies))),
        answers={(member, login): answer for member, login, answer in worker.answers},
        alternates=setting.alternates,
        is_due=worker.a.current.gen < setting.rotations + (2 if setting.has_gen else 0),
        is_grace_over=worker.is_grace_over,
        prunable=VersionId(worker.prunable) if worker.prunable else None,
        unfit=worker.unfit,
        retired=worker.retired,
    )
    staged = {*worker.a.credentials(), *worker.o.credentials()}
    remembered = {
        (member, one.credential.login): Answer.REJECT
        for member in range(len(setting.strategies))
        for one in staged
        if _was_rejected(worker, member, one)
    }
    given = replace(given, remembered=remembered)
    p, o = worker.a.pending, worker.o
    if not setting.fences.generations and p and not (p.same(o.current) or p.same(o.pending)):
        return Decision(row=Row.S2, act=Act.STAGE_O, what=p)
    decision = decide(replace(given, answers={**remembered, **given.answers}))
    return decision if isinstance(decision, Decision) and decision.act is Act.APPLY else decide(given)


def _set_everywhere(world: World, password: Secret) -> World:
    """An administrator changes the current user's password by hand, in each database, keeping none."""
    user = world.a.stages.current.credential.username
    for number, base in enumerate(world.bases):
        world = world.base(number, base.with_account(user, Account(password)))
    return world


def _edited(store: Store, credential: Credential, id_: str) -> Store:
    return store._replace(
        versions=(*store.versions, StagedCredential(VersionId(id_), credential)),
        current=id_,
        previous=store.current,
        etag=store.etag + 1,
        names=store.names | {id_},
    )


def _manual_aws(setting: Setting, world: World) -> World | None:
    """A new password in the databases and in AWS; the field gen is forgotten."""
    by_hand = replace(world.a.stages.current.credential, gen=0, password=Secret("by hand in AWS"))
    return _set_everywhere(world, by_hand.password)._replace(a=_edited(world.a, by_hand, "hand-a"))


def _manual_oci(setting: Setting, world: World) -> World | None:
    """The same in OCI, with a generation of its own."""
    old = world.a.stages.current.credential
    by_hand = replace(old, gen=old.gen + 1, password=Secret("by hand in OCI"))
    number = str(len(world.o.names) + 1)
    return _set_everywhere(world, by_hand.password)._replace(o=_edited(world.o, by_hand, number))


def _label_off(setting: Setting, world: World) -> World | None:
    a = world.a
    return world._replace(a=a._replace(pending="")) if a.pending and a.pending != a.current else None


def _rolled_back(setting: Setting, world: World) -> World | None:
    a = world.a
    return world._replace(a=a._replace(current=a.previous, previous=a.current)) if a.previous else None


def _rolled_back_oci(setting: Setting, world: World) -> World | None:
    o = world.o
    if not o.previous:
        return None
    return world._replace(o=o._replace(current=o.previous, previous=o.current, etag=o.etag + 1))


def _restored(setting: Setting, world: World) -> World | None:
    """The first database comes back from an old backup."""
    return world.base(0, start(setting).bases[0]._replace(holder=world.bases[0].holder))


def _restored_to_previous(setting: Setting, world: World) -> World | None:
    """The first database has what the accounts had before the last rotation, and nothing else."""
    before = start(setting).a.stages.previous
    assert before
    user = world.a.stages.current.credential.username
    base = world.bases[0]
    return world.base(0, base.with_account(user, Account(before.credential.password)))


def _restored_to_unknown(setting: Setting, world: World) -> World | None:
    """Somebody sets a password on the first database that nobody knows, and a second one where there may be two."""
    base = world.bases[0]
    for user, _ in base.users:
        second = Secret("nobody knows that") if setting.strategies[0].keeps_two else None
        base = base.with_account(user, Account(Secret("nobody knows this"), second))
    return world.base(0, base)


def _rolled_back_both(setting: Setting, world: World) -> World | None:
    """Somebody makes the previous version current again in both stores."""
    a = _rolled_back(setting, world) if not world.a.pending and not world.o.pending else None
    return _rolled_back_oci(setting, a) if a else None


def _rolled_back_midway(setting: Setting, world: World) -> World | None:
    """The same while a rotation is under way that both stores know of."""
    a, is_open = world.a, bool(world.a.pending and world.a.pending != world.a.current and world.o.pending)
    rolled = _rolled_back(setting, world) if is_open and a.previous else None
    return _rolled_back_oci(setting, rolled) if rolled else None


def _stray(setting: Setting, world: World) -> World | None:
    """Somebody leaves a pending version in OCI that no database knows."""
    stray = replace(world.a.stages.current.credential, gen=9, password=Secret("stray"))
    o = world.o
    id_ = VersionId(str(len(o.names) + 1))
    versions = (*o.versions, StagedCredential(id_, stray))
    return world._replace(o=o._replace(versions=versions, pending=id_, etag=o.etag + 1, names=o.names | {id_}))


def _wrong(setting: Setting, world: World) -> World | None:
    """Somebody stores a password in AWS that no database knows, and another one in OCI."""
    old = world.a.stages.current.credential
    a = _edited(world.a, replace(old, gen=0, password=Secret("wrong in AWS")), "wrong-a")
    number = str(len(world.o.names) + 1)
    return world._replace(a=a, o=_edited(world.o, replace(old, gen=0, password=Secret("wrong in OCI")), number))


EDITS: dict[str, Callable[[Setting, World], World | None]] = {
    "manual-aws": _manual_aws,
    "manual-oci": _manual_oci,
    "label-off": _label_off,
    "rolled-back": _rolled_back,
    "rolled-back-oci": _rolled_back_oci,
    "restored": _restored,
    "restored-to-previous": _restored_to_previous,
    "restored-to-unknown": _restored_to_unknown,
    "rolled-back-both": _rolled_back_both,
    "rolled-back-midway": _rolled_back_midway,
    "stray": _stray,
    "wrong": _wrong,
}
