"""The variables of the replaced tools mean the same to the host that runs them and to everybody who looks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from keepstep.errors import ConfigError
from keepstep.hosts.work import work_of
from keepstep.jobs.environment import (
    audit_key_of,
    audit_of,
    container_settings,
    job_of_variables,
    rotation_of,
    sync_of,
)
from keepstep.jobs.resolve import resolve
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.jobs.settings import CloudSettings
from keepstep.jobs.sync import ResolvedSync
from tests.cli.inprocess import keepstep

CONTAINER = {
    "SYNC_FROM": "s3://bucket/in/",
    "SYNC_TO": "/data",
    "SYNC_PARAMS": "--delete --profile other --cli-read-timeout 7",
    "ROLE_ARN": "arn:aws:iam::123456789012:role/sync",
    "COMPLETION_FILENAME": "done",
}
ROTATION = {
    "AWS_SECRET_ID": "app/db",
    "OCI_SECRET_OCID": "ocid1.vaultsecret.oc1..a",
    "RDS_HOST": "h",
    "RDS_DBNAME": "n",
    "AUDIT_LOG": "s3://audit/rotations/",
    "AUDIT_HASH_SALT_SSM": "/app/salt",
}


def test_the_container_s_job_is_the_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the container's daemon runs, and what the doctor and the session see, agree in every setting."""
    settings = container_settings(CONTAINER)
    extra = {"KEEPSTEP_STATE": "/state.db", "KEEPSTEP_PARAMS": settings.params, "CRON_SCHEDULE": settings.schedule}
    for name, value in (CONTAINER | extra).items():
        monkeypatch.setenv(name, value)
    with closing(work_of(settings.toml.encode(), called="the environment")) as work:
        ran = resolve(work.config, "sync", "sync")
    seen = sync_of(settings)
    assert (seen.source, seen.target, seen.params) == (ran.source, ran.target, ran.params)
    assert seen.settings == ran.settings
    assert seen.settings == CloudSettings(profile="other", role_arn=(CONTAINER["ROLE_ARN"],), read_timeout=7)


def test_a_rotation_by_variables_has_one_meaning() -> None:
    """Secrets by bare names, audit log and key: as the rotation reads them, so does whoever verifies the log."""
    job = rotation_of(ROTATION)
    assert (str(job.aws_secret), str(job.oci_secret)) == ("aws-sm:app/db", ROTATION["OCI_SECRET_OCID"])
    audit = audit_of(ROTATION)
    assert audit and job.job.audit == audit
    assert job.audit and job.audit.key == audit_key_of(ROTATION)
    assert (job.audit.key.vault, job.audit.key.name) == ("aws-ssm", "/app/salt")
    assert job.settings == CloudSettings() and not job.is_recorded


def test_the_job_of_the_variables_is_found() -> None:
    """The container's goes first, as in its image; an empty variable counts as none."""
    assert isinstance(job_of_variables(CONTAINER | ROTATION), ResolvedSync)
    assert isinstance(job_of_variables(ROTATION | {"SYNC_FROM": ""}), ResolvedRotation)
    assert job_of_variables({"SYNC_FROM": "", "AWS_SECRET_ID": ""}) is None


def test_the_file_of_a_host_is_the_commands_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``KEEPSTEP_CONFIG`` names the file for commands typed beside a daemon; ``--config`` goes before it."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        job = f'[job.{name}]\nkind = "sync"\nsource = "/a"\ntarget = "/b"\n'
        (tmp_path / f"{name}.toml").write_text(f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n{job}')
    variables = {"KEEPSTEP_CONFIG": str(tmp_path / "one.toml")}
    assert "jobs: one (sync)" in keepstep("config", "check", env=variables).out
    other = keepstep("config", "check", "--config", str(tmp_path / "other.toml"), env=variables)
    assert "jobs: other (sync)" in other.out


def test_a_variable_is_named_as_its_user_wrote_it() -> None:
    """Nobody who set a variable reads of a key of keepstep.toml."""
    wrong = sync_of(container_settings(CONTAINER | {"SYNC_PARAMS": "--nonsense"}))
    with pytest.raises(ConfigError, match=r"^SYNC_PARAMS: no such option"):
        _ = wrong.settings
    with pytest.raises(ConfigError, match=r"^SYNC_PARAMS: --chmod and --chown apply only to local targets"):
        sync_of(container_settings(CONTAINER | {"SYNC_TO": "s3://b/x/", "SYNC_PARAMS": "--chmod 644"})).check()
    with pytest.raises(ConfigError, match=r"^AUDIT_HASH_SALT_SSM: "):
        rotation_of(ROTATION | {"AUDIT_HASH_SALT_SSM": "gs://x"}).check()
