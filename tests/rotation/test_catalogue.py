"""The failure catalogue: what can go wrong with a rotation, by number, and what happens then.

F1 is ``test_kills.py``, ``test_workers.py`` and ``test_model.py``; F9 is ``test_leaks.py``; F12's clocks are
``tests/clouds``. The others are here, on databases in memory where those suffice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keepstep.databases.interface import Answer, Login, LoginProbe
from keepstep.databases.postgres import PostgresDatabase
from keepstep.errors import Error, ExitCode, Transient
from keepstep.rotation.changes import Strategy
from keepstep.rotation.connections import Connections
from keepstep.rotation.credential import is_pair, partner
from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.pace import IN_USE, RotationPace, room_of
from keepstep.rotation.passwords import fits, fresh_password
from keepstep.rotation.tick import Tick
from keepstep.secret import Secret
from keepstep.testing.databases import MemoryDatabase
from keepstep.testing.staging import MemoryRevisions
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.staging import SecretState, VersionInfo
from tests.database_servers.certificates import Authority
from tests.database_servers.postgres import PostgresServer
from tests.rotation.fixture import Clouds, Scene
from tests.rotation.memory import FIRST, USER, MemoryScene
from tests.rotation.null_watcher import Silence

Real = Callable[..., Scene]


def member(**options: Any) -> MemoryDatabase:
    return MemoryDatabase(**options)


def test_f1_every_row_is_one_write() -> None:
    """F1: a whole rotation is seven writes, each of them a row of its own, so a kill lands between two rows."""
    report = MemoryScene().tick(now=True)
    assert report.actions is not None
    rows = [action.reason.rpartition("(")[2].partition(")")[0] for action in report.actions]
    assert rows == ["S1", "S2", "S3", "S3", "S4", "S5", "S5b"]


def test_f2_a_database_that_goes_away_in_between() -> None:
    """F2: the other one has the new password already: PENDING is held, CURRENT works, and the time is reported."""
    scene = MemoryScene(Strategy.ROLLOVER)
    scene.members[1].away = Answer.UNREACHABLE
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert scene.aws("AWSPENDING") is None  # nothing is staged while one is away
    scene.members[1].away = None
    first = scene.members[0]
    first.policy = lambda password: _goes_away(scene.members[1])
    report = scene.tick(now=True, watcher=heard)
    assert report.exit_code is ExitCode.FAILED
    assert "unreachable" in heard.text
    assert scene.aws("AWSPENDING") and scene.oci("PENDING")
    assert [concern.name for concern in report.concerns] == ["pending"]
    scene.members[1].away = None
    assert not list(scene.locked_out())
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def _goes_away(database: MemoryDatabase) -> bool:
    database.away = Answer.UNREACHABLE
    return True


@pytest.mark.parametrize("operation", ["UpdateSecret", "PutSecretValue"])
def test_f3_a_write_whose_outcome_is_unknown(clouds: Clouds, operation: str) -> None:
    """F3: it is looked for by its name or token, never sent blindly again: there is one version of it."""
    scene = Scene(clouds, [member()])
    if operation == "UpdateSecret":
        clouds.cloud.fault(operation, lose_reply=True)
    else:
        clouds.aws.fault(operation, {"lose_reply": True})
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(2)
    assert len(clouds.vaults.list_secret_versions(scene.ocid).data) == 2
    ids = clouds.sm.list_secret_version_ids(SecretId=scene.arn, IncludeDeprecated=True)["Versions"]
    assert len(ids) == 2


def test_f4_a_version_that_is_listed_before_it_can_be_read(clouds: Clouds) -> None:
    """F4: contents are read by id, and a version that is not there yet is waited for."""
    scene = Scene(clouds, [member()])
    clouds.aws.fault("GetSecretValue", {"status": 400, "code": "ResourceNotFoundException"}, after=1, times=2)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def test_f5_users_that_do_not_go_together() -> None:
    """F5: another user in the other cloud, in a pending version, or in a pair that is none: refused, untouched."""
    for label in ("AWSCURRENT", "AWSPENDING"):
        scene = MemoryScene()
        text = Secret(scene.payload("x", gen=2, user="other"))
        asyncio.run(scene.labels.put("aws", "v2", text, label))
        before = scene.members[0].users[USER].newest
        assert scene.tick(now=True).exit_code is ExitCode.REFUSED
        assert scene.members[0].users[USER].newest == before
    assert all(partner(partner(user)) == user for user in ("app_a", "app_b", "app", "app_clone"))
    assert not is_pair("app_a_clone")
    assert not is_pair("_clone")


def test_f5_a_pending_version_for_another_host() -> None:
    """F5: a pending version that names another host is not for these databases: refused."""
    scene = MemoryScene(others={"host": "db1"})
    other = MemoryScene(others={"host": "db2"})
    asyncio.run(scene.labels.put("aws", "v2", Secret(other.payload("x", gen=2, user="app_b")), "AWSPENDING"))
    assert scene.tick().exit_code is ExitCode.REFUSED


def test_f5_a_name_that_is_too_long() -> None:
    """F5: a username that the engine would cut off is refused before anything is staged."""
    scene = MemoryScene()
    scene.members[0].name_limit = 4
    assert scene.tick(now=True).exit_code is ExitCode.REFUSED
    assert scene.aws("AWSPENDING") is None


def test_f6_passwords_fit_every_engine() -> None:
    """F6: 30 characters out of what all engines take, of each kind, a letter first, without the username."""
    for _ in range(200):
        password = fresh_password("aB").reveal()
        assert fits(password, "aB")
        assert (
            len(password) == 30 and password[0].isalpha() and password.replace("_", "").replace("-", "").isalnum()
        )
    assert not fits("a" * 30, "app")
    assert not fits("Ab1_" + "x" * 25, "app")
    assert not fits("xAppB1_" + "x" * 23, "app")


def test_f6_a_policy_that_refuses_the_first_password() -> None:
    """F6: another password is tried while no database has the refused one; with one that has it, nothing moves."""
    scene = MemoryScene()
    refused: list[str] = []

    def policy(password: str) -> bool:
        refused.append(password)
        return len(refused) > 1

    scene.members[0].policy = policy
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(3)
    assert refused[0] != (scene.aws() or {})["password"]
    stuck = MemoryScene()
    stuck.members[1].policy = lambda password: False
    assert stuck.tick(now=True).exit_code is ExitCode.FAILED
    assert stuck.aws("AWSPENDING") and not list(stuck.locked_out())


def test_f7_a_password_that_was_used_before() -> None:
    """F7: a database that lost CURRENT and does not take it again gets a fresh one; nothing is rolled back."""
    scene = MemoryScene(Strategy.SINGLE, members=[member(remembers=3), member(name="other")])
    user = scene.members[0].users[USER]
    user.newest = Secret("from-a-backup")
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_f8_accounts_are_not_locked(strategy: Strategy) -> None:
    """F8: at most two logins in a row fail on any account, so an account that three failures lock stays open."""
    scene = MemoryScene(strategy)
    for each in scene.members:
        each.failures_allowed = 3
    for gen in (2, 3, 4):
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(gen)


def test_f8_a_locked_account() -> None:
    """F8: an account that is locked is not taken for a wrong password: the tick stops, and changes nothing."""
    scene = MemoryScene()
    scene.members[1].users[USER].locked = "LOCKED(TIMED)"
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "locked" in heard.text
    assert scene.aws("AWSPENDING") is None


def test_f10_versions_run_out() -> None:
    """F10: a full secret is pruned before it is rotated; where nothing may be pruned, it is known until when."""
    now = datetime.now(UTC)
    held = [VersionInfo(id=VersionId(str(n)), is_deprecated=n < IN_USE - 1) for n in range(IN_USE, 0, -1)]
    state = SecretState(name="s", id="s", stages={}, versions=tuple(held))
    assert (room_of(state).has_room, room_of(state).prunable) == (False, "1")
    waiting = [
        VersionInfo(id=VersionId(str(n)), is_deprecated=True, deletion=now + timedelta(n)) for n in range(1, 30)
    ]
    full = room_of(replace(state, versions=(*held, *waiting)))
    assert (full.has_room, full.prunable, full.next) == (False, None, now + timedelta(1))
    few = tuple(VersionInfo(id=VersionId(str(n)), is_deprecated=n < 6) for n in range(7, 0, -1))
    assert room_of(replace(state, versions=few)).prunable is None


def test_f10_pruned_and_paced(clouds: Clouds) -> None:
    """F10: rotations go on while versions can be pruned; then they wait, with exit code 0 and a warning."""
    scene = Scene(clouds, [member()])
    for number in range(28):
        clouds.put_oci(scene.ocid, scene.payload(FIRST, gen=1) + " " * number)
    for gen in (2, 3):
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(gen)
    versions = clouds.vaults.list_secret_versions(scene.ocid).data
    pending = [version for version in versions if version.time_of_deletion]
    assert len(pending) >= 20
    assert all("CURRENT" not in version.stages for version in pending)
    for _ in range(3):
        fill_up(scene)
        report = scene.tick(now=True)
        assert report.exit_code is ExitCode.DONE
    assert any("paced by the OCI version quota: next at" in warning for warning in report.warnings)
    assert [concern.name for concern in report.concerns] == ["oci-quota"]


def fill_up(scene: Scene) -> None:
    """Until OCI takes no more versions."""
    versions = scene.clouds.vaults.list_secret_versions(scene.ocid).data
    for number in range(IN_USE - sum(version.time_of_deletion is None for version in versions)):
        scene.clouds.put_oci(scene.ocid, scene.payload("filler", gen=1) + " " * number, stage="PENDING")


def test_f11_secrets_manager_takes_no_more_versions(clouds: Clouds) -> None:
    """F11: LimitExceeded is met before any database is changed, and the hint says why."""
    scene = Scene(clouds, [member()])
    clouds.aws.fault("PutSecretValue", {"status": 400, "code": "LimitExceededException"}, times=9)
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "100 versions" in heard.text
    assert scene.is_in_step(1)


def test_f12_what_is_due_goes_by_the_vaults_times() -> None:
    """F12: nothing but due and grace looks at times, and both at those that the vaults give."""
    pace = RotationPace(interval=timedelta(hours=24), grace=timedelta(hours=1))
    made = datetime(2026, 1, 1, tzinfo=UTC)
    assert not pace.is_due(made, made + timedelta(hours=23))
    assert pace.is_due(made, made + timedelta(hours=24))
    assert not pace.is_grace_over(made, made + timedelta(minutes=59))
    assert RotationPace(interval=timedelta(minutes=20), grace=timedelta(hours=1)).is_grace_over(
        made, made + timedelta(minutes=20)
    )


@pytest.mark.parametrize("cloud", ["aws", "oci"])
def test_f13_a_secret_pending_deletion(clouds: Clouds, cloud: str) -> None:
    """F13: refused with an exit code of its own, and never created again."""
    scene = Scene(clouds, [member()])
    if cloud == "aws":
        clouds.sm.delete_secret(SecretId=scene.arn)
    else:
        clouds.vaults.schedule_secret_deletion(scene.ocid, clouds.models.ScheduleSecretDeletionDetails())
    assert scene.tick(now=True).exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("operation", "code"), [("PutSecretValue", "EncryptionFailure"), ("GetSecretValue", "DecryptionFailure")]
)
def test_f14_a_key_that_is_denied(clouds: Clouds, operation: str, code: str) -> None:
    """F14: KMS refusing is met before any database is changed: exit code 1, and the hint names the statement."""
    scene = Scene(clouds, [member()])
    clouds.aws.fault(operation, {"status": 400, "code": code}, times=9)
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "kms:" in heard.text
    clouds.aws.clear_faults()
    assert scene.is_in_step(1)


def test_f15_missing_or_forbidden(clouds: Clouds) -> None:
    """F15: OCI's 404 is reported as both that it can be, with the policy statement that would allow it."""
    scene = Scene(clouds, [member()])
    scene.ocid = f"ocid1.vaultsecret.oc1.iad.{'b' * 60}"
    heard = Silence()
    assert scene.tick(watcher=heard).exit_code is ExitCode.MISCONFIGURED
    assert "missing" in heard.text and "forbidden" in heard.text
    assert "allow " in heard.text and "secrets" in heard.text


