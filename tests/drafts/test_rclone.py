"""rclone.conf: identities without secrets, jobs for what is to be synced, and what has no counterpart."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from keepstep.config import Config
from keepstep.drafts.draft import Draft
from keepstep.drafts.rclone import draft_of_rclone
from keepstep.errors import ConfigError
from keepstep.hosts.work import work_of
from keepstep.jobs.resolve import resolve
from keepstep.jobs.settings import CloudSettings, settings_of

CONF = """
# a comment
[bling]
type = oracleobjectstorage
provider = user_principal_auth
namespace = bling
compartment = ocid1.tenancy.oc1..aaaa
region = us-ashburn-1
config_file = /root/.oci/config
config_profile = REPORTS

[aws]
type = s3
provider = AWS
access_key_id = AKIASECRETSECRET
secret_access_key = hush=hush%hush
region = eu-west-1
acl = bucket-owner-full-control
storage_class = STANDARD_IA
server_side_encryption = aws:kms
sse_kms_key_id = arn:aws:kms:eu-west-1:123456789012:key/x

[minio]
type = s3
provider = Minio
env_auth = true
endpoint = minio.example.com:9000
upload_cutoff = 5M

[drop]
type = dropbox
token = {"access_token":"hush"}

[short]
type = alias
remote = aws:finops

[disk]
type = local
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "rclone.conf"
    path.write_text(CONF)
    return path


def config_of(draft: Draft) -> Config:
    with closing(work_of(draft.text.encode(), called="the draft")) as work:
        return work.config


def test_identities_have_no_secret(conf: Path) -> None:
    """Keys become a profile, and a step that says where they go; nothing else is copied that is not known."""
    draft = draft_of_rclone(conf)
    config = config_of(draft)
    assert settings_of(config.identity) == CloudSettings(
        profile="aws",
        region="eu-west-1",
        oci_auth="api_key",
        oci_profile="REPORTS",
        oci_config_file="/root/.oci/config",
    )
    assert "hush" not in draft.text and "AKIA" not in draft.text and not config.job
    assert any("aws configure --profile aws" in step for step in draft.steps)
    assert "[job.example]" in draft.text and 'source = "oci://BUCKET@bling/PREFIX/"' in draft.text


def test_what_has_no_counterpart_is_named(conf: Path) -> None:
    """Other backends, and settings, by their names alone."""
    ignored = "\n".join(draft_of_rclone(conf).ignored)
    assert "the remote drop: rclone's dropbox has no counterpart" in ignored
    assert "upload_cutoff of the remote minio" in ignored and "the remote minio where no job uses it" in ignored


def test_what_to_sync_becomes_jobs(conf: Path) -> None:
    """Places, options for what is written, and for another remote its own identity next to the other cloud's."""
    syncs = [
        ("bling:ocid1.tenancy.oc1..aaaa", "short:oci/"),
        ("/srv/data", "minio:bucket/a b"),
        ("disk:/srv/data", "aws:bucket"),
        ("disk:/srv/data", "aws:bucket/2"),
    ]
    config = config_of(draft_of_rclone(conf, syncs))
    jobs = [resolve(config, name, "sync") for name in config.job]
    assert [(str(job.source), str(job.target)) for job in jobs] == [
        ("oci://ocid1.tenancy.oc1..aaaa@bling/", "s3://finops/oci/"),
        ("/srv/data", "s3://bucket/a b/"),
        ("/srv/data", "s3://bucket/"),
        ("/srv/data", "s3://bucket/2/"),
    ]
    assert [job.name for job in jobs] == ["bling-to-aws", "here-to-minio", "here-to-aws", "here-to-aws-2"]
    first, second = jobs[:2]
    assert first.params.storage_class == "STANDARD_IA" and first.params.sse == "aws:kms"
    assert first.params.acl == "bucket-owner-full-control" and not first.params.delete
    assert (first.settings.profile, first.settings.oci_profile) == ("aws", "REPORTS")
    assert (second.settings.profile, second.settings.endpoint_url) == (None, "https://minio.example.com:9000")
    for job in jobs:
        job.check()


@pytest.mark.parametrize(
    ("sync", "says"),
    [
        (("absent:b", "aws:b"), "there is no remote absent"),
        (("drop:b", "aws:b"), "rclone's dropbox has no counterpart"),
        (("minio:b", "aws:b"), "minio and aws are two identities of one cloud"),
        (("aws:", "/srv"), "names no bucket"),
    ],
)
def test_places_without_counterpart_are_refused(conf: Path, sync: tuple[str, str], says: str) -> None:
    """By the remote's name, with what to do."""
    with pytest.raises(ConfigError) as caught:
        draft_of_rclone(conf, [sync])
    assert says in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\naGlkZGVu", "is encrypted"),
        ("hidden", "line 1 is not understood"),
        ("[a]\ntype = s3\n[a]\nhidden = 1\n", "line 3 is not understood"),
        ("", "has no remotes"),
        ("[a]\ntype = dropbox\n", "has no remote of type s3 or oracleobjectstorage (its types: dropbox)"),
    ],
)
def test_files_that_are_not_understood(tmp_path: Path, content: str, says: str) -> None:
    """Named by line, without its text."""
    path = tmp_path / "rclone.conf"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        draft_of_rclone(path)
    assert says in caught.value.message and "hidden" not in caught.value.message and caught.value.hint


def test_an_endpoint_with_a_password_is_left_out(tmp_path: Path) -> None:
    """Nothing that may be a secret is written."""
    path = tmp_path / "rclone.conf"
    path.write_text("[a]\ntype = s3\nendpoint = https://user:hush@example.com\n")
    draft = draft_of_rclone(path)
    assert "hush" not in draft.text and any(text.startswith("endpoint of a") for text in draft.ignored)
