"""Checks KMS keys with DescribeKey. Without that permission the result is unknown; a readable secret is proof."""

from __future__ import annotations

import json

from keepstep.clouds.aws import AwsIdentity
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.errors import Denied
from keepstep.vaults.address import region_of_arn
from keepstep.vaults.aws_calls import AwsCalls

_FIXES = {
    "Disabled": "aws kms enable-key --key-id {key}",
    "PendingDeletion": "aws kms cancel-key-deletion --key-id {key}, then aws kms enable-key --key-id {key}",
    "PendingImport": "import the key's material again: aws kms import-key-material",
    "Unavailable": "check the custom key store of the key: aws kms describe-custom-key-stores",
}


async def of_secret(identity: AwsIdentity, name: str) -> Check:
    """The KMS key of a secret in Secrets Manager."""
    calls = AwsCalls("secretsmanager", identity)
    try:
        answer = await calls.call("DescribeSecret", name, region_of_arn(name), SecretId=name)
    finally:
        await calls.close()
    key = answer.text("KmsKeyId", "")
    if not key or key.endswith("alias/aws/secretsmanager"):
        return ok("kms", name, "AWS's own key for Secrets Manager")
    return await of_key(identity, name, key, region_of_arn(answer.text("ARN")))


async def of_key(identity: AwsIdentity, about: str, key: str, region: str | None) -> Check:
    calls = AwsCalls("kms", identity)
    try:
        described = (await calls.call("DescribeKey", key, region, KeyId=key)).inner("KeyMetadata")
    except Denied as error:
        grant = {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": key}
        return unknown("kms", about, error.message, f"to see it, add to the policy: {json.dumps(grant)}")
    finally:
        await calls.close()
    state, arn = described.text("KeyState"), described.text("Arn")
    if fix := _FIXES.get(state):
        return fail("kms", about, f"its key {arn} is {state}", fix.format(key=described.text("KeyId")))
    return ok("kms", about, f"its key {arn} is {state}")
