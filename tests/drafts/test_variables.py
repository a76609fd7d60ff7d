"""The file has exactly the settings that the replaced tool had from its variables."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keepstep.cli.config_check import ignored_in, mistakes_of
from keepstep.config import Config, ConnectionBlob
from keepstep.drafts.draft import Draft
from keepstep.drafts.map import draft_of_map
from keepstep.drafts.variables import draft_of_variables
from keepstep.errors import ConfigError, Error
from keepstep.hosts.work import work_of
from keepstep.jobs.environment import container_settings, rotation_of
from keepstep.jobs.resolve import resolve
from keepstep.jobs.secrets import secrets_of_map

word = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
nasty = st.text(alphabet="${}HOME\"'\\\n\t# é計", min_size=1, max_size=12)
part = st.one_of(word, nasty)
address = st.one_of(
    part.map(lambda text: f"s3://bucket/{text}"),
    part.map(lambda text: f"oci://bucket@namespace/{text}"),
    part.map(lambda text: f"/data/{text}"),
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def optional(**strategies: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional=strategies)


container = st.builds(
    dict.__or__,
    st.fixed_dictionaries({"SYNC_FROM": address, "SYNC_TO": address}),
    optional(
        SYNC_PARAMS=part.map(lambda text: f"--exclude {quoted(text)} --delete"),
        CRON_SCHEDULE=st.sampled_from(["*/5 * * * *", "@every 90s", "@hourly", "@reboot"]),
        SYNC_MODE=st.sampled_from(["PERIODIC", "STARTUP", "STARTUP+PERIODIC", "", "startup"]),
        SYNC_DEADLINE=st.sampled_from(["5h", "90s"]),
        ROLE_ARN=part,
        CHMOD_MODE=st.sampled_from(["0644", "u=rwX,go=rX"]),
        COMPLETION_FILENAME=st.sampled_from(["done", "a [b]", "s/${HOME}"]),
    ),
)


def config_of(draft: Draft) -> Config:
    with closing(work_of(draft.text.encode(), called="the draft")) as work:
        return work.config


@settings(deadline=None, max_examples=60)
@given(container)
def test_the_container_s_job_is_the_same(variables: dict[str, str]) -> None:
    """Places, params, times, deadline and role, as the container's own daemon resolves them."""
    asked = container_settings(variables)
    try:
        draft = draft_of_variables(variables)
    except Error:
        assume(False)
    config = config_of(draft)
    assert list(mistakes_of(config)) == [] and list(ignored_in(config)) == []
    extra = {"KEEPSTEP_STATE": "/s.db", "KEEPSTEP_PARAMS": asked.params, "CRON_SCHEDULE": asked.schedule}
    with (
        mock.patch.dict(os.environ, variables | extra),
        closing(work_of(asked.toml.encode(), called="the environment")) as work,
    ):
        ran = resolve(work.config, "sync", "sync")
    found = resolve(config, "sync", "sync")
    assert (found.source, found.target, found.settings) == (ran.source, ran.target, ran.settings)
    local = asked.target.kind == "local"
    assert found.params == replace(ran.params, chmod=asked.mode or None if local else None)
    assert found.job.deadline == ran.job.deadline
    assert (found.job.schedule, found.timing.at_startup or found.job.schedule == "@reboot") == (
        ran.job.schedule,
        ran.timing.at_startup or ran.job.schedule == "@reboot",
    )


