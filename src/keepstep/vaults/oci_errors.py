"""What OCI Vault's refusals mean, and the policy statement that is missing.

Codes: https://docs.oracle.com/en-us/iaas/Content/API/References/apierrors.htm. A 404 says "missing or forbidden";
so does keepstep, and prints the statement that would allow it.
"""

from __future__ import annotations

from keepstep.clouds.http import Response
from keepstep.clouds.oci_service import code_and_message
from keepstep.clouds.retry import PASSING, retry_after
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient

_UNAUTHENTICATED = (
    "the key or its fingerprint is not registered for this user, or this machine's clock is more than 5 minutes "
    "off; compare the fingerprint in the OCI configuration with Identity > Users > API Keys"
)
_REDIRECTED = "OCI does not redirect: a proxy or a portal answered in its place; check the region and the proxy"
_EXPIRED = "the version has expired, and a rule of the secret blocks its retrieval: make a new version of it"


GRANTS = {
    "GetSecretBundle": "read secret-bundles",
    "ListSecretBundleVersions": "inspect secret-bundles",
    "GetSecret": "read secrets",
    "UpdateSecret": "use secrets",
    "ListSecretVersions": "inspect secret-versions",
    "ScheduleSecretVersionDeletion": "manage secret-versions",
}
"""The verb and resource type that a policy statement has to name, by operation. Source: "Details for Vault, Key
Management, and Secret Management", Permissions Required for Each API Operation."""


def error_of(response: Response, what: str, *, operation: str, grantee: str) -> Error:
    """The error to raise for an answer that is a refusal.

    ``what`` names the secret; ``grantee`` is whom a policy statement has to name.
    """
    code, message = code_and_message(response)
    text = f"{what}: {code or response.status}" + (f": {message.rstrip('.')}" if message else "")
    if response.location and 300 <= response.status < 400:
        return ConfigError(f"{text}: the answer leads to {response.location}", hint=_REDIRECTED)
    match response.status:
        case 401:
            return ConfigError(text, hint=_UNAUTHENTICATED)
        case 403:
            return Denied(text, hint=_policy(operation, grantee))
        case 404:
            return NotFound(
                f"{text} (OCI answers the same for what is missing and for what is forbidden)",
                hint=f"check the OCID and the region; the policy statement is:\n  {_policy(operation, grantee)}",
            )
        case 409 if code == "IncorrectState":
            return Error(text, hint=_EXPIRED)
        case status if status in PASSING:
            return Transient(text, retry_after=retry_after(response.headers))
        case _:
            return Error(text)


def _policy(operation: str, grantee: str) -> str:
    return f"allow {grantee} to {GRANTS[operation]} in compartment <its compartment>"
