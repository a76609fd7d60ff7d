"""The protocol and the failure catalogue on a real MySQL with TLS, mostly with two passwords for one user."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pymysql
import pytest

from keepstep.errors import ExitCode
from keepstep.rotation.changes import Strategy
from tests.database_servers.certificates import Authority
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.relay import Cut, Relay, relay
from tests.rotation.fixture import FIRST, Clouds, Scene, lets_in
from tests.rotation.null_watcher import Silence
from tests.rotation.test_kills import FULL, Killer
from tests.rotation.test_kills import killer as killer

Dual = Callable[..., Scene]


@pytest.fixture
def dual(clouds: Clouds, mysql_server: MysqlServer) -> Iterator[Dual]:
    """``dual(strategy=…)``: a credential of a real MySQL."""

    def make(server: MysqlServer = mysql_server, strategy: Strategy = Strategy.DUAL, **options: object) -> Scene:
        return Scene(clouds, [server], strategy=strategy, **options)  # type: ignore[arg-type]

    yield make
    for user, host in mysql_server.execute("SELECT User, Host FROM mysql.user WHERE User LIKE 'app%'"):
        mysql_server.execute(f"DROP USER '{user}'@'{host}'")


def check_current_logs_in(scene: Scene, moment: object = None) -> None:
    for payload in (scene.aws(), scene.oci()):
        assert payload and all(lets_in(member, payload) for member in scene.members), moment


def count(scene: Scene) -> int:
    return len(scene.clouds.sm.list_secret_version_ids(SecretId=scene.arn, IncludeDeprecated=True)["Versions"])


def test_killed_anywhere(dual: Dual, killer: Killer) -> None:
    """CURRENT of both clouds logs in at every moment, and one clean tick after each kill finishes."""
    scene = dual()
    moments = list(range(13)) if FULL else [*range(1, 13, 2), 12]
    for gen, moment in enumerate(moments, 1):
        was_killed = killer.tick(scene, now=True, kill_at=moment) == -9
        check_current_logs_in(scene, moment)
        assert killer.tick(scene) == 0, moment
        assert scene.is_in_step(gen + 1) or (moment == 0 and scene.is_in_step(gen)), moment
        assert was_killed == (moment < 12), moment  # six writes, each with a moment before and one after it


def test_killed_anywhere_while_it_changes_itself(dual: Dual, killer: Killer) -> None:
    """A user with one password, without an administrator: some stored password logs in at every moment."""
    scene = dual(strategy=Strategy.SINGLE, has_admin=False)
    for moment in range(13) if FULL else (5, 6, 9):
        killer.tick(scene, now=True, kill_at=moment)
        payloads = [scene.aws(stage) for stage in ("CURRENT", "PENDING", "PREVIOUS")]
        assert any(payload and scene.all_let_in(payload) for payload in payloads), moment
        assert killer.tick(scene) == 0, moment
        current = scene.aws()
        assert current and scene.is_in_step(current["gen"]), moment


@contextmanager
def through(server: MysqlServer) -> Iterator[tuple[Relay, MysqlServer]]:
    """The server behind a wire that can be cut."""
    with relay(server.endpoint.port) as (wire, port):
        yield wire, replace(server, endpoint=replace(server.endpoint, port=port))


def test_f2_it_goes_away_in_between(dual: Dual, mysql_server: MysqlServer, killer: Killer) -> None:
    """F2: staged and then unreachable: what is pending stays, CURRENT works, and a later tick finishes."""
    with through(mysql_server) as (wire, behind):
        scene = dual(behind)
        assert killer.tick(scene, now=True, kill_at=5) == -9  # after both stages, before the change
        wire.cut = Cut.BEFORE
        heard = Silence()
        assert scene.tick(watcher=heard).exit_code is ExitCode.FAILED
        assert "unreachable" in heard.text and scene.aws("PENDING") and scene.oci("PENDING")
        wire.cut = Cut.NEVER
        check_current_logs_in(scene)
        assert scene.tick().exit_code is ExitCode.DONE
        assert scene.is_in_step(2)


@pytest.mark.parametrize("strategy", [Strategy.DUAL, Strategy.SINGLE])
def test_f6_the_policy_is_met_the_first_time(dual: Dual, mysql_server: MysqlServer, strategy: Strategy) -> None:
    """F6: three digits, four special characters: read beforehand, so that one version is made, and it fits."""
    scene = dual(strategy=strategy)
    mysql_server.execute("INSTALL COMPONENT 'file://component_validate_password'")
    try:
        for name, value in {"number_count": 3, "special_char_count": 4, "length": 31}.items():
            mysql_server.execute(f"SET GLOBAL validate_password.{name} = {value}")
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        assert scene.is_in_step(2) and count(scene) == 2
    finally:
        mysql_server.execute("UNINSTALL COMPONENT 'file://component_validate_password'")


def test_f7_and_f17_a_restored_database_with_a_history(dual: Dual, mysql_server: MysqlServer) -> None:
    """F7, F17: it lost CURRENT, and refuses to take it again: the next tick heals by one rotation, and rests."""
    scene = dual()
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD HISTORY 5")
    current = scene.aws()
    assert current
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' IDENTIFIED BY '{current['password']}x'")
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' IDENTIFIED BY 'From-a-Backup-1'")
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' DISCARD OLD PASSWORD")
    report = scene.tick()
    assert report.exit_code is ExitCode.DONE
    check_current_logs_in(scene)
    made = count(scene)
    assert scene.tick().counts["step"] == 0 and count(scene) == made


def test_f8_no_account_is_locked(dual: Dual, mysql_server: MysqlServer) -> None:
    """F8: three failures lock the account; rotations, and healing after the database lost CURRENT, cause fewer."""
    scene = dual()
    limit = f"ALTER USER '{scene.user}'@'%' FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1"
    mysql_server.execute(limit)
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' IDENTIFIED BY 'From-a-Backup-1'")
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' DISCARD OLD PASSWORD")
    for _ in range(3):
        scene.tick()
    check_current_logs_in(scene)


def test_f20_the_old_password_is_retired_once(dual: Dual) -> None:
    """F20: it works until the grace is over, then it is discarded, and a tick after that has nothing to do."""
    scene = dual()
    before = {"username": scene.user, "password": FIRST}
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.all_let_in(before)
    scene.grace = timedelta(0)
    assert scene.tick().exit_code is ExitCode.DONE
    assert not scene.all_let_in(before)
    check_current_logs_in(scene)
    assert scene.tick().counts["step"] == 0


def test_f21_a_server_that_cannot_prove_itself(dual: Dual, mysql_server: MysqlServer, tmp_path: Path) -> None:
    """F21: a certificate of another authority stops a rotation before anything is staged."""
    stranger = str(Authority("somebody else").write(tmp_path / "stranger.pem"))
    scene = dual()
    scene.members = [replace(mysql_server, endpoint=replace(mysql_server.endpoint, ca=stranger))]
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.FAILED
    assert "tls-error" in heard.text and scene.aws("PENDING") is None


def refused(scene: Scene, *words: str) -> None:
    """Nothing is staged, and the message has the words."""
    heard = Silence()
    assert scene.tick(now=True, watcher=heard).exit_code is ExitCode.REFUSED
    for word in words:
        assert word in heard.text, heard.text
    assert scene.aws("PENDING") is None and scene.oci("PENDING") is None and count(scene) == 1
    check_current_logs_in(scene)


def test_a_user_that_changes_itself_and_has_other_accounts(dual: Dual, mysql_server: MysqlServer) -> None:
    """It could change one of them: refused before anything is staged. With an administrator all of them change."""
    for has_admin in (False, True):
        scene = dual(strategy=Strategy.SINGLE, has_admin=has_admin)
        mysql_server.execute(f"CREATE USER '{scene.user}'@'10.%' IDENTIFIED BY '{FIRST}'")
        if not has_admin:
            refused(scene, scene.user, "10.%", "admin")
            continue
        assert scene.tick(now=True).exit_code is ExitCode.DONE
        mysql_server.execute(f"DROP USER '{scene.user}'@'%'")
        mysql_server.execute(f"RENAME USER '{scene.user}'@'10.%' TO '{scene.user}'@'%'")
        mysql_server.execute(f"GRANT ALL ON app.* TO '{scene.user}'@'%'")
        check_current_logs_in(scene)


def test_a_partner_without_the_rights(dual: Dual, mysql_server: MysqlServer) -> None:
    """Where users take turns, one without the other's rights is never made current: refused, with the statement."""
    scene = dual(strategy=Strategy.ALTERNATING)
    mysql_server.execute(f"GRANT PROCESS ON *.* TO '{scene.user}'@'%'")
    refused(scene, f"GRANT PROCESS ON *.* TO '{scene.partner}'@'%'")
    mysql_server.execute(f"GRANT PROCESS ON *.* TO '{scene.partner}'@'%'")
    assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def test_an_administrator_without_the_rights(dual: Dual, mysql_server: MysqlServer) -> None:
    """It is found before anything is staged, with the statement."""
    admin = mysql_server.admin.username
    scene = dual()
    mysql_server.execute(f"REVOKE CREATE USER ON *.* FROM {admin}")
    try:
        mysql_server.execute(f"REVOKE SELECT ON mysql.* FROM {admin}")
        statements = (f"GRANT {right} TO '{admin}'@'%'" for right in ("CREATE USER ON *.*", "SELECT ON mysql.*"))
        refused(scene, *statements)
    finally:
        mysql_server.execute(f"GRANT CREATE USER ON *.* TO {admin}")
        mysql_server.execute(f"GRANT SELECT ON mysql.* TO {admin}")


