"""No account is ever locked by keepstep, and a database that lost the current password gets it back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.errors import Conflict, ExitCode
from keepstep.rotation import failures
from keepstep.rotation.changes import Strategy
from keepstep.secret import Secret
from keepstep.testing.databases import MemoryDatabase
from keepstep.testing.staging import MemoryRevisions
from tests.rotation.memory import ENGINES, USER, MemoryScene
from tests.rotation.null_watcher import Silence

KEEPS_TWO = [Strategy.DUAL, Strategy.ROLLOVER]


class Clock:
    """A day that passes when the test says so."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Counted(MemoryDatabase):
    """Knows the longest series of failed logins that any account has seen."""

    longest = 0

    async def probe(self, login):  # type: ignore[no-untyped-def]
        answer = await super().probe(login)
        self.longest = max(self.longest, *(user.failures for user in self.users.values()))
        return answer


def scene_of(strategy: Strategy, *, limit: int | None = None, remembers: int = 0, **options: object) -> MemoryScene:
    engine = ENGINES.get(strategy, Engine.MARIADB)
    members = [
        Counted(
            name,
            engine=engine,
            keeps_two_passwords=strategy.keeps_two,
            failures_allowed=limit,
            remembers=remembers,
            shows_verifiers=bool(options.get("shows_verifiers")),
        )
        for name in ("app0", "app1")
    ]
    return MemoryScene(strategy, members=list(members), has_admin=bool(options.get("has_admin", True)))


def lose(member: MemoryDatabase, what: str) -> None:
    """The database comes back from a backup with the password before, or somebody sets one that nobody knows."""
    for name in (USER, "app_b"):
        user = member.users[name]
        before = user.history[-2] if len(user.history) > 1 else user.history[-1]
        user.newest = Secret("nobody-knows-this") if "unknown" in what else before
        user.second = Secret("nobody-knows-that") if "second" in what else None


def is_locked(scene: MemoryScene) -> bool:
    return any(user.locked for member in scene.members for user in member.users.values())


@pytest.mark.parametrize("what", ["previous", "unknown", "unknown and a second one", "previous and a second one"])
@pytest.mark.parametrize("limit", [None, 3, 10])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_database_that_lost_current(strategy: Strategy, limit: int | None, what: str) -> None:
    """It is healed by the next plain tick, and so is the rotation after it; no account is locked."""
    if "second" in what and not strategy.keeps_two:
        return
    scene = scene_of(strategy, limit=limit)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    lose(scene.members[0], what)
    heard = Silence()
    report = scene.tick(watcher=heard)
    assert report.exit_code is ExitCode.DONE, heard.text
    assert "contended" not in heard.text
    assert scene.is_in_step(2)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(3)
    assert not is_locked(scene)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_lost_in_the_middle_of_a_rotation(strategy: Strategy) -> None:
    """A database that is restored while the new password is pending is healed too."""
    scene = scene_of(strategy, limit=10)
    scene.members[1].policy = lambda password: False
    assert scene.tick(now=True).exit_code is ExitCode.FAILED
    lose(scene.members[0], "unknown")
    scene.members[1].policy = lambda password: True
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)
    assert not is_locked(scene)


@pytest.mark.parametrize("strategy", [Strategy.SINGLE, *KEEPS_TWO])
def test_failed_logins_are_remembered(strategy: Strategy) -> None:
    """A credential that changes itself and is let in nowhere: ticks on all hosts together fail few logins.

    It says when the next one is tried, and is a failure every time.
    """
    scene = scene_of(strategy, limit=10, has_admin=False)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    lose(scene.members[0], "unknown and a second one" if strategy.keeps_two else "unknown")
    clock = Clock()
    for _ in range(72):
        heard = Silence()
        assert scene.tick(watcher=heard, clock=clock).exit_code is ExitCode.FAILED
        clock.time += timedelta(minutes=20)
        assert not is_locked(scene)
    scene.members[0].users[USER].newest = Secret(str((scene.aws() or {})["password"]))
    for _ in range(200):
        clock.time += timedelta(minutes=20)
        if scene.tick(clock=clock).exit_code is ExitCode.DONE:
            break
    assert scene.is_in_step((scene.aws() or {})["gen"])


