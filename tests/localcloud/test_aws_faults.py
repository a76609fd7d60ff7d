"""Faults on request at the local AWS: errors, lateness, cut and lost replies, reads from the past."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError

from tests.servers import Aws

A, B = "a" * 32, "b" * 32


@pytest.fixture
def s3(moto: Aws) -> Any:
    return moto.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    """Holds ``a`` and ``b``."""
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    for key in "ab":
        s3.put_object(Bucket=name, Key=key, Body=key.encode() * 1000)
    return name


@pytest.fixture
def sm(moto: Aws) -> Any:
    return moto.client("secretsmanager")


@pytest.fixture
def secret(sm: Any) -> str:
    name = f"secret-{uuid.uuid4().hex}"
    sm.create_secret(Name=name, ClientRequestToken=A, SecretString="one")
    return name


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (500, "InternalError"), (503, "SlowDown"), (404, "NoSuchKey")]
)
def test_s3_errors_have_its_codes(moto: Aws, s3: Any, bucket: str, status: int, code: str) -> None:
    """A status is answered with S3's code for it in XML, as often and as late as told."""
    moto.fault("ListObjectsV2", {"status": status}, after=1, match=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    with pytest.raises(ClientError) as failed:
        s3.list_objects_v2(Bucket=bucket)
    assert failed.value.response["Error"]["Code"] == code
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2


def test_json_services_have_theirs(moto: Aws, sm: Any, secret: str) -> None:
    """Secrets Manager's errors come in JSON, with the code that the fault names or its own for the status."""
    moto.fault("GetSecretValue", {"status": 400, "code": "DecryptionFailure", "message": "no key"})
    moto.fault("GetSecretValue", {"status": 500})
    with pytest.raises(ClientError, match="no key") as failed:
        sm.get_secret_value(SecretId=secret)
    assert failed.value.response["Error"]["Code"] == "DecryptionFailure"
    with pytest.raises(ClientError) as failed:
        sm.get_secret_value(SecretId=secret)
    assert failed.value.response["Error"]["Code"] == "InternalServiceError"


def test_query_services_have_theirs(moto: Aws) -> None:
    """STS's errors come in its XML."""
    moto.fault("AssumeRole", {"status": 403, "code": "AccessDenied", "message": "not you"})
    with pytest.raises(ClientError, match="not you") as failed:
        moto.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="tests")
    assert failed.value.response["Error"]["Code"] == "AccessDenied"


def test_a_refused_write_changes_nothing(moto: Aws, s3: Any, bucket: str) -> None:
    """A write that is answered with an error has not happened."""
    moto.fault("PutObject", {"status": 503})
    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket, Key="c", Body=b"c")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2


def test_operations_are_told_apart(moto: Aws, s3: Any, bucket: str) -> None:
    """A fault hits its operation alone: a copy is no put, and a part is neither."""
    moto.fault("CopyObject", {"status": 500})
    s3.put_object(Bucket=bucket, Key="c", Body=b"c")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="d")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="d", UploadId=upload, PartNumber=1, Body=b"d")
    assert [fault["seen"] for fault in moto.faults()] == [0]
    with pytest.raises(ClientError):
        s3.copy_object(Bucket=bucket, Key="e", CopySource=f"{bucket}/c")


def test_latency_is_waited_for(moto: Aws, s3: Any, bucket: str) -> None:
    """The answer comes late, and right."""
    moto.fault("HeadObject", {"latency_ms": 200})
    started = time.monotonic()
    s3.head_object(Bucket=bucket, Key="a")
    assert time.monotonic() - started >= 0.2


def test_a_body_is_cut(moto: Aws, s3: Any, bucket: str) -> None:
    """The connection ends after so many bytes of the body."""
    moto.fault("GetObject", {"cut": 10})
    body = s3.get_object(Bucket=bucket, Key="a")["Body"]
    with pytest.raises(ResponseStreamingError):
        body.read()
    assert len(s3.get_object(Bucket=bucket, Key="a")["Body"].read()) == 1000


def test_a_lost_reply_is_a_done_write(moto: Aws, s3: Any, sm: Any, bucket: str, secret: str) -> None:
    """The write happens, the client hears nothing; repeating it with the same token is no error."""
    moto.fault("PutSecretValue", {"lose_reply": True})
    put = {"SecretId": secret, "ClientRequestToken": B, "SecretString": "two"}
    with pytest.raises(ConnectionClosedError):
        sm.put_secret_value(**put)
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "two"
    assert sm.put_secret_value(**put)["VersionId"] == B
    moto.fault("PutObject", {"lose_reply": True})
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket=bucket, Key="c", Body=b"c")
    assert s3.head_object(Bucket=bucket, Key="c")["ContentLength"] == 1


def test_secrets_are_read_from_the_past(moto: Aws, sm: Any, secret: str) -> None:
    """A stale read is from before the last write of that secret: value, labels and list; the next one is not."""
    sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two")
    moto.fault("GetSecretValue", {"stale": True})
    moto.fault("DescribeSecret", {"stale": True})
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "one"
    assert sm.describe_secret(SecretId=secret)["VersionIdsToStages"] == {A: ["AWSCURRENT"]}
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "two"
    assert set(sm.describe_secret(SecretId=secret)["VersionIdsToStages"]) == {A, B}


def test_a_new_secret_is_not_there_yet(moto: Aws, sm: Any, secret: str) -> None:
    """Before its first write a secret was not there, and after its deletion it still is, to a stale read."""
    moto.fault("GetSecretValue", {"stale": True}, times=2)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        sm.get_secret_value(SecretId=secret)
    sm.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    assert sm.get_secret_value(SecretId=secret)["SecretString"] == "one"


@pytest.mark.parametrize("operation", ["ListObjectsV2", "ListObjects"])
def test_listings_are_from_the_past(moto: Aws, s3: Any, bucket: str, operation: str) -> None:
    """A stale listing lacks what was just put, has what was just deleted, and shows what was overwritten."""
    calls = {"ListObjectsV2": s3.list_objects_v2, "ListObjects": s3.list_objects}

    def stale() -> dict[str, int]:
        moto.fault(operation, {"stale": True})
        return {item["Key"]: item["Size"] for item in calls[operation](Bucket=bucket).get("Contents", [])}

    s3.put_object(Bucket=bucket, Key="c", Body=b"c")
    assert stale() == {"a": 1000, "b": 1000}
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    assert stale() == {"a": 1000, "b": 1000, "c": 1}
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    assert stale() == {"a": 1, "b": 1000, "c": 1}
    assert [item["Key"] for item in calls[operation](Bucket=bucket)["Contents"]] == ["c"]