names = st.from_regex(r"[A-Za-z0-9/_+=.@-]{1,20}", fullmatch=True)
rotation = st.builds(
    dict.__or__,
    st.fixed_dictionaries(
        {
            "AWS_SECRET_ID": names,
            "OCI_SECRET_OCID": st.just("ocid1.vaultsecret.oc1..aaaa"),
            "RDS_HOST": st.sampled_from(["db.example.com", "10.0.0.1"]),
            "RDS_DBNAME": part,
        }
    ),
    optional(
        ROTATION_MINUTES=st.sampled_from(["20", "0.1", "90", "1440", "33.3333"]),
        RDS_ENGINE=st.sampled_from(["postgres", "mysql", "MySQL", "mariadb"]),
        RDS_PORT=st.integers(1, 65535).map(str),
        OCI_ADB_USER=part,
        ADMIN_SECRET_ID=names,
        AWS_CONN_BLOB_SECRET_ID=names,
        AUDIT_LOG=st.sampled_from(["s3://audit/rotations/", "oci://audit@ns/rotations/"]),
        AUDIT_HASH_SALT_SSM=st.sampled_from(["/app/salt", "aws-ssm:/app/salt"]),
    ),
)


@settings(deadline=None, max_examples=60)
@given(rotation)
def test_the_rotation_s_job_is_the_same(variables: dict[str, str]) -> None:
    """Every setting but the schedule, which EventBridge had; the log goes on under its name."""
    assume("AUDIT_LOG" not in variables or "AUDIT_HASH_SALT_SSM" in variables)
    try:
        draft = draft_of_variables(variables)
    except Error:
        assume(False)
    ran = rotation_of(variables)
    found = resolve(config_of(draft), "rotation", "rotate")
    blob = found.job.connection_blob or ConnectionBlob()
    assert found.job.model_copy(update={"schedule": None, "connection_blob": blob}) == ran.job
    assert found.job.schedule == "*/20 * * * *"
    assert list(map(str, found.secrets())) == list(map(str, ran.secrets()))
    assert (found.audit, found.settings) == (ran.audit, ran.settings)


def test_the_map_s_job_is_the_same(tmp_path: Path) -> None:
    """The same deliveries and identities as oci-secretsync MAP has."""
    path = tmp_path / "map.csv"
    path.write_text(
        "# ocid,path,mode,container,signal\n"
        "ocid1.vaultsecret.oc1..aaaa,/run/secrets/db_password,0600,myapp,HUP\n"
        "ocid1.vaultsecret.oc1..bbbb,/run/secrets/key,0400,,\n"
    )
    found = resolve(config_of(draft_of_map(path)), "secrets", "secrets")
    ran = secrets_of_map(Config(), path)
    assert (found.plan, found.settings) == (ran.plan, ran.settings)
    assert found.timing.at_startup and found.job.jitter == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "no variable of the sync container or of the rotation worker is set"),
        ({"SYNC_FROM": "/a"}, "SYNC_TO is not set"),
        ({"SYNC_FROM": "gs://a", "SYNC_TO": "/b"}, "SYNC_FROM: gs://a"),
        ({"SYNC_FROM": "/a", "SYNC_TO": "s3://b", "SYNC_PARAMS": "--nonsense"}, "SYNC_PARAMS: no such option"),
        ({"AWS_SECRET_ID": "a"}, "OCI_SECRET_OCID is not set"),
        ({"SYNC_FROM": "/a\udcff", "SYNC_TO": "s3://b"}, "SYNC_FROM is not UTF-8"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variables: dict[str, str], says: str) -> None:
    """As the tool itself names it."""
    with pytest.raises(ConfigError) as caught:
        draft_of_variables(variables)
    assert caught.value.message.startswith(says) and caught.value.hint


def test_what_only_the_container_does_is_said() -> None:
    """And clouds' variables are named, never shown."""
    draft = draft_of_variables(
        {
            "SYNC_FROM": "/a",
            "SYNC_TO": "s3://b/",
            "SYNC_MODE": "",
            "COMPLETION_FILENAME": "done",
            "SESSION_DEBUG": "1",
            "CHOWN_OWNER": "app",
            "AWS_SECRET_ACCESS_KEY": "never-shown",
        }
    )
    assert [text.partition(":")[0] for text in draft.ignored] == [
        "COMPLETION_FILENAME",
        "SESSION_DEBUG",
        "CHOWN_OWNER",
    ]
    assert "AWS_SECRET_ACCESS_KEY" in draft.text and "never-shown" not in draft.text
