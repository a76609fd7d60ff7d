"""Translates errors on the way to AWS credentials, each with the next step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keepstep.clouds.document import shortened
from keepstep.clouds.sdk_guard import ours, too_much
from keepstep.errors import ConfigError, Denied, Error, Transient

_CALLER = re.compile(r"User: (arn:\S+) is not authorized")
_ROLE = re.compile(r"on resource: (arn:\S+)")
_ASSUMED = re.compile(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*")

_BAD_KEYS = {
    "InvalidClientTokenId": "AWS does not know this access key",
    "UnrecognizedClientException": "AWS does not know this access key",
    "SignatureDoesNotMatch": "the secret key does not belong to this access key",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
}
"""Answers that mean: the credentials themselves are wrong, whatever they may do."""


@contextmanager
def translated(profile: str, *, role: str = "", caller: str = "", external_id: str = "") -> Iterator[None]:
    """botocore's errors as ours. ``role`` is the role being assumed, ``caller`` who assumes it, if known."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    try:
        yield
    except boto.ClientError as exc:
        raise _answered(exc, role=role, caller=caller, external_id=external_id) from exc
    except (boto.ConnectionError, boto.HTTPClientError) as exc:
        if error := ours(exc):
            raise error from exc
        if isinstance(exc, boto.SSLError):
            raise ConfigError(f"AWS could not be trusted: {exc}", hint="name your CA in AWS_CA_BUNDLE") from exc
        raise Transient(f"cannot get AWS credentials: {too_much(exc) or exc}") from exc
    except ResponseParserError as exc:
        raise Transient("cannot get AWS credentials: the answer is not AWS's (a proxy?)") from exc
    except boto.BotoCoreError as exc:
        raise unanswered(exc, profile) from exc
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # not "from exc": the text of these may quote what was answered
        raise Transient("cannot get AWS credentials: the answer holds none (a proxy, or no AWS?)") from None
    except EOFError as exc:
        raise ConfigError(
            f"the AWS profile {profile} asks for an MFA code, which an unattended run cannot enter",
            hint="use a profile without mfa_serial for unattended runs",
        ) from exc


def nothing_found(profile: str, config_file: str, credentials_file: str) -> ConfigError:
    """No source had any credentials."""
    return ConfigError(
        "no AWS credentials: not in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), not in the "
        f"profile {profile} of {credentials_file} and {config_file}, not from a container or web identity "
        "(AWS_CONTAINER_CREDENTIALS_*, AWS_WEB_IDENTITY_TOKEN_FILE), not from EC2 instance metadata (IMDS)",
        hint="set the two variables, or AWS_PROFILE, or give this machine an IAM role; on EC2 an instance profile "
        "must be attached, and inside a container IMDSv2 needs a hop limit of 2; public buckets: --no-sign-request",
    )


def unanswered(exc: Any, profile: str) -> Error:
    """What botocore says of files and settings, before anybody is asked."""
    from botocore import exceptions as boto

    if isinstance(exc, boto.ProfileNotFound):
        return ConfigError(
            f"the AWS profile {exc.kwargs['profile']} does not exist",
            hint="list the profiles with: aws configure list-profiles; name one in AWS_PROFILE or --profile",
        )
    if isinstance(exc, boto.ConfigParseError):
        return ConfigError(f"the AWS configuration cannot be read: {exc}", hint="fix that file: aws configure list")
    if isinstance(exc, boto.PartialCredentialsError):
        return ConfigError(
            f"half of the AWS credentials is missing: {exc.kwargs['cred_var']} (source: {exc.kwargs['provider']})",
            hint="set the access key and the secret key together, or neither",
        )
    if isinstance(exc, boto.SSOError | boto.TokenRetrievalError):
        return ConfigError(
            f"the SSO session of the AWS profile {profile} has expired or was never started",
            hint=f"run: aws sso login --profile {profile}",
        )
    if isinstance(exc, boto.LoginError):
        return ConfigError(f"the AWS login has expired: {exc}", hint=f"run: aws login --profile {profile}")
    return ConfigError(f"no AWS credentials from the profile {profile}: {shortened(str(exc))}")


def _answered(exc: Any, *, role: str, caller: str, external_id: str) -> Error:
    code = shortened(str(exc.response.get("Error", {}).get("Code", "")))
    text = shortened(str(exc.response.get("Error", {}).get("Message", "")))
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or status == 429 or code.startswith(("Throttl", "TooManyRequests")):
        return Transient(f"AWS could not answer {exc.operation_name}: {code}")
    if code.startswith("AccessDenied") and "AssumeRole" in exc.operation_name:
        return _may_not_assume(exc.operation_name, text, role=role, caller=caller, external_id=external_id)
    if code in ("RequestExpired", "RequestTimeTooSkewed") or "Signature expired" in text:
        return ConfigError(f"this machine's clock is wrong ({code})", hint="set the time, and keep it with NTP")
    if meaning := _BAD_KEYS.get(code):
        return ConfigError(f"{meaning} ({exc.operation_name}: {code})", hint="replace or renew the credentials")
    return Denied(f"AWS refused {exc.operation_name}: {code}: {text}")


def _may_not_assume(operation: str, text: str, *, role: str, caller: str, external_id: str) -> Denied:
    role = role or _found(_ROLE, text) or "the role"
    caller = _found(_CALLER, text) or caller
    trusted = _ASSUMED.sub(r"arn:\1:iam::\2:role/\3", caller)
    trust: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": trusted or "<the caller's ARN>"}}
    trust["Action"] = f"sts:{operation}"
    if external_id:
        trust["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    grant = {"Effect": "Allow", "Action": f"sts:{operation}", "Resource": role}
    if operation == "AssumeRoleWithWebIdentity":
        return Denied(
            f"the web identity may not assume {role}",
            hint="the role's trust policy must name the identity provider, and its conditions match the token",
        )
    return Denied(
        f"{caller or 'the caller'} may not assume {role}",
        hint=f"the trust policy of the role needs {json.dumps(trust)}, and the caller's policy {json.dumps(grant)}",
    )


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
