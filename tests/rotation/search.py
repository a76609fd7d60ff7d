"""Goes through every state that the model can reach, and looks at each."""

from __future__ import annotations

import gc
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from keepstep.databases.interface import Answer
from keepstep.rotation.rows import StagedCredential
from tests.rotation.model import Setting, Store, World, forget, starts, steps

SOLO = 200
"""Steps in which one worker alone must come to rest."""


@dataclass
class Findings:
    """What the search saw. ``broken`` holds for each invariant the path to the first state that breaks it."""

    states: int = 0
    broken: dict[str, list[str]] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)


class Interner:
    """Makes equal parts of worlds one object, so that they are hashed once and compared by identity."""

    def __init__(self) -> None:
        self._parts: dict[Any, Any] = {}
        self._known: dict[int, Any] = {}

    def world(self, world: World) -> tuple[Key, World]:
        parts = [*map(self._part, (world.a, world.o, *world.bases, *world.workers, world.notes))]
        count = len(world.bases)
        bases, workers = tuple(parts[2 : 2 + count]), tuple(parts[2 + count : -1])
        return tuple(map(id, parts)), World(parts[0], parts[1], bases, workers, parts[-1])

    def _part(self, part: Any) -> Any:
        if id(part) in self._known:
            return part
        part = self._parts.setdefault(part, part)
        self._known[id(part)] = part
        return part


Key = tuple[int, ...]


class Search:
    """Breadth first; a worker may crash at any moment, which is looked at from every state as convergence is."""

    def __init__(self, setting: Setting, *, until: str = "", most: int = 300_000) -> None:
        self.findings = Findings()
        self._until = until
        self._setting = setting
        self._most = most
        self._interner = Interner()
        self._parents: dict[Key, tuple[Key, str] | None] = {}
        self._rests: dict[Key, str] = {}

    def run(self) -> Findings:
        """Nothing is let go of on the way, so there is no garbage to look for."""
        gc.disable()
        try:
            self._run()
        finally:
            gc.enable()
            forget()
        self.findings.states = len(self._parents)
        return self.findings

    def _run(self) -> None:
        queue: deque[tuple[Key, World]] = deque()
        for first in starts(self._setting):
            key, world = self._interner.world(first)
            self._parents[key] = None
            queue.append((key, world))
        while queue and not self._is_found():
            key, world = queue.popleft()
            for number, name, after in steps(self._setting, world):
                after_key, after = self._interner.world(after)
                self._look(key, world, number, name, after)
                if after_key not in self._parents:
                    self._parents[after_key] = (key, f"{number}: {name}")
                    queue.append((after_key, after))
            for number in range(len(world.workers)):
                if trouble := self._alone(world, number):
                    self.findings.broken.setdefault(f"converges: {trouble}", self._path(key))
            assert len(self._parents) < self._most, "the model grew out of hand"

    def _is_found(self) -> bool:
        return bool(self._until) and any(name.startswith(self._until) for name in self.findings.broken)

    def _look(self, key: Key, world: World, number: int, name: str, after: World) -> None:
        self.findings.rows.add(name)
        for invariant in _broken(self._setting, world, after):
            if invariant not in self.findings.broken:
                self.findings.broken[invariant] = [*self._path(key), f"{number}: {name}"]

    def _path(self, key: Key) -> list[str]:
        names: list[str] = []
        while (parent := self._parents[key]) is not None:
            key, name = parent
            names.append(name)
        return names[::-1]

    def _alone(self, world: World, number: int) -> str:
        """The other worker has crashed: this one must come to rest in health. Empty when it does."""
        alone = world
        for other in range(len(world.workers)):
            alone = alone if other == number else alone.crashed(other)
        key, state = self._interner.world(alone)
        rows: set[tuple[Any, ...]] = set()
        seen: dict[Key, None] = {}
        trouble = "goes on forever"
        for _ in range(SOLO):
            if key in self._rests:
                trouble = self._rests[key]
                break
            seen[key] = None
            name, after = [(name, after) for who, name, after in steps(self._setting, state) if who == number][-1]
            key, after = self._interner.world(after)
            if row := _row_done(state, number, name):
                if row in rows:
                    trouble = f"{name} twice without a change"
                    break
                rows.add(row)
            if name == "S0" and key in seen:  # a whole round of its own found nothing to do
                trouble = _health(state)
                break
            state = after
        self._rests.update(dict.fromkeys(seen, trouble))
        return trouble