@pytest.mark.parametrize("gen", [None, 1, 2])
@pytest.mark.parametrize("cloud", ["aws", "oci"])
def test_f16_one_store_edited_by_hand(clouds: Clouds, cloud: str, gen: int | None) -> None:
    """F16: whichever password logs in is adopted by the other store, with or without a generation."""
    scene = Scene(clouds, [member(), member(name="other")], strategy=Strategy.SINGLE)
    for each in scene.members:
        scene.add_user(each, scene.user, "by-hand-1")
    payload = scene.payload("by-hand-1", gen=gen)
    if cloud == "aws":
        clouds.sm.put_secret_value(SecretId=scene.arn, SecretString=payload)
    else:
        clouds.put_oci(scene.ocid, payload)
    assert scene.tick().exit_code is ExitCode.DONE
    current = scene.aws()
    assert current and current["password"] == "by-hand-1"
    assert scene.is_in_step(current["gen"])


def test_f16_both_stores_wrong(clouds: Clouds) -> None:
    """F16: where neither store's password logs in, the administrator makes a fresh one work everywhere."""
    scene = Scene(clouds, [member()], strategy=Strategy.SINGLE)
    clouds.sm.put_secret_value(SecretId=scene.arn, SecretString=scene.payload("wrong-1"))
    clouds.put_oci(scene.ocid, scene.payload("wrong-2"))
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def test_f16_without_an_administrator(clouds: Clouds) -> None:
    """F16: a credential that changes itself cannot heal that: it says what an administrator has to run."""
    scene = Scene(clouds, [member()], strategy=Strategy.SINGLE, has_admin=False)
    scene.add_user(scene.members[0], scene.user, "nobody-knows-this")
    heard = Silence()
    assert scene.tick(watcher=heard).exit_code is ExitCode.FAILED
    assert "an administrator has to run" in heard.text and scene.user in heard.text
    assert "nobody-knows-this" not in heard.text and FIRST not in heard.text


