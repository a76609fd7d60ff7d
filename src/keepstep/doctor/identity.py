"""Checks the identity in each cloud, and when it expires."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.http import Response
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_service import OciService, quoted
from keepstep.clouds.oci_signing import SigningKey
from keepstep.doctor.check import Check, fail, ok
from keepstep.doctor.context import ProbeContext
from keepstep.errors import ConfigError, Denied, Error, Transient
from keepstep.units import in_words
from keepstep.vaults.aws_calls import AwsCalls

_SHORT = timedelta(minutes=5)
"""Credentials that are not renewed and expire sooner than this are useless for a run."""


async def on_aws(context: ProbeContext, identity: AwsIdentity) -> Check:
    """GetCallerIdentity needs no permission (STS API reference)."""
    credentials = await identity.credentials()
    if credentials is None:
        return ok("aws-identity", "AWS", "requests are not signed (--no-sign-request)")
    calls = AwsCalls("sts", identity)
    try:
        answer = await calls.call("GetCallerIdentity", "AWS", identity.config.region or "us-east-1")
    finally:
        await calls.close()
    ends = credentials.expires_at
    is_renewed = credentials.method not in ("env", "explicit", "shared-credentials-file", "config-file")
    return _until(
        context.clock.now(),
        "aws-identity",
        answer.text("Arn"),
        f"by {credentials.method}",
        ends if not is_renewed else None,
        f", renewed before {ends:%Y-%m-%d %H:%M:%S} UTC"
        if ends and is_renewed
        else _of_session(bool(credentials.token)),
    )


def _of_session(has_token: bool) -> str:
    return ", with a session token that cannot be renewed" if has_token else ", which does not expire"


async def on_oci(identity: OciIdentity) -> Check:
    """ListRegionSubscriptions: any response but 401 means that the signature was accepted."""
    key = await identity.key()
    service = OciService("identity", identity)
    try:
        path = f"/20160918/tenancies/{quoted(key.tenancy)}/regionSubscriptions"
        await service.call("ListRegionSubscriptions", "GET", path, lambda response: refusal(response, identity))
    except Denied:
        pass  # the identity is known but may not list regions, which no job needs
    finally:
        await service.close()
    who, kind = subject_of(key), identity.kind.replace("_", " ")
    text = f"{kind}, tenancy {key.tenancy or 'not known'}, region {key.region or 'not known'}"
    later = (
        f", renewed before {key.expires_at:%Y-%m-%d %H:%M:%S} UTC" if key.expires_at else ", which does not expire"
    )
    return ok("oci-identity", who, text + later)


def refusal(response: Response, identity: OciIdentity) -> Error:
    """Interprets the response of OCI's identity service."""
    match response.status:
        case 401:
            return ConfigError(
                f"OCI refuses the signature of the {identity.kind.replace('_', ' ')} (401 NotAuthenticated)",
                hint="the key is not registered for this user (Identity, Users, API Keys), or this machine's clock "
                "is more than 5 minutes off",
            )
        case 403 | 404:
            return Denied(
                "OCI does not allow reading the tenancy",
                hint=f"allow {identity.grantee} to inspect tenancies in tenancy",
            )
        case status:
            return Transient(f"OCI's identity service returned {status}")


def subject_of(key: SigningKey) -> str:
    """The user of an API key or a session token; never the token itself."""
    if not key.key_id.startswith("ST$"):
        return key.key_id.split("/")[1] if key.key_id.count("/") == 2 else "API key"
    try:
        payload = key.key_id.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims.get("sub") or "session")
    except (LookupError, ValueError):
        return "session"


def _until(now: datetime, name: str, about: str, text: str, ends: datetime | None, more: str) -> Check:
    if ends is None:
        return ok(name, about, text + more)
    left = ends - now
    if left < _SHORT:
        return fail(
            name, about, f"{text}; it ends in {in_words(left)}", "sign in again, or use credentials that renew"
        )
    return ok(name, about, f"{text}, until {ends:%Y-%m-%d %H:%M:%S} UTC")