def _row_done(before: World, number: int, name: str) -> tuple[Any, ...] | None:
    """What tells one row from another, where this step did one: the database, and both stores as they were."""
    code = name.split()[0]
    if not (code[0] in "SD" and code[1:2].isdigit()) or code == "S0" or name.endswith(("contended", "put")):
        return None
    worker = before.workers[number]
    return name, worker.decision.member if worker and worker.decision else -1, before.a, before.o


def lets_in(world: World, number: int, staged: StagedCredential | None) -> bool:
    return staged is not None and world.bases[number].says(staged.credential.login) is Answer.ACCEPT


def _i2(world: World, store: Store, number: int) -> bool:
    """One of CURRENT, PENDING, PREVIOUS logs in."""
    return any(lets_in(world, number, staged) for staged in store.stages.credentials())


def _i3(world: World, store: Store, number: int) -> bool:
    """CURRENT logs in."""
    return lets_in(world, number, store.stages.current)


def _broken(setting: Setting, before: World, after: World) -> list[str]:
    """The invariants that held before a worker's step and do not after it."""
    is_same_base = all(old.users is new.users for old, new in zip(before.bases, after.bases, strict=True))
    if before.a is after.a and before.o is after.o and is_same_base:
        return []
    found = []
    for old_base, new_base in zip(before.bases, after.bases, strict=True):
        if any(account.is_locked and not dict(old_base.users)[user].is_locked for user, account in new_base.users):
            found.append("locked")
    members = range(len(setting.strategies))
    for name in ("a", "o"):
        old, new = getattr(before, name), getattr(after, name)
        if any(_i2(before, old, each) and not _i2(after, new, each) for each in members):
            found.append("I2")
        if any(_i3(before, old, each) and not _i3(after, new, each) for each in members):
            found.append("I3")
        if _lost_pending(after, old, new):
            found.append("I4")
    if _is_unread(before, after):
        found.append("I1")
    return found


def _lost_pending(after: World, old: Store, new: Store) -> bool:
    """A pending version was replaced though a database lets it in, and no other stage has its password."""
    was = old.find(old.pending)
    if was is None or new.pending == old.pending:
        return False
    if any(staged.credential.login == was.credential.login for staged in new.stages.credentials()):
        return False
    others = [staged for store in (after.a, after.o) for staged in store.stages.credentials()]
    if any(staged.credential.login == was.credential.login for staged in others):
        return False
    return any(lets_in(after, number, was) for number in range(len(after.bases)))


def _is_unread(before: World, after: World) -> bool:
    """A password reached a database that both stores did not hold."""
    for old, new in zip(before.bases, after.bases, strict=True):
        if old.users == new.users:
            continue
        for user, account in new.users:
            if account == dict(old.users).get(user):
                continue
            for store in (before.a, before.o):
                known = {staged.credential.login.password for staged in store.stages.credentials()}
                if account.newest not in known and account.newest != dict(old.users)[user].newest:
                    return True
    return False


def _health(world: World) -> str:
    """Empty when nothing is left to do and everybody can log in."""
    a, o = world.a.stages, world.o.stages
    if a.pending is not None:
        return "something is pending"
    if not a.current.same(o.current):
        return "the stores differ"
    if not all(lets_in(world, number, a.current) for number in range(len(world.bases))):
        return "CURRENT does not log in"
    return ""
