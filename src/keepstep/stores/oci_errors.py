"""What OCI Object Storage's refusals mean, and the policy statement that is missing.

Codes: https://docs.oracle.com/en-us/iaas/Content/API/References/apierrors.htm. A 404 says "missing or forbidden";
so does keepstep, and prints the statement that would allow it.
"""

from __future__ import annotations

from keepstep.clouds.http import Response
from keepstep.clouds.oci_service import code_and_message
from keepstep.clouds.retry import PASSING, retry_after
from keepstep.errors import ConfigError, Conflict, Denied, Error, NotFound, Transient, Unsupported
from keepstep.stores.interface import Missing

_WRITES = frozenset(
    {
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CommitMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObject",
        "BatchDeleteObjects",
        "CopyObject",
    }
)


def error_of(
    response: Response, operation: str, namespace: str, bucket: str, name: str | None, *, grantee: str
) -> Error:
    """The error to raise for an answer that is a refusal. ``grantee`` is whom a policy statement has to name."""
    code, message = code_and_message(response)
    thing = f"oci://{bucket}@{namespace}" + (f"/{name}" if name is not None else "")
    text = f"{operation} on {thing}: {code or response.status}" + (f": {message.rstrip('.')}" if message else "")
    if response.location and 300 <= response.status < 400:
        return ConfigError(f"{text}: the answer leads to {response.location}", hint=_REDIRECTED)
    match response.status:
        case 401:
            return ConfigError(text, hint=_UNAUTHENTICATED)
        case 403:
            return Denied(text, hint=_hint(operation, bucket, grantee))
        case 404 if name is not None and code in ("ObjectNotFound", "NoSuchUpload", "UploadNotFound"):
            return Missing(text)
        case 404:
            return NotFound(
                f"{text} (OCI answers the same for what is missing and for what is forbidden)",
                hint=_hint(operation, bucket, grantee),
            )
        case 409 if code in ("IncorrectState", "LockConflict", "ConcurrentObjectUpdate"):
            return Transient(text, retry_after=retry_after(response.headers))
        case 412 | 416:
            return Conflict(text)
        case status if status in PASSING:
            return Transient(text, retry_after=retry_after(response.headers))
        case 400 if code == "InvalidObjectName":
            return Unsupported(f"{text} (no line breaks and no NUL in OCI's names, and 1024 bytes at most)")
        case _ if code in ("InvalidContentMD5", "UnmatchedContentMD5"):
            return Transient(text)
        case _ if "SSEKey" in code:
            return Error(text, hint=_WRONG_KEY)
        case _:
            return Error(text)


_REDIRECTED = "OCI does not redirect: a proxy or a portal answered in its place; check the region and the proxy"
_WRONG_KEY = (
    "give the key that it is encrypted with: --sse-c-key at the target, --sse-c-copy-source-key at the source"
)
_UNAUTHENTICATED = (
    "the key or its fingerprint is not registered for this user, or this machine's clock is more than 5 minutes "
    "off; compare the fingerprint in the OCI configuration with Identity > Users > API Keys"
)


def _hint(operation: str, bucket: str, grantee: str) -> str:
    verb = "manage" if operation in _WRITES else "read"
    return (
        "check the bucket, the namespace and the region; the policy statements are:\n"
        f"  allow {grantee} to read buckets in compartment <its compartment>\n"
        f"  allow {grantee} to {verb} objects in compartment <its compartment> "
        f"where target.bucket.name = '{bucket}'"
    )