def test_withheld_says_until_when() -> None:
    """What is held back is a failure with the time at which it is tried again; --now tries at once."""
    scene = scene_of(Strategy.SINGLE, has_admin=False)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    lose(scene.members[0], "unknown")
    clock = Clock()
    texts = []
    for minutes in (0, 61, 122, 123):
        heard = Silence()
        start = clock.time
        clock.time += timedelta(minutes=minutes)
        assert scene.tick(watcher=heard, clock=clock).exit_code is ExitCode.FAILED
        texts.append(heard.text)
        clock.time = start
    assert any("the next is tried at" in text or "an administrator has to run" in text for text in texts)
    assert all("contended" not in text for text in texts)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_healthy_rotation_fails_no_login_twice(strategy: Strategy) -> None:
    """Two rotations within the grace: at most one login fails in a row, so a limit of two locks nobody."""
    scene = scene_of(strategy, limit=2)
    for gen in (2, 3, 4):
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(gen)
    assert not is_locked(scene)


@pytest.mark.parametrize("strategy", [Strategy.ALTERNATING, Strategy.SINGLE, Strategy.DUAL])
def test_where_one_failure_locks_none_is_caused(strategy: Strategy) -> None:
    """A limit of one, where the server shows what it stores: rotations work, and a lost password is healed."""
    scene = scene_of(strategy, limit=1, shows_verifiers=True)
    for gen in (2, 3):
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(gen)
    lose(scene.members[0], "unknown")
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(3)
    assert not is_locked(scene)
    assert all(member.longest == 0 for member in scene.members)  # type: ignore[attr-defined]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_where_one_failure_locks_and_nothing_is_shown(strategy: Strategy) -> None:
    """A limit of one on a server that shows nothing: refused before anything is staged."""
    scene = scene_of(strategy, limit=1)
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.REFUSED
    assert "one failed login locks" in heard.text
    assert "FAILED_LOGIN_ATTEMPTS" in heard.text or "max_password_errors" in heard.text
    assert scene.aws("AWSPENDING") is None
    assert not is_locked(scene)


def test_a_stale_administrator_is_not_locked_either() -> None:
    """An administrator whose secret is wrong is not tried at every tick."""
    scene = scene_of(Strategy.ALTERNATING, limit=10)
    for member in scene.members:
        member.users["admin"].newest = Secret("changed-by-hand-1")
    clock = Clock()
    for _ in range(72):
        heard = Silence()
        scene.tick(now=False, watcher=heard, clock=clock)
        clock.time += timedelta(minutes=20)
    assert not is_locked(scene)
    assert "administrator" in heard.text


@pytest.mark.parametrize("strategy", KEEPS_TWO)
def test_a_history_refuses_the_current_password(strategy: Strategy) -> None:
    """A second password that nobody knows, and a history that does not take the current one again: few versions.

    The rotation comes to its end, and no password is made for nothing.
    """
    scene = scene_of(strategy, limit=10, remembers=5)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    for member in scene.members:
        member.users[USER].second = Secret("nobody-knows-this")
    count = len(scene.labels.contents["aws"])
    heard = Silence()
    report = scene.tick(now=True, watcher=heard)
    assert report.exit_code is ExitCode.DONE, heard.text
    assert scene.is_in_step(3)
    assert len(scene.labels.contents["aws"]) == count + 1


@pytest.mark.parametrize("limit", [None, 3, 10])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_lost_password_that_is_not_taken_again(strategy: Strategy, limit: int | None) -> None:
    """A history that refuses CURRENT on a database that lost it: one fresh password, once."""
    scene = scene_of(strategy, limit=limit, remembers=5)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    lose(scene.members[0], "unknown")
    count = len(scene.labels.contents["aws"])
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(3)
    assert len(scene.labels.contents["aws"]) == count + 1