def test_a_user_that_is_locked(dual: Dual, mysql_server: MysqlServer) -> None:
    """The partner whose turn it is, is locked: refused before anything is staged, with the statement."""
    scene = dual(strategy=Strategy.ALTERNATING)
    mysql_server.execute(f"ALTER USER '{scene.partner}'@'%' ACCOUNT LOCK")
    refused(scene, f"ALTER USER '{scene.partner}'@'%' ACCOUNT UNLOCK")


def test_a_server_that_only_reads(dual: Dual, mysql_server: MysqlServer) -> None:
    """A replica is found before anything is staged."""
    scene = dual()
    mysql_server.execute("SET GLOBAL read_only = 1")
    try:
        refused(scene, "only reads")
    finally:
        mysql_server.execute("SET GLOBAL read_only = 0")


def test_the_connection_limit_is_reached(dual: Dual, mysql_server: MysqlServer) -> None:
    """The application holds the user's only connection: the password is changed all the same, and promoted."""
    scene = dual(strategy=Strategy.SINGLE)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' WITH MAX_USER_CONNECTIONS 1")
    where = mysql_server.endpoint
    held = pymysql.connect(
        host=where.host,
        port=where.port,
        user=scene.user,
        password=FIRST,
        ssl=ssl.create_default_context(cafile=where.ca),
    )
    with held:
        assert scene.tick(now=True).exit_code is ExitCode.DONE
    assert scene.is_in_step(2)


def test_an_expired_password_is_healed_by_a_rotation(dual: Dual, mysql_server: MysqlServer) -> None:
    """An administrator can: CURRENT has expired, so the next tick sets a password again, and it logs in."""
    scene = dual(strategy=Strategy.SINGLE)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD EXPIRE")
    scene.tick()
    check_current_logs_in(scene)
