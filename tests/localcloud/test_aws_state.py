"""The local AWS has the same data again after ``kill -9`` and after a restart.

One server is filled, killed, started again, changed, stopped and started again; the tests compare what was seen.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from keepstep_localcloud.aws import LocalAws
from keepstep_localcloud.errors import ConfigError
from tests.servers import Aws, local_aws

FIRST_PART = bytes(5 << 20)
KEYS = ["plain", "a//b", "../x", "new\nline", "日本", "\x01"]
Facts = dict[str, Any]


@dataclass(frozen=True)
class Lives:
    """What was seen in the server's three lives."""

    filled: Facts
    killed: Facts
    changed: Facts
    restarted: Facts
    acknowledged: list[str]
    """The keys that were written when the kill came."""
    rows: dict[str, int]
    modes: set[int]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    folder = tmp_path_factory.mktemp("lives")
    with local_aws(folder, state=folder / "state") as server:
        for fill in (fill_objects, fill_versions, fill_secrets, fill_parameters, overwrite_often):
            fill(server)
        upload = begin_upload(server.client("s3"))
        filled = facts(server)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in (folder / "state").iterdir()}
        acknowledged = write_until_killed(server)
    rows = count_rows(folder / "state" / "aws.db")
    with local_aws(folder, state=folder / "state") as server:
        killed = facts(server)
        finish_upload(server.client("s3"), upload)
        server.client("s3").put_object(Bucket="objects", Key="copy", Body=b"new")
        changed = facts(server)
    with local_aws(folder, state=folder / "state") as server:
        return Lives(filled, killed, changed, facts(server), acknowledged, rows, modes)


def fill_objects(server: Aws) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="objects")
    details = {"Metadata": {"a_b": "c"}, "CacheControl": "no-store", "ContentType": "text/x", "Tagging": "t=1"}
    given = {"StorageClass": "STANDARD_IA", "ChecksumAlgorithm": "SHA256", **details}
    for key in KEYS:
        s3.put_object(Bucket="objects", Key=key, Body=key.encode(), **given)
    s3.copy_object(Bucket="objects", Key="copy", CopySource="objects/plain")
    s3.delete_object(Bucket="objects", Key="plain")
    s3.put_object_tagging(Bucket="objects", Key="copy", Tagging={"TagSet": [{"Key": "u", "Value": "2"}]})
    s3.put_object_acl(Bucket="objects", Key="copy", ACL="public-read")


def fill_versions(server: Aws) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="versions", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="deleted")
    s3.delete_bucket(Bucket="deleted")
    s3.put_bucket_tagging(Bucket="versions", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_bucket_policy(Bucket="versions", Policy='{"Version":"2012-10-17","Statement":[]}')
    s3.delete_bucket_policy(Bucket="versions")
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 3}}]}
    s3.put_bucket_lifecycle_configuration(Bucket="versions", LifecycleConfiguration=rules)
    for text in (b"1", b"2", b"3"):
        s3.put_object(Bucket="versions", Key="k", Body=text)
    s3.put_object_legal_hold(Bucket="versions", Key="k", LegalHold={"Status": "ON"})
    s3.delete_object(Bucket="versions", Key="k")


def fill_secrets(server: Aws) -> None:
    sm = server.client("secretsmanager")
    sm.create_secret(Name="s", SecretString="one", Tags=[{"Key": "a", "Value": "b"}])
    sm.put_secret_value(SecretId="s", SecretBinary=b"\x00two", VersionStages=["AWSPENDING"])
    sm.create_secret(Name="gone", SecretString="x")
    sm.delete_secret(SecretId="gone", ForceDeleteWithoutRecovery=True)


def fill_parameters(server: Aws) -> None:
    ssm = server.client("ssm")
    for value in "123":
        ssm.put_parameter(Name="/p/q", Value=value, Type="SecureString", Overwrite=True)
    ssm.label_parameter_version(Name="/p/q", ParameterVersion=2, Labels=["blue"])
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="/p/q", Tags=[{"Key": "a", "Value": "b"}])
    ssm.put_parameter(Name="/gone", Value="x", Type="String")
    ssm.delete_parameter(Name="/gone")


def overwrite_often(server: Aws) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="burst")
    s3.create_bucket(Bucket="often")
    for number in range(100):
        s3.put_object(Bucket="often", Key="k", Body=b"%d" % number)
        s3.put_bucket_tagging(Bucket="often", Tagging={"TagSet": [{"Key": "n", "Value": str(number)}]})


