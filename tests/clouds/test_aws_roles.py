"""Role chains against moto's STS, with its IAM checks turned on: every hop needs the permission it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.errors import ConfigError, Denied

ACCOUNT = "123456789012"
FIRST, SECOND, CLOSED = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("first", "second", "closed"))


def policy(**statement: Any) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", **statement}]}
    )


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Address of a moto server of this module's own: its IAM checks are a setting of the whole process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert server.stderr
    port = next(int(found[1]) for line in server.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
    threading.Thread(target=server.stderr.read, daemon=True).start()
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def user(moto: str) -> dict[str, str]:
    """Keys of a user who may assume the first role; that one the other two, of which one trusts only a stranger."""
    session = boto3.Session("setup", "setup", region_name="us-east-1")
    iam = session.client("iam", endpoint_url=moto)
    for role, trusted in ((FIRST, "*"), (SECOND, "*"), (CLOSED, f"arn:aws:iam::{ACCOUNT}:user/stranger")):
        trust = policy(Principal={"AWS": trusted})
        iam.create_role(RoleName=role.rpartition("/")[2], AssumeRolePolicyDocument=trust)
    next_ones = [SECOND, CLOSED]
    iam.put_role_policy(RoleName="first", PolicyName="next", PolicyDocument=policy(Resource=next_ones))
    iam.create_user(UserName="sync")
    iam.put_user_policy(UserName="sync", PolicyName="first", PolicyDocument=policy(Resource=FIRST))
    key = iam.create_access_key(UserName="sync")["AccessKey"]
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{moto}/moto-api/reset-auth", data=b"0", method="POST", headers=plain)
    urllib.request.urlopen(request).close()
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@pytest.fixture(params=["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def signed_in(
    request: pytest.FixtureRequest, moto: str, user: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**user, request.param: moto}.items():
        monkeypatch.setenv(name, value)


def test_a_chain_of_roles(signed_in: None, run: Callable[..., Any]) -> None:
    """Each role is assumed with the credentials of the one before; STS is found by either variable."""
    identity = AwsIdentity(AwsSettings(role_arn=(FIRST, SECOND), session_name="nightly"))
    credentials = run(identity.credentials())
    assert credentials.method == "assume-role"
    assert credentials.token
    assert credentials.expires_at is not None
    session = run(identity.botocore_session())
    caller = session.create_client("sts", region_name="us-east-1").get_caller_identity()
    assert caller["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/second/nightly"


def test_a_forced_refresh_assumes_the_chain_again(signed_in: None, run: Callable[..., Any]) -> None:
    """After a service refused them, credentials are new in every part; a late second refusal fetches nothing."""
    identity = AwsIdentity(AwsSettings(role_arn=(FIRST, SECOND)))

    async def refused_twice() -> tuple[Any, Any, Any]:
        old = await identity.credentials()
        return old, await identity.refresh(old), await identity.refresh(old)

    old, new, again = run(refused_twice())
    assert new.access_key != old.access_key
    assert new.token != old.token
    assert again is new


def test_a_role_that_may_not_be_assumed(signed_in: None, run: Callable[..., Any]) -> None:
    """The refusal names caller and role, and prints the two policy statements that are missing."""
    with pytest.raises(Denied) as refused:
        run(AwsIdentity(AwsSettings(role_arn=(FIRST, CLOSED), external_id={CLOSED: "x-17"})).credentials())
    assert CLOSED in refused.value.message
    assert "first" in refused.value.message
    assert refused.value.hint
    assert f'"Principal": {{"AWS": "{FIRST}"}}' in refused.value.hint
    assert '"sts:ExternalId": "x-17"' in refused.value.hint
    assert f'"Action": "sts:AssumeRole", "Resource": "{CLOSED}"' in refused.value.hint


def test_the_first_hop_names_the_user(signed_in: None, run: Callable[..., Any]) -> None:
    """When the very first role is refused, the caller is the user that STS named."""
    with pytest.raises(Denied, match="user/sync may not assume") as refused:
        run(AwsIdentity(AwsSettings(role_arn=(SECOND,))).credentials())
    assert refused.value.hint
    assert f"arn:aws:iam::{ACCOUNT}:user/sync" in refused.value.hint


def test_keys_that_aws_does_not_know(
    signed_in: None, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    """An unknown access key is a matter of configuration, and its secret is not in the message."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-seen")
    with pytest.raises(ConfigError, match="AWS does not know this access key") as refused:
        run(AwsIdentity(AwsSettings(role_arn=(FIRST,))).credentials())
    assert "never-to-be-seen" not in str(refused.value) + str(refused.value.hint)


def test_what_is_no_role(signed_in: None, run: Callable[..., Any]) -> None:
    """A role's bare name is refused before STS is asked."""
    with pytest.raises(ConfigError, match="not a role's ARN: 'sync'"):
        run(AwsIdentity(AwsSettings(role_arn=("sync",))).credentials())
