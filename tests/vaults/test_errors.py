"""What the clouds' refusals become, with the statement that is missing."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError, NoRegionError

from keepstep.clouds.http import Response
from keepstep.errors import ConfigError, Corrupt, Denied, Error, NotFound, Transient
from keepstep.vaults.aws_errors import translated
from keepstep.vaults.oci import _value, region_in
from keepstep.vaults.oci_errors import error_of

DENIED = (
    "User: arn:aws:iam::123456789012:user/app is not authorized to perform: secretsmanager:GetSecretValue on "
    "resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf because no policy allows it"
)


@pytest.mark.parametrize(
    ("code", "message", "status", "kind", "hint"),
    [
        ("ResourceNotFoundException", "can't find the specified secret", 400, NotFound, "region"),
        ("ParameterNotFound", "", 400, NotFound, "region"),
        ("InvalidRequestException", "it was marked for deletion", 400, NotFound, "name"),
        ("AccessDeniedException", DENIED, 400, Denied, '"Resource": "arn:aws:secretsmanager:eu-west-1:'),
        ("AccessDeniedException", "Access to KMS is not allowed", 400, Denied, '"kms:Decrypt"'),
        ("DecryptionFailure", "", 400, Denied, '"kms:Decrypt"'),
        ("InvalidParameterException", "bad name", 400, ConfigError, ""),
        ("ThrottlingException", "Rate exceeded", 400, Transient, ""),
        ("InternalServiceError", "", 500, Transient, ""),
        ("UnrecognizedClientException", "The security token is invalid", 400, ConfigError, "replace"),
        ("SomethingNew", "nobody knows", 400, Denied, ""),
    ],
)
def test_aws_refusals(code: str, message: str, status: int, kind: type[Error], hint: str) -> None:
    """Each of the documented codes becomes the error that says what to do next."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(kind) as refusal, translated("db", "secretsmanager:GetSecretValue", "default"):
        raise ClientError(answer, "GetSecretValue")  # type: ignore[arg-type]
    assert hint in (refusal.value.hint or "")


def test_no_region_is_the_users_to_name() -> None:
    """Without a region AWS cannot be asked, and the message says where to set one."""
    with pytest.raises(ConfigError, match="region") as refusal, translated("db", "ssm:GetParameter", "default"):
        raise NoRegionError()
    assert "AWS_REGION" in (refusal.value.hint or "")


@pytest.mark.parametrize(
    ("status", "code", "kind", "hint"),
    [
        (401, "NotAuthenticated", ConfigError, "fingerprint"),
        (403, "NotAllowed", Denied, "allow group <your group> to read secret-bundles"),
        (404, "NotAuthorizedOrNotFound", NotFound, "allow group <your group> to read secret-bundles"),
        (409, "IncorrectState", Error, "expired"),
        (429, "TooManyRequests", Transient, ""),
        (503, "ServiceUnavailable", Transient, ""),
        (400, "InvalidParameter", Error, ""),
    ],
)
def test_oci_refusals(status: int, code: str, kind: type[Error], hint: str) -> None:
    """Each of the documented codes becomes the error that says what to do next."""
    response = Response(status, {"retry-after": "3"}, json.dumps({"code": code, "message": "m."}).encode())
    error = error_of(response, "ocid1.vaultsecret.x", operation="GetSecretBundle", grantee="group <your group>")
    assert type(error) is kind
    assert str(error).startswith(f"ocid1.vaultsecret.x: {code}: m")
    assert hint in (error.hint or "")
    assert not isinstance(error, Transient) or error.retry_after == 3


def test_a_proxys_page_is_told_as_it_is() -> None:
    """An answer that is not JSON is shown in its first words."""
    error = error_of(Response(502, {}, b"<html>Bad Gateway"), "x", operation="GetSecretBundle", grantee="g")
    assert isinstance(error, Transient)
    assert "Bad Gateway" in str(error)


@pytest.mark.parametrize(
    "body",
    [b"no json", b"{}", b'{"secretBundleContent": null}', b'{"secretBundleContent": {"content": "S3cr3t*"}}'],
)
def test_an_answer_without_content_is_corrupt(body: bytes) -> None:
    """What is not a bundle with base64 is never taken for a secret, and is not repeated in the error."""
    with pytest.raises(Corrupt) as refusal:
        _value(Response(200, {}, body), "x")
    assert "S3cr3t" not in repr(refusal.value.__cause__) + str(refusal.value)


@pytest.mark.parametrize(
    ("ocid", "region"),
    [
        ("ocid1.vaultsecret.oc1.iad.aaaa", "us-ashburn-1"),
        ("ocid1.vaultsecret.oc1.eu-frankfurt-1.aaaa", "eu-frankfurt-1"),
        ("ocid1.vaultsecret.oc1..aaaa", ""),
        ("ocid1.vaultsecret.oc1.atlantis.aaaa", ""),
    ],
)
def test_a_secrets_region_is_its_ocids(ocid: str, region: str) -> None:
    """A secret is asked for in the region that its OCID names, in our own where it names none that exists."""
    assert region_in(ocid) == region
