"""A rotation, looked at: two vaults, a real PostgreSQL, certificates, wallets, the quota."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.config import Config, RotateJob
from keepstep.doctor.check import Check, Verdict
from keepstep.doctor.checks import examined
from keepstep.errors import ExitCode
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.jobs.settings import CloudSettings
from keepstep.rotation.changes import Strategy
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.oracle import SERVICE, OracleServer
from tests.database_servers.postgres import PostgresServer
from tests.databases.test_wallet import pem_of
from tests.doctor.worlds import Clock, Report, doctor
from tests.rotation.fixture import FIRST, Clouds, Scene

pytestmark = pytest.mark.long

Look = Callable[..., Report]


@pytest.fixture
def scene(clouds: Clouds, postgres_server: PostgresServer) -> Scene:
    """A credential of a real PostgreSQL, whose users take turns."""
    return Scene(clouds, [postgres_server])


@pytest.fixture
def look(scene: Scene, tmp_path: Path) -> Look:
    """The report on the scene's job, in which no password is."""

    def visit(*words: str, **more: str) -> Report:
        (tmp_path / "state").mkdir(mode=0o700, exist_ok=True)
        report = doctor(scene.toml(tmp_path, **more), "app", *words)
        assert FIRST not in str(report) and "admin-Passw0rd" not in str(report)
        return report

    return visit


def written(scene: Scene) -> list[object]:
    """All that could have been changed."""
    versions = scene.clouds.vaults.list_secret_versions(scene.ocid).data
    return [scene.stages(), [(version.version_number, version.stages) for version in versions]]


