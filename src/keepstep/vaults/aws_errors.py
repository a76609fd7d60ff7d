"""Translates errors of Secrets Manager and SSM, with the IAM statement that is missing.

Codes: the "Errors" sections of GetSecretValue and GetParameter in AWS's API references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keepstep.clouds.aws_errors import translated as translated_credentials
from keepstep.clouds.document import shortened
from keepstep.clouds.retry import PASSING, retry_after
from keepstep.clouds.sdk_guard import ours, too_much
from keepstep.errors import ConfigError, Conflict, Corrupt, Denied, Error, NotFound, Transient

_MISSING = frozenset({"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"})
_PASSING = frozenset({"InternalServiceError", "InternalServerError", "InternalFailure", "ServiceUnavailable"})
_NO_KEY = frozenset(
    {"DecryptionFailure", "EncryptionFailure", "InvalidKeyId", "KMSAccessDeniedException", "KMSDisabledException"}
)
_MOVED = ("InvalidParameterException", "secretsmanager:UpdateSecretVersionStage")
"""A label is not where it was looked for."""
_RESOURCE = re.compile(r"on resource: (\S+)")


@contextmanager
def translated(what: str, action: str, profile: str) -> Iterator[None]:
    """Translates botocore's errors. ``action`` is the one that IAM knows: ``secretsmanager:GetSecretValue``."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    with translated_credentials(profile):
        try:
            yield
        except boto.ClientError as exc:
            if error := _answered(exc, what, action):
                raise error from exc
            raise
        except boto.SSLError:
            raise
        except (boto.ConnectionError, boto.HTTPClientError) as exc:
            if error := ours(exc):
                raise error from exc
            why = too_much(exc) or f"no answer from {exc.kwargs.get('endpoint_url') or 'AWS'}"
            raise Transient(f"{what}: {why}") from exc
        except boto.NoRegionError as exc:
            raise ConfigError(f"{what}: no AWS region is known", hint="set AWS_REGION, or write the ARN") from exc
        except boto.ParamValidationError as exc:
            raise ConfigError(f"{what}: AWS has no such names") from exc
        except ResponseParserError:
            raise Transient(f"{what}: the answer is not AWS's (a proxy?)") from None
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            # what botocore's parsers raise for fields of other types; not "from exc", which may quote them
            raise Corrupt(f"{what}: the answer's fields are not what AWS promises") from None


def _answered(exc: Any, what: str, action: str) -> Error | None:
    """None for what is about credentials, not about the secret."""
    code = shortened(str(exc.response.get("Error", {}).get("Code", "")))
    message = shortened(str(exc.response.get("Error", {}).get("Message", "")))
    metadata = exc.response.get("ResponseMetadata", {})
    text = f"{what}: {code}" + (f": {message.rstrip('.')}" if message else "")
    status = metadata.get("HTTPStatusCode", 0)
    if code in _PASSING or code.startswith(("Throttl", "TooManyRequests")) or status in PASSING:
        return Transient(text, retry_after=retry_after(metadata.get("HTTPHeaders", {})))
    if code in _MISSING or (code == "InvalidRequestException" and "delet" in message):
        return NotFound(text, hint="check the name, the region and the account")
    if code in _NO_KEY or (code.startswith("AccessDenied") and "KMS" in message):
        return Denied(text, hint=f"the secret's key must allow it: {_statement('kms:Decrypt', '<its key>')}")
    if code.startswith("AccessDenied"):
        found = _RESOURCE.search(message)
        return Denied(text, hint=f"the caller's policy needs {_statement(action, found[1] if found else what)}")
    if code == "ResourceExistsException" or (code, action) == _MOVED:
        return Conflict(text)
    if code == "LimitExceededException":
        return Error(text, hint="a secret has 100 versions at most, and AWS removes none within a day")
    if code.startswith(("InvalidParameter", "InvalidRequest", "Validation")):
        return ConfigError(text)
    return None


def _statement(action: str, resource: str) -> str:
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