def test_contended_is_said_when_another_worker_exists() -> None:
    """Another session that holds the lock is another worker: no failure."""
    scene = scene_of(Strategy.DUAL)
    scene.members[0].locks["keepstep aws"] = object()
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.DONE
    assert "contended" in heard.text


class Unwilling(MemoryRevisions):
    """Refuses every change as if somebody had been faster."""

    async def stage(self, state, version_name, content):  # type: ignore[no-untyped-def]
        raise Conflict("the secret has changed meanwhile")


def test_a_conflict_with_nobody_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is refused again and again though nothing changes is not contention."""
    monkeypatch.setattr("keepstep.rotation.progress.PAUSE", 0.0)
    scene = MemoryScene(revisions=Unwilling())
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "contended" not in heard.text and "nothing has changed" in heard.text


NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "limit", "hours"),
    [(0, None, None), (1, None, None), (2, None, 1), (3, None, 2), (4, None, 4), (1, 10, None), (8, 10, 64)],
)
def test_when_the_next_login_may_fail(count: int, limit: int | None, hours: int | None) -> None:
    """Two at once, then rests that double."""
    failed = failures.Failed(count, NOW) if count else None
    expected = None if hours is None else NOW + timedelta(hours=hours)
    assert failures.next_try(failed, limit, failures.Weight.PLAIN) == expected


@pytest.mark.parametrize(("count", "limit"), [(0, 1), (1, 2), (2, 3), (9, 10)])
def test_never_the_one_that_locks(count: int, limit: int) -> None:
    """The failure that reaches the server's limit is never caused."""
    failed = failures.Failed(count, NOW) if count else None
    assert all(failures.next_try(failed, limit, weight) == failures.NEVER for weight in failures.Weight)


def test_labels_hold_the_memory() -> None:
    """What is written is read again; two writers add up; what makes no sense is skipped."""
    one = failures.with_failure({}, "aaaaaa", "bbbbbb", NOW)
    two = failures.with_failure(one, "aaaaaa", "cccccc", NOW)
    label, other = failures.label_for(two), failures.label_for(one)
    assert label and other and len(label) <= 256
    assert failures.read([label]) == two
    assert failures.read([label, other])["aaaaaa"].count == 3
    assert failures.read(["KEEPSTEP_FAILED-", "KEEPSTEP_FAILED-x-y", "AWSCURRENT"]) == {}
    many = {f"{number:06}": failures.Failed(1, NOW, ("bbbbbb",) * 4) for number in range(30)}
    full = failures.label_for(many)
    assert full and len(full) <= 256 and failures.label_for({}) is None


def test_doctor_says_what_locks() -> None:
    """One failure that locks fails the check with the statement that allows more; two that do are warned of."""
    from keepstep.doctor.check import Verdict
    from keepstep.doctor.databases import can_be_changed
    from keepstep.rotation.credential import Credential
    from tests.rotation.wiring import admin_of, member_of

    current = Credential(1, USER, Secret("first-Passw0rd"))
    cases = (
        (1, False, Verdict.FAIL),
        (2, False, Verdict.WARN),
        (3, False, Verdict.OK),
        (1, True, Verdict.OK),
        (2, True, Verdict.OK),
    )
    for limit, is_shown, verdict in cases:
        scene = scene_of(Strategy.ALTERNATING, limit=limit, shows_verifiers=is_shown)
        base = member_of(scene.members[0], Strategy.ALTERNATING, admin_of("admin", "admin-Passw0rd"))
        session = scene.members[0].session(Login("admin", Secret("admin-Passw0rd")))
        checks = asyncio.run(can_be_changed(base, current, session))
        assert [check.verdict for check in checks] == [verdict]
        if verdict is not Verdict.OK:
            assert "max_password_errors" in str(checks[0].fix)