def test_a_second_rotator_is_found(look: Look, scene: Scene) -> None:
    """Secrets Manager's own rotation fails, with the command that ends it; so does another job with the secret."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
    scene.clouds.sm.rotate_secret(
        SecretId=scene.arn, RotationLambdaARN=arn, RotationRules={}, RotateImmediately=False
    )
    report = look()
    found = report.of("second-rotator", scene.arn)
    assert found["verdict"] == "fail" and "cancel-rotate-secret" in found["fix"]


def test_another_job_is_a_second_rotator(scene: Scene, tmp_path: Path) -> None:
    """Two jobs of one file that rotate the same secret fail each other."""
    config = scene.toml(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    text = config.read_text()
    name = scene.arn.partition(":secret:")[2][:-7]
    rival = text[text.index("[job.app]") :].replace("job.app", "job.rival").replace(scene.arn, name)
    rival = rival.replace(scene.ocid, "ocid1.vaultsecret.oc1..another")
    config.write_text(f"{text}{rival}")
    report = doctor(config, "app")
    assert "rival" in report.of("second-rotator", "keepstep.toml")["text"]
    assert report.verdict("second-rotator", "keepstep.toml") == "fail"


def test_a_secret_pending_deletion_is_found(look: Look, scene: Scene) -> None:
    """A secret that is going to be deleted cannot be written to; the command that brings it back is printed."""
    details = scene.clouds.models.ScheduleSecretDeletionDetails(
        time_of_deletion=datetime.now(UTC) + timedelta(days=3)
    )
    scene.clouds.vaults.schedule_secret_deletion(scene.ocid, details)
    report = look()
    assert report.verdict("writable", scene.ocid) == "fail"
    assert "cancel-secret-deletion" in report.of("writable", scene.ocid)["fix"]


def test_a_vault_that_may_not_be_written_to_is_found(look: Look, scene: Scene) -> None:
    """What OCI does not allow to be changed fails before a rotation finds out, with the policy statement."""
    scene.clouds.cloud.fault("UpdateSecret", times=None, status=404)
    report = look()
    assert report.failed == {"stage"} and "to use secrets" in report.of("stage")["fix"]


def test_different_users_are_found(look: Look, scene: Scene) -> None:
    """Usernames must match across both clouds: both are named."""
    scene.clouds.put_oci(scene.ocid, scene.payload("another-Passw0rd", gen=1, user="somebody"))
    found = look().of("credential")
    assert found["verdict"] == "fail" and "somebody" in found["text"] and scene.user in found["text"]


def test_a_password_that_is_not_let_in_is_found(look: Look, scene: Scene, postgres_server: PostgresServer) -> None:
    """A database that rejects the current password fails, and the statement that an administrator would need."""
    postgres_server.execute(f"ALTER ROLE \"{scene.user}\" PASSWORD 'set-by-Hand-1234567890'")
    report = look()
    assert report.failed == {"database"} and "--plan" in report.of("database")["fix"]


def test_an_administrator_that_lacks_a_right_is_found(
    look: Look, scene: Scene, postgres_server: PostgresServer
) -> None:
    """A right that is missing fails with the statement that gives it, long before a rotation needs it."""
    admin = postgres_server.admin.username
    postgres_server.execute(f"ALTER ROLE {admin} NOCREATEROLE")
    try:
        report = look()
        assert report.failed == {"change"}
        assert report.of("change")["fix"] == f"ALTER ROLE {admin} CREATEROLE"
    finally:
        postgres_server.execute(f"ALTER ROLE {admin} CREATEROLE")
    assert look().verdict("change") == "ok"


def test_an_administrator_whose_password_is_old_is_found(
    look: Look, scene: Scene, postgres_server: PostgresServer
) -> None:
    """A secret that holds another password than the administrator has fails, and says which secret to look at."""
    admin = postgres_server.admin
    postgres_server.execute(f"ALTER ROLE {admin.username} PASSWORD 'changed-by-Hand-123'")
    try:
        report = look()
        assert report.failed == {"change"} and "the secret that admin names" in report.of("change")["fix"]
    finally:
        postgres_server.execute(f"ALTER ROLE {admin.username} PASSWORD '{admin.password.reveal()}'")


def test_a_partner_without_the_rights_is_found(look: Look, scene: Scene, postgres_server: PostgresServer) -> None:
    """Where users take turns, the one whose turn is next must have what the current one has."""
    postgres_server.execute(f'GRANT TEMPORARY, CREATE ON DATABASE app TO "{scene.user}"')
    report = look()
    assert report.failed == {"change"}
    assert report.of("change")["fix"] == f"GRANT CREATE ON DATABASE app TO {scene.partner}"


def test_a_single_failure_that_locks_is_told(clouds: Clouds, mysql_server: MysqlServer, tmp_path: Path) -> None:
    """An account that a single failed login locks is a warning, and the setting is named."""
    scene = Scene(clouds, [mysql_server], strategy=Strategy.DUAL)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")
    (tmp_path / "state").mkdir(mode=0o700)
    report = doctor(scene.toml(tmp_path), "app")
    assert not report.failed
    assert report.of("change")["verdict"] == "warn" and "FAILED_LOGIN_ATTEMPTS" in report.of("change")["fix"]


def test_a_limit_that_two_workers_reach_is_told(
    clouds: Clouds, oracle_server: OracleServer, tmp_path: Path
) -> None:
    """An account that two failed logins lock is a warning with the setting; one of three is none."""
    scene = Scene(clouds, [oracle_server], strategy=Strategy.ROLLOVER)
    (tmp_path / "state").mkdir(mode=0o700)
    config = scene.toml(tmp_path)
    for limit, verdict in ((2, "warn"), (3, "ok")):
        oracle_server.users.users[scene.user.upper()].failures_allowed = limit
        report = doctor(config, "app")
        assert not report.failed
        assert report.of("change")["verdict"] == verdict
        assert ("two workers" in report.of("change")["text"]) is (limit == 2)
        assert ("FAILED_LOGIN_ATTEMPTS 5" in str(report.of("change").get("fix"))) is (limit == 2)


def test_an_expired_password_is_found(clouds: Clouds, mysql_server: MysqlServer, tmp_path: Path) -> None:
    """A current password that has expired is not "let in": it fails, with the statement."""
    scene = Scene(clouds, [mysql_server], strategy=Strategy.SINGLE)
    mysql_server.execute(f"ALTER USER '{scene.user}'@'%' PASSWORD EXPIRE")
    (tmp_path / "state").mkdir(mode=0o700)
    report = doctor(scene.toml(tmp_path), "app")
    assert report.failed == {"database"} and "expired" in report.of("database")["text"]
    assert report.of("database")["fix"].startswith(f"ALTER USER '{scene.user}'@'%' IDENTIFIED BY")


def test_a_wrong_authority_is_found(scene: Scene, tmp_path: Path) -> None:
    """A server whose certificate another authority signed fails tls, and TLS is not done without."""
    config = scene.toml(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    endpoint = scene.members[0].endpoint  # type: ignore[union-attr]
    other = Authority("somebody else").write(tmp_path / "other.pem")
    config.write_text(config.read_text().replace(str(endpoint.ca), str(other)))
    report = doctor(config)
    assert report.failed == {"tls", "database"} and "never downgraded" in report.of("tls")["fix"]


@pytest.fixture
def at(clouds: Clouds, tmp_path: Path) -> Callable[..., dict[str, Check]]:
    """``at(ahead, engine=…)``: the checks of a job with one database, so far ahead in time."""

    def visit(ahead: timedelta, **member: object) -> dict[str, Check]:
        arn, ocid = clouds.create('{"username": "u", "password": "p"}')
        fields = {"kind": "rotate", "aws_secret": arn, "oci_secret": ocid, "database": [member]}
        patient = ResolvedRotation(name="app", config=Config(), job=RotateJob.model_validate(fields))
        found = run(examined(Config(), [patient], CloudSettings(), is_recorded=False, clock=Clock(ahead)))
        return {check.name: check for check in found}

    return visit


@pytest.mark.parametrize(("days", "verdict"), [(20, Verdict.FAIL), (40, Verdict.FAIL)])
def test_certificates_that_end_are_found(
    at: Callable[..., dict[str, Check]], mariadb_server: MariadbServer, days: int, verdict: Verdict
) -> None:
    """MariaDB's certificate and the CA file fail two weeks before their end, and after it."""
    where = mariadb_server.endpoint
    member = {"engine": "mariadb", "host": where.host, "port": where.port, "name": where.name, "ca": where.ca}
    checks = at(timedelta(days=days), **member)
    assert checks["tls"].verdict is checks["ca"].verdict is verdict
    if verdict is Verdict.FAIL:
        assert ("ended on" in checks["tls"].text) is (days == 40)