def test_f17_a_database_restored_from_a_backup() -> None:
    """F17: it gets the current passwords again, of both users that take turns; no version is made."""
    scene = MemoryScene()
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    for user in ("app_a", "app_b"):
        scene.members[0].add(user, "from-a-backup")
    count = len(scene.labels.contents["aws"])
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)
    assert scene.let_in({"username": "app_a", "password": FIRST}) == [True, True]
    assert len(scene.labels.contents["aws"]) == count


class Lagging(MemoryDatabase):
    """Logins go to a replica, which has passwords later than the primary."""

    behind: str | None = None

    async def probe(self, login: Login) -> LoginProbe:
        user = self.users.get(login.username)
        if self.behind == login.username and user and login.password == user.newest:
            return LoginProbe(Answer.REJECT, "the replica does not have it yet")
        return await super().probe(login)


def test_f18_a_replica_that_is_behind() -> None:
    """F18: a password that was set and is not let in yet stops the tick; the next one goes on when it is."""
    lagging = Lagging("lagging")
    scene = MemoryScene(members=[lagging, member(name="other")])
    lagging.behind = "app_b"
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "does not let it in yet" in heard.text
    assert not list(scene.locked_out())
    lagging.behind = None
    assert scene.tick().exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def test_f19_a_second_rotator(clouds: Clouds) -> None:
    """F19: a secret that the cloud rotates itself is refused."""
    scene = Scene(clouds, [member()])
    function = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
    clouds.sm.rotate_secret(SecretId=scene.arn, RotationLambdaARN=function, RotateImmediately=False)
    assert scene.tick().exit_code is ExitCode.REFUSED