def begin_upload(s3: Any) -> dict[str, Any]:
    """Its first part is a copy of an object that is deleted then."""
    s3.create_bucket(Bucket="uploads")
    s3.put_object(Bucket="uploads", Key="source", Body=FIRST_PART)
    upload = {"Bucket": "uploads", "Key": "big"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, Metadata={"a": "b"})["UploadId"]
    s3.upload_part_copy(**upload, PartNumber=1, CopySource="uploads/source")
    s3.delete_object(Bucket="uploads", Key="source")
    aborted = s3.create_multipart_upload(Bucket="uploads", Key="aborted")["UploadId"]
    s3.abort_multipart_upload(Bucket="uploads", Key="aborted", UploadId=aborted)
    return upload


def finish_upload(s3: Any, upload: dict[str, Any]) -> None:
    s3.upload_part(**upload, PartNumber=2, Body=b"end")
    parts = s3.list_parts(**upload)["Parts"]
    named = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})


def write_until_killed(server: Aws) -> list[str]:
    """The keys whose writes were acknowledged."""
    assert server.process
    client = server.client("s3")
    written: list[str] = []
    killer = threading.Thread(target=_kill_in_the_middle, args=(server.process, written))
    killer.start()
    with contextlib.suppress(BotoCoreError):
        for number in itertools.count():
            client.put_object(Bucket="burst", Key=f"{number:06}", Body=b"%d" % number)
            written.append(f"{number:06}")
    killer.join()
    server.process.wait()
    return written


def _kill_in_the_middle(process: subprocess.Popen[bytes], written: list[str]) -> None:
    """Once some writes were acknowledged, at a moment that no write knows."""
    while len(written) < 10:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)


def count_rows(path: Path) -> dict[str, int]:
    database = sqlite3.connect(path)
    objects = database.execute("SELECT count(*) FROM objects WHERE bucket = 'often'").fetchone()[0]
    requests = database.execute("SELECT count(*) FROM requests WHERE subject LIKE 'bucket/often%'").fetchone()[0]
    database.close()
    return {"objects": objects, "requests": requests}


def facts(server: Aws) -> Facts:
    s3, sm, ssm = server.client("s3"), server.client("secretsmanager"), server.client("ssm")
    asked: dict[str, Callable[[], Any]] = {
        "buckets": lambda: s3.list_buckets()["Buckets"],
        "objects": lambda: objects(s3, "objects"),
        "acl": lambda: s3.get_object_acl(Bucket="objects", Key="copy")["Grants"],
        "versions": lambda: versions(s3),
        "tags": lambda: s3.get_bucket_tagging(Bucket="versions")["TagSet"],
        "lifecycle": lambda: s3.get_bucket_lifecycle_configuration(Bucket="versions")["Rules"],
        "policy": lambda: s3.get_bucket_policy_status(Bucket="versions")["PolicyStatus"],
        "uploads": lambda: [one["Key"] for one in s3.list_multipart_uploads(Bucket="uploads").get("Uploads", [])],
        "uploaded": lambda: objects(s3, "uploads"),
        "burst": lambda: [one["Key"] for one in s3.list_objects_v2(Bucket="burst").get("Contents", [])],
        "secret": lambda: secret(sm),
        "secrets": lambda: [one["Name"] for one in sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]],
        "history": lambda: ssm.get_parameter_history(Name="/p/q", WithDecryption=True)["Parameters"],
        "parameters": lambda: [one["Name"] for one in ssm.describe_parameters()["Parameters"]],
        "labelled": lambda: ssm.get_parameter(Name="/p/q:blue")["Parameter"],
        "parameter tags": lambda: ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/p/q")[
            "TagList"
        ],
    }
    return {name: told(ask) for name, ask in asked.items()}


def told(ask: Callable[[], Any]) -> Any:
    """The answer, or the code of the error."""
    try:
        return ask()
    except ClientError as error:
        return error.response["Error"]["Code"]


def objects(s3: Any, bucket: str) -> list[Any]:
    """Each object's line in the listing, its head, tags and body."""
    found = []
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        which = {"Bucket": bucket, "Key": item["Key"]}
        head = s3.head_object(**which, ChecksumMode="ENABLED")
        del head["ResponseMetadata"]
        found.append((item, head, s3.get_object_tagging(**which)["TagSet"], s3.get_object(**which)["Body"].read()))
    return found


