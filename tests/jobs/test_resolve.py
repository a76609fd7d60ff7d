"""One job, and what its settings mean, whatever asks."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from keepstep.cli import sync as sync_command
from keepstep.config import Config, SyncJob, load
from keepstep.errors import ConfigError
from keepstep.jobs.resolve import resolve, resolved_jobs, watches_of
from keepstep.jobs.settings import CloudSettings, secret_setting
from keepstep.jobs.sync_options import NO_EFFECT
from keepstep.jobs.sync_params import SyncParams, read_options
from keepstep.vaults.address import parse

TOML = """
[identity.aws]
profile = "file"
region = "eu-west-1"
[identity.oci]
profile = "DEFAULT"
[alerts]
pending_after = "3h"
[job.copy]
kind = "sync"
source = "s3://in/a/"
target = "/out"
params = "--region us-east-1 --cli-connect-timeout 3 --delete"
schedule = "@every 5m"
stale_after = "1h"
[job.copy.identity.aws]
profile = "own"
[job.app]
kind = "secrets"
fingerprint_key = "aws-ssm:/key"
[[job.app.file]]
path = "/run/secrets/a"
secret = "ocid1.vaultsecret.oc1..a"
[job.db]
kind = "rotate"
aws_secret = "app/db"
oci_secret = "ocid1.vaultsecret.oc1..b"
audit = { log = "s3://audit/r", key = "/salt" }
[[job.db.database]]
engine = "postgres"
host = "h"
name = "n"
admin = "admin/db"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "keepstep.toml"
    path.write_text(TOML)
    return load(path)


def test_every_kind_resolves(config: Config) -> None:
    """Each job knows its kind and command, its clouds, its secrets and what is expected of it."""
    jobs = {job.name: job for job in resolved_jobs(config)}
    assert [(job.kind, job.words, job.clouds) for job in jobs.values()] == [
        ("sync", ("sync",), {"aws"}),
        ("secrets", ("secrets", "apply"), {"aws", "oci"}),
        ("rotate", ("rotate",), {"aws", "oci"}),
    ]
    assert [str(secret) for secret in jobs["app"].secrets()] == ["ocid1.vaultsecret.oc1..a", "aws-ssm:/key"]
    assert [str(secret) for secret in jobs["db"].secrets()] == [
        "aws-sm:app/db",
        "ocid1.vaultsecret.oc1..b",
        "aws-sm:admin/db",
        "aws-ssm:/salt",
    ]
    for name in ("copy", "app"):
        jobs[name].check()
    copy, _, db = watches_of(config)
    assert (copy.stale_after, copy.pending_after, copy.has_audit) == (timedelta(hours=1), timedelta(hours=3), False)
    assert copy.schedule and copy.schedule == jobs["copy"].timing.schedule and db.has_audit


def test_options_go_before_the_job_s_identity_and_that_before_the_file_s(config: Config) -> None:
    """``params`` first, then the job's own identity as a whole, then the file's."""
    assert resolve(config, "copy").settings == CloudSettings(profile="own", region="us-east-1", connect_timeout=3)
    assert resolve(config, "db").settings == CloudSettings(
        profile="file", region="eu-west-1", oci_profile="DEFAULT"
    )


def test_another_kind_is_refused(config: Config) -> None:
    """A command names the kind that a job has where it is none of its own; a job that is not there, the nearest."""
    with pytest.raises(ConfigError, match="the job copy is of kind sync, not rotate"):
        resolve(config, "copy", "rotate")
    with pytest.raises(ConfigError, match="did you mean copy"):
        resolve(config, "cop")


def test_one_wrong_setting_leaves_the_others_standing(config: Config) -> None:
    """Who asks for a schedule gets it, though the params make no sense."""
    job = SyncJob(kind="sync", source="gs://x", target="/out", params="--nonsense", schedule="@every 5m")
    broken = resolve(config.model_copy(update={"job": {"broken": job}}), "broken")
    assert broken.schedule and broken.watch.job == "broken" and broken.identities.profile == "file"
    with pytest.raises(ConfigError, match=r"^job.broken.params: no such option"):
        _ = broken.settings
    with pytest.raises(ConfigError, match=r"^job.broken.source: "):
        broken.check()


def test_every_option_of_sync_is_a_field() -> None:
    """An option that shapes a run cannot be forgotten: those that are no field are for the terminal alone."""
    options = {each.name for each in sync_command.command.params}
    known = {each.name for each in fields(SyncParams)} - {"filters"}
    assert known <= options
    assert options - known == {
        *(
            "source",
            "target",
            "exclude",
            "include",
            "config",
            "as_json",
            "quiet",
            "verbose",
            "no_progress",
            "debug",
        ),
        *("only_show_errors", "progress_frequency", "progress_multiline", *NO_EFFECT),
    }


def test_params_are_read_as_the_command_line_is() -> None:
    """The same words, the same meaning; nothing is said where nothing stands."""
    assert SyncParams.of(read_options("", called="params")) == SyncParams(filters=[])
    found = SyncParams.of(read_options("--exclude '*' --include 'a b' --jobs 3 --grants read=x full=y", called=""))
    assert found == SyncParams(filters=[(False, "*"), (True, "a b")], jobs=3, grants=(("read", "x"), ("full", "y")))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("app/db", "aws-sm:app/db", True),
        ("app/db", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbC123", True),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db", "aws-sm:app/db", True),
        ("app/db", "app/db-2", False),
        ("aws-ssm:/a/b", "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b", True),
        ("aws-ssm:app", "aws-sm:app", False),
        ("ocid1.vaultsecret.oc1..a", "ocid1.vaultsecret.oc1..a#field", True),
        ("ocid1.vaultsecret.oc1..a", "ocid1.vaultsecret.oc1..b", False),
    ],
)
def test_a_secret_has_several_names(one: str, other: str, is_same: bool) -> None:
    """By name, by ARN, with a field or without: it is one secret."""
    first, second = secret_setting(one, "aws-sm"), secret_setting(other, "aws-sm")
    assert first.is_same(second) is is_same and second.is_same(first) is is_same


def test_a_setting_that_is_no_secret_is_named_and_not_repeated() -> None:
    """Somebody may have put a password in its place."""
    with pytest.raises(ConfigError, match=r"^admin: ") as caught:
        secret_setting("pass word!", "aws-sm", called="admin")
    assert "pass word!" not in caught.value.message
    assert secret_setting("app/db", "aws-sm") == parse("app/db", bare="aws-sm")