@pytest.mark.parametrize("strategy", [Strategy.DUAL, Strategy.ROLLOVER])
def test_f20_who_still_holds_the_previous_password(strategy: Strategy) -> None:
    """F20: the old password works until the grace is over, is then retired, once, and a tick after that is idle."""
    scene = MemoryScene(strategy)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert all(scene.let_in({"username": USER, "password": FIRST}))
    assert scene.tick().exit_code is ExitCode.DONE
    assert all(scene.let_in({"username": USER, "password": FIRST}))
    scene.grace = timedelta(0)
    assert scene.tick().counts["step"] == 3  # two databases, and the note that it is done
    assert not any(scene.let_in({"username": USER, "password": FIRST}))
    assert scene.tick().counts["step"] == 0
    assert scene.is_in_step(2)


def test_f21_a_server_that_cannot_prove_its_name(
    clouds: Clouds, postgres_server: PostgresServer, tmp_path: Any
) -> None:
    """F21: another authority's certificate is no wrong password: nothing is changed, nothing sent in plain."""
    scene = Scene(clouds, [postgres_server])
    ca = str(Authority().write(tmp_path / "other.pem"))
    where = replace(postgres_server.endpoint, ca=ca)
    heard = Silence()

    async def tick() -> ExitCode:
        from keepstep.runs.report import Report

        report = Report("rotate", "a", "o", datetime.now(UTC))
        async with AsyncExitStack() as stack:
            rotation = scene.rotation(stack)
            bases = (DatabaseMember(PostgresDatabase(where), Strategy.ALTERNATING, rotation.members[0].admin),)
            await Tick(replace(rotation, members=bases), report, heard, is_forced=True).run()
        return report.exit_code

    assert asyncio.run(tick()) is ExitCode.FAILED
    assert "tls-error" in heard.text
    assert scene.is_in_step(1)


