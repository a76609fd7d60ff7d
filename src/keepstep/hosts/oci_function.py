"""OCI Functions: ``fdk …/keepstep/hosts/oci_function.py handler``. Answers 200, or 502, with the run report.

502 is what the platform counts as an error of the function. The fdk turns every other status but 504 into 200, and
a failed run would be a success in the metrics.

The fdk sets the root logger to DEBUG. Libraries that would then log requests, with secrets in them, run in a
separate process, and are limited in this one before they are loaded.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from fdk.response import Response

from keepstep.errors import Error
from keepstep.hosts.invocation import run_event, say

_DEFAULT = 30.0
"""Seconds, if the host does not say."""
_FAILED = 502


async def handler(context: Any, data: Any = None) -> Any:
    """Runs the job named by ``{"job": "NAME"}``, or the only one; without keepstep.toml, the rotation."""
    logging.getLogger().setLevel(logging.WARNING)
    try:
        outcome = await run_event(_event(data), remaining=_remaining(context))
    except Error as error:
        say("error", error=error.message, hint=error.hint)
        return _answer(context, {"outcome": "misconfigured", "error": error.message, "hint": error.hint}, _FAILED)
    if not outcome.is_well:
        say("run failed", report=outcome.report)
    return _answer(context, outcome.report, 200 if outcome.is_well else _FAILED)


def _event(data: Any) -> object:
    """The body as JSON; any other body names no job."""
    try:
        return json.loads(data.getvalue()) if data else {}
    except ValueError:
        return {}


def _remaining(context: Any) -> float:
    """Seconds until the host's deadline."""
    deadline = context.Deadline()
    if not deadline:
        return _DEFAULT
    try:
        ends = datetime.fromisoformat(deadline.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return _DEFAULT
    if ends.tzinfo is None:
        ends = ends.replace(tzinfo=UTC)
    return (ends - datetime.now(UTC)).total_seconds()


def _answer(context: Any, report: dict[str, Any], status: int) -> Response:
    headers = {"Content-Type": "application/json"}
    return Response(context, response_data=json.dumps(report), headers=headers, status_code=status)
