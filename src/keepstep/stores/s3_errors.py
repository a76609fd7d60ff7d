"""What S3's refusals mean, and the IAM statement that is missing.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

import json
import re

from keepstep.clouds.document import shortened
from keepstep.clouds.http import Response
from keepstep.clouds.retry import PASSING, retry_after
from keepstep.errors import ConfigError, Conflict, Denied, Error, NotFound, Transient, Unsupported
from keepstep.stores.interface import Missing
from keepstep.stores.s3_elsewhere import elsewhere, is_elsewhere
from keepstep.stores.s3_listing import unescape

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"})
"""Codes that fresh credentials cure."""


class NotOffered(Error):
    """The store does not know this operation, or this part of it."""


class DigestRequired(Error):
    """The bucket takes no body without its MD5 or a checksum, as buckets with Object Lock do. Safe to repeat."""


_PASSING = frozenset(
    {
        "BadDigest",  # what arrived is not what was sent
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)
_DIGEST_CODES = frozenset({"MissingContentMD5", "MissingDigest"})
_VAGUE_CODES = frozenset({"InvalidRequest", "InvalidArgument", "MissingSecurityHeader"})
"""S3 itself answers InvalidRequest ("Using S3 Object Lock", upload considerations)."""
_NOT_OFFERED = frozenset({"NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation"})
_DIGEST_HINT = (
    "the bucket asks for a checksum with every object: choose one that it knows with --checksum-algorithm"
)
_CREDENTIALS = {
    "InvalidAccessKeyId": "the access key does not exist; check AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key, or the endpoint is another one's",
    "ExpiredToken": "sign in again, or give keepstep a source of credentials that it can refresh",
    "InvalidToken": "the session token is not valid; check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AccountProblem": "see the AWS account's notices",
}
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "GetObjectTagging": "s3:GetObjectTagging",
    "PutObjectTagging": "s3:PutObjectTagging",
}
"""Every other operation writes: ``s3:PutObject``. (Service Authorization Reference, "Actions for Amazon S3".)"""
_GRANTABLE = {*_ACTIONS.values(), "s3:PutObject", "s3:PutObjectAcl", "kms:Decrypt", "kms:GenerateDataKey"}
_REFUSED = re.compile(r'not authorized to perform: (\w+:\w+) on resource: "(arn:[^"\s*?]+)"')
"""What S3 itself says to callers of the bucket's own account: a copy may lack a right at either end."""

_CODE = re.compile(r"<(?:[\w.-]+:)?Code>\s*([^<\s]+)\s*</")
_MESSAGE = re.compile(r"<(?:[\w.-]+:)?Message>([^<]*)</")


def code_of(response: Response) -> str:
    """The error code; what the status means where there is no body, and the status where the body names none."""
    if response.document:
        found = _CODE.search(response.document.decode("utf-8", "replace"))
        return found[1] if found else str(response.status)
    return {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed"}.get(
        response.status, str(response.status)
    )


def error_of(response: Response, operation: str, bucket: str, key: str | None) -> Error:
    """The error to raise for an answer that is a refusal."""
    found = _MESSAGE.search(response.document.decode("utf-8", "replace")) if response.document else None
    message = shortened(unescape(found[1])) if found else ""
    after, code = retry_after(response.headers), code_of(response)
    if is_elsewhere(response, code):
        return elsewhere(response, code, message, f"{operation} on s3://{bucket}")
    return error_for(code, message, operation, bucket, key, status=response.status, after=after)


def error_for(
    code: str,
    message: str,
    operation: str,
    bucket: str,
    key: str | None,
    *,
    status: int = 0,
    after: float | None = None,
) -> Error:
    """The error for one code, of a whole answer or of one key of a DeleteObjects."""
    thing = f"s3://{bucket}" + (f"/{key}" if key is not None else "")
    text = f"{operation} on {thing}: {code}" + (f": {message.rstrip('.')}" if message else "")
    if code in _PASSING or status in PASSING:
        return Transient(text, retry_after=after)
    if code in _CREDENTIALS:
        return ConfigError(text, hint=_CREDENTIALS[code])
    if code == "NoSuchBucket":
        return NotFound(text, hint="check the bucket's name, the account and the endpoint")
    if code in ("NoSuchKey", "NoSuchVersion"):
        return Missing(text)
    if status == 404 or code == "NoSuchUpload":
        return NotFound(text)
    if code in _DIGEST_CODES or (code in _VAGUE_CODES and "content-md5" in message.lower()):
        return DigestRequired(text, hint=_DIGEST_HINT)
    if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict", "InvalidRange"):
        return Conflict(text)
    if status in (405, 501) or code in _NOT_OFFERED:
        return NotOffered(text)
    if code == "KeyTooLongError":
        return Unsupported(text)
    if code == "InvalidObjectState":
        return Error(text, hint="the object is archived: restore it first (aws s3api restore-object)")
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled"):
        return Denied(text, hint=_denied_hint(operation, bucket, message))
    return Error(text)


def _denied_hint(operation: str, bucket: str, message: str) -> str:
    refused = _REFUSED.search(message)
    if refused and refused[1] in _GRANTABLE:  # another server's word is no reason to grant more
        return _statement(refused[1], refused[2])
    if "kms" in message.lower():
        action = "kms:Decrypt" if operation == "GetObject" else "kms:GenerateDataKey"
        return f"allow {action} on the KMS key that encrypts the bucket"
    action = _ACTIONS.get(operation, "s3:PutObject")
    is_bucket_action = action.startswith("s3:ListBucket")
    return _statement(action, f"arn:aws:s3:::{bucket}" + ("" if is_bucket_action else "/*"))


def _statement(action: str, resource: str) -> str:
    return "add to the IAM policy: " + json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