class Sink:
    """An audit log that can be away."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Mapping[str, Any]]] = []
        self.is_away: Callable[[str], bool] = lambda kind: False

    async def append(self, kind: str, facts: Mapping[str, Any]) -> None:
        if self.is_away(kind):
            raise Transient("the bucket is away")
        self.entries.append((kind, facts))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.entries]


def test_f22_no_intent_no_change() -> None:
    """F22: where the intent cannot be written nothing is staged; afterwards intent and result stand in the log."""
    sink = Sink()
    scene = MemoryScene(append=sink.append)
    sink.is_away = lambda kind: True
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "audit log cannot be written" in heard.text
    assert scene.is_in_step(1)
    sink.is_away = lambda kind: False
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert sink.kinds == ["intent", "result"]
    _, result = sink.entries[1]
    assert result["outcome"] == "rotated"
    assert result["generation"] == 2
    assert [database["answer"] for database in result["databases"]] == ["accept", "accept"]
    assert scene.tick().exit_code is ExitCode.DONE
    assert sink.kinds == ["intent", "result"]


def test_f22_a_result_that_is_made_up_for() -> None:
    """F22: the log is away after the commit: CURRENT works, and a later tick writes what it observes."""
    sink = Sink()
    scene = MemoryScene(append=sink.append)
    sink.is_away = lambda kind: kind != "intent"
    assert scene.tick(now=True).exit_code is ExitCode.FAILED
    assert not list(scene.locked_out())
    assert (scene.aws() or {})["gen"] == 2
    sink.is_away = lambda kind: False
    assert scene.tick().exit_code is ExitCode.DONE
    assert sink.kinds == ["intent", "observed"]
    assert scene.is_in_step(2)


class Away(MemoryRevisions):
    async def get(self, name: str, which: Any = Stage.CURRENT) -> Any:
        if name == "blob":
            raise Error("the blob's vault is away")
        return await super().get(name, which)


def test_f23_a_connection_blob_that_cannot_be_written() -> None:
    """F23: the rotation comes to its end; the blob is reported, and is right after a later tick."""
    scene = MemoryScene(revisions=Away())
    scene.labels.create("blob", "{}")
    rotation = scene.rotation

    def with_blobs(*gates: Any) -> Any:
        made = rotation(*gates)
        blobs = Connections(places=(), primary=scene.labels, secondary=scene.revisions, aws="blob", oci="blob")
        return replace(made, connections=blobs)

    scene.rotation = with_blobs  # type: ignore[method-assign, assignment]
    report = scene.tick(now=True)
    assert report.exit_code is ExitCode.FAILED
    assert scene.is_in_step(2)
    assert [failure.target for failure in report.failures] == ["blob"]
    written = asyncio.run(scene.labels.get("blob")).content.reveal()
    assert '"gen":2' in written
    scene.revisions.__class__ = MemoryRevisions
    scene.revisions.put("blob", "{}")
    assert scene.tick().exit_code is ExitCode.DONE
    assert asyncio.run(scene.revisions.get("blob")).content.reveal() == written
