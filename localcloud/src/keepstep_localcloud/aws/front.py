"""Whom a request to the local AWS is for, and what a fault makes of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from keepstep_localcloud.aws import moto
from keepstep_localcloud.aws.http import Request, Response
from keepstep_localcloud.aws.journal import Journal
from keepstep_localcloud.aws.operations import Scope, action, s3_operation, scope
from keepstep_localcloud.aws.s3 import S3
from keepstep_localcloud.clock import Clock
from keepstep_localcloud.faults import Effect, Faults
from keepstep_localcloud.secretsmanager.service import SecretsManager

PARAMETER_WRITES = frozenset(
    {
        "PutParameter",
        "DeleteParameter",
        "DeleteParameters",
        "LabelParameterVersion",
        "UnlabelParameterVersion",
        "AddTagsToResource",
        "RemoveTagsFromResource",
    }
)
"""The SSM operations that are kept on disk."""

CODES = {
    "s3": {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 500: "InternalError", 503: "SlowDown"},
    "secretsmanager": {400: "InvalidRequestException", 500: "InternalServiceError"},
}
"""A service's own code for a status, where the fault names none; see also ``_ERRORS``."""
_ERRORS = {
    400: "InvalidRequest",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalFailure",
    503: "ServiceUnavailable",
}
"""Common errors of all services ("Common error types")."""


class Front:
    """Everything behind the local AWS's port; ``directory`` None keeps it in memory."""

    def __init__(self, directory: Path | None, clock: Clock, faults: Faults) -> None:
        self._faults = faults
        moto.reset()
        self._journal = Journal(directory / "aws.db") if directory else None
        self._secrets = SecretsManager(directory / "secretsmanager.db" if directory else None, clock)
        self._s3 = S3(self._journal)
        self._everything = moto.Everything()

    def close(self) -> None:
        self._secrets.close()
        if self._journal:
            self._journal.close()
        moto.reset()

    def answer(self, request: Request) -> Response:
        if request.path == Faults.PATH:
            status, report = self._faults.serve(request.method, request.body)
            return Response(status, json.dumps(report).encode(), {"content-type": "application/json"})
        meant = _meant(request)
        operation = s3_operation(request) if meant.service == "s3" else action(request)
        effect = self._faults.take(operation, request.target)
        if effect is None:
            return self._serve(meant, operation, request)
        time.sleep(effect.latency_ms / 1000)
        if effect.status is not None:
            response = _error(meant.service, effect, request)
        else:
            response = self._serve(meant, operation, request, stale=effect.stale)
        return replace(response, cut=effect.cut, lost=effect.lose_reply)

    def _serve(self, meant: Scope, operation: str, request: Request, *, stale: bool = False) -> Response:
        if meant.service == "secretsmanager":
            return self._secrets.answer(operation, meant.region, request.body, stale=stale)
        if meant.service == "s3":
            return self._s3.answer(operation, request, stale=stale)
        if meant.service == "ssm" and self._journal:
            return self._parameters(self._journal, meant.region, operation, request)
        return self._everything.ask(request)

    def _parameters(self, journal: Journal, region: str, operation: str, request: Request) -> Response:
        journal.load_parameters(region)
        response = self._everything.ask(request)
        if operation in PARAMETER_WRITES and response.status == 200:
            journal.note_parameters(region)
        return response


def _meant(request: Request) -> Scope:
    """The signature's service. Nobody signs for the metadata service and AssumeRoleWithWebIdentity."""
    found = scope(request)
    if found and "x-amz-account-id" in request.headers:  # S3 Control signs as S3
        return replace(found, service="s3control")
    if not found and (request.path.startswith("/latest/") or (request.method, request.path) == ("POST", "/")):
        return Scope("unsigned", "us-east-1")
    return found or Scope("s3", "us-east-1")


def _error(service: str, effect: Effect, request: Request) -> Response:
    """The fault's status as the service would say it: XML for S3 and the query services, else JSON."""
    status = effect.status or 500
    code = effect.code or CODES.get(service, {}).get(status) or _ERRORS.get(status, "InternalFailure")
    message = effect.message or "a fault was asked for"
    if "x-amz-target" in request.headers:
        body, content_type = json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1"
    else:
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        content_type = "text/xml"
    content = b"" if request.method == "HEAD" else body.encode()
    return Response(status, content, {"content-type": content_type, **effect.headers})
