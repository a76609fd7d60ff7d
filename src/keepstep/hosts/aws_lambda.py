"""AWS Lambda: ``keepstep.hosts.aws_lambda.handler``.

It raises if a run fails, so that retries, the dead-letter queue and alarms notice, and returns the run report
otherwise. Metrics are written to the log in CloudWatch's embedded format.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from keepstep.errors import Error
from keepstep.hosts.emf import emf_line
from keepstep.hosts.invocation import run_event, say


class RunFailed(Exception):
    """A failed run. The message says why, and what to do."""


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Runs the job named by ``{"job": "NAME"}``, or the only one; without keepstep.toml, the rotation."""
    try:
        outcome = asyncio.run(run_event(event, remaining=context.get_remaining_time_in_millis() / 1000))
    except Error as error:
        say("error", error=error.message, hint=error.hint)
        raise RunFailed(f"{error.message}" + (f" ({error.hint})" if error.hint else "")) from None
    line = emf_line(outcome.report, seconds=outcome.seconds, is_good=outcome.is_well, now=datetime.now(UTC))
    print(line, flush=True)  # noqa: T201 - CloudWatch reads it
    if not outcome.is_well:
        say("run failed", report=outcome.report)
        raise RunFailed(outcome.words)
    report: dict[str, Any] = json.loads(json.dumps(outcome.report))
    return report