@pytest.mark.parametrize(("days", "verdict"), [(0, Verdict.OK), (20, Verdict.FAIL)])
def test_a_wallet_that_ends_is_found(
    at: Callable[..., dict[str, Check]],
    authority: Authority,
    oracle_server: OracleServer,
    tmp_path: Path,
    days: int,
    verdict: Verdict,
) -> None:
    """A wallet is opened, leads to the server's certificate, and fails before it ends with how to get a new one."""
    (tmp_path / "wallet.pem").write_bytes(base64.b64encode(pem_of(authority.issue("client"), authority, None)))
    dsn = f"localhost:{oracle_server.endpoint.port}/{SERVICE}"
    checks = at(timedelta(days=days), engine="oracle", dsn=dsn, wallet=str(tmp_path / "wallet.pem"))
    assert checks["wallet"].verdict is checks["tls"].verdict is verdict, checks
    assert ("generate-wallet" in (checks["wallet"].fix or "")) is (verdict is Verdict.FAIL)


def test_a_broken_wallet_is_found(at: Callable[..., dict[str, Check]], tmp_path: Path) -> None:
    """What is no wallet fails by name."""
    (tmp_path / "wallet.zip").write_bytes(b"PK no zip")
    checks = at(timedelta(), engine="oracle", dsn="localhost:1/x", wallet=str(tmp_path / "wallet.zip"))
    assert checks["database"].verdict is Verdict.FAIL and "not a zip file" in checks["database"].text
    assert checks["wallet"].verdict is Verdict.UNKNOWN and checks["second-rotator"].verdict is Verdict.OK