def versions(s3: Any) -> Any:
    listed = s3.list_object_versions(Bucket="versions")
    ids = [version["VersionId"] for version in listed["Versions"]]
    bodies = [s3.get_object(Bucket="versions", Key="k", VersionId=one)["Body"].read() for one in ids]
    hold = s3.get_object_legal_hold(Bucket="versions", Key="k", VersionId=ids[0])["LegalHold"]
    return bodies, hold, listed["Versions"], listed["DeleteMarkers"]


def secret(sm: Any) -> Any:
    current = sm.get_secret_value(SecretId="s")["SecretString"]
    pending = sm.get_secret_value(SecretId="s", VersionStage="AWSPENDING")["SecretBinary"]
    described = sm.describe_secret(SecretId="s")
    del described["ResponseMetadata"]
    return current, pending, described


def test_everything_is_the_same_after_a_kill(lives: Lives) -> None:
    """Bodies, times, ETags, ids, metadata, tags, ACLs, settings, uploads, secrets, parameters: as they were."""
    for name, fact in lives.filled.items():
        assert name == "burst" or lives.killed[name] == fact, name


def test_what_was_acknowledged_is_there(lives: Lives) -> None:
    """Of the writes that a kill ended every one that was answered is there, and at most one more."""
    assert lives.acknowledged
    assert lives.killed["burst"][: len(lives.acknowledged)] == lives.acknowledged
    assert len(lives.killed["burst"]) <= len(lives.acknowledged) + 1


def test_everything_is_the_same_after_a_restart(lives: Lives) -> None:
    """What a restored server takes is kept as well."""
    for name, fact in lives.changed.items():
        assert lives.restarted[name] == fact, name


def test_there_was_something_to_keep(lives: Lives) -> None:
    """The facts that are compared are the ones that were written."""
    seen = lives.killed
    assert [item["Key"] for item, *_ in seen["objects"]] == sorted([*KEYS[1:], "copy"], key=str.encode)
    assert {body for *_, body in seen["objects"]} == {key.encode() for key in KEYS}
    assert {head["ChecksumSHA256"] != "" for item, head, *_ in seen["objects"] if item["Key"] != "copy"} == {True}
    assert seen["versions"][0] == [b"3", b"2", b"1"]
    assert (seen["versions"][1], len(seen["versions"][3])) == ({"Status": "ON"}, 1)
    assert [bucket["Name"] for bucket in seen["buckets"]] == ["objects", "versions", "burst", "often", "uploads"]
    assert (seen["secret"][:2], seen["secrets"]) == (("one", b"\x00two"), ["s"])
    assert [(one["Value"], one["Labels"]) for one in seen["history"]] == [("1", []), ("2", ["blue"]), ("3", [])]
    assert (seen["parameters"], len(seen["acl"])) == (["/p/q"], 2)


def test_uploads_go_on(lives: Lives) -> None:
    """An upload in parts that a kill interrupts is finished under the same id, with the part it had."""
    assert (lives.killed["uploads"], lives.restarted["uploads"]) == (["big"], [])
    ((item, head, _, body),) = lives.restarted["uploaded"]
    assert (body == FIRST_PART + b"end", item["ETag"][-3:], head["Metadata"]) == (True, '-2"', {"a": "b"})


def test_the_file_holds_no_history(lives: Lives) -> None:
    """A hundred writes of one key and of one setting leave one row each, beside the bucket's own."""
    assert lives.rows == {"objects": 1, "requests": 2}


def test_the_files_are_their_owners(lives: Lives) -> None:
    """Every file has mode 0600 while the server runs."""
    assert lives.modes == {0o600}


def test_one_runs_in_a_process_and_leaves_nothing() -> None:
    """A second local AWS in the process is refused; after stop the port is free, and a new one is empty."""
    first = LocalAws()
    first.start()
    with pytest.raises(ConfigError, match="already"):
        LocalAws().start()
    client(first).create_bucket(Bucket="bucket")
    port = urlsplit(first.url).port or 0
    first.stop()
    first.stop()
    second = LocalAws()
    second.start(port=port)
    assert (urlsplit(second.url).port, client(second).list_buckets()["Buckets"]) == (port, [])
    second.stop()


def client(server: LocalAws) -> Any:
    return Aws(server.url, server.env()).client("s3")