def test_the_quota_is_forecast(look: Look, scene: Scene) -> None:
    """A rotation every 20 minutes runs out of OCI's versions: the date is printed, and what to set."""
    report = look(interval='"20m"')
    assert not report.failed and report.verdict("quota") == "warn"
    assert "full from" in report.of("quota")["text"] and 'interval = "1h"' in report.of("quota")["fix"]


def test_a_log_of_a_run_by_variables_is_found(look: Look, scene: Scene) -> None:
    """A job whose log is empty beside another one begins a second log: said, with the setting that goes on."""
    bucket = f"audit-two-{scene.user}".replace("_", "-")
    scene.clouds.aws.client("ssm").put_parameter(Name=f"/two/{scene.user}", Value="x" * 40, Type="SecureString")
    s3 = scene.clouds.aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="rotations/rotation/0000000001.json", Body=b"{}")
    log = f'log = "s3://{bucket}/rotations/", key = "/two/{scene.user}"'
    report = look(audit=f"{{ {log} }}")
    assert report.verdict("audit") == "warn" and 'name = "rotation"' in report.of("audit")["fix"]
    assert look(audit=f'{{ {log}, name = "rotation" }}').verdict("audit") == "ok"


def test_an_audit_log_that_takes_no_entry_is_found(look: Look, scene: Scene) -> None:
    """The audit log's bucket is asked without a trace: one that takes entries is ok, one that is missing fails."""
    scene.clouds.aws.client("ssm").put_parameter(Name=f"/salt/{scene.user}", Value="x" * 40, Type="SecureString")
    scene.clouds.aws.client("s3").create_bucket(Bucket=f"audit-{scene.user}".replace("_", "-"))
    key = f'key = "aws-ssm:/salt/{scene.user}"'
    there = f"s3://audit-{scene.user}/rotations/".replace("_", "-")
    assert look(audit=f'{{ log = "{there}", {key} }}').verdict("audit") == "ok"
    report = look(audit=f'{{ log = "s3://audit-nobody/rotations/", {key} }}')
    assert report.failed == {"audit"} and "NoSuchBucket" in report.of("audit")["text"]


def test_fencing_is_not_probed_on_a_secret_in_use(look: Look, scene: Scene) -> None:
    """A credential is no scratch secret: refused with 4 before anything is asked."""
    before = written(scene)
    by_name = look("--probe-fencing", "aws-sm:" + scene.arn.partition(":secret:")[2][:-7])
    assert by_name.code == 4 and "is in use by a job" in by_name.err
    report = look("--probe-fencing", scene.ocid)
    assert report.code == ExitCode.REFUSED and "in use by a job" in report.err
    assert written(scene) == before


def test_the_variables_of_the_function_are_looked_at(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file the rotation's own variables say what to look at."""
    monkeypatch.chdir(tmp_path)
    endpoint = scene.members[0].endpoint  # type: ignore[union-attr]
    env = {
        "AWS_SECRET_ID": scene.arn,
        "OCI_SECRET_OCID": scene.ocid,
        "RDS_ENGINE": "postgres",
        "RDS_HOST": endpoint.host,
        "RDS_PORT": str(endpoint.port),
        "RDS_DBNAME": endpoint.name,
        "RDS_CA": str(endpoint.ca),
        "ROTATION_MINUTES": "1440",
    }
    report = doctor(None, env=env)
    assert report.code == 0 and report.verdict("database") == "ok", report.checks
    assert not any(check["name"] == "state" for check in report.checks)
