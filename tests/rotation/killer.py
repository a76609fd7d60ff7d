"""Ticks that end at a given write: a process that reads one request a line, and forks for each.

A request is JSON: a credential as ``Scene.described`` gives it, ``now``, and ``kill_at``: the number of the moment
at which the child kills itself, null for none. Each write to a store or database is two moments, before it and
after it. The answer is the child's status, negative for a signal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar

from keepstep.clouds.aws import AwsIdentity
from keepstep.databases.mysql_session import MysqlSession
from keepstep.databases.postgres import PostgresSession
from keepstep.rotation.tick import Tick
from keepstep.runs.report import Action, Failure, Report
from keepstep.vaults.aws_staging import SecretsManagerStages
from keepstep.vaults.oci_staging import OciVaultStages
from tests.rotation.wiring import wired

T = TypeVar("T")

WRITES: list[tuple[type, str]] = [
    (SecretsManagerStages, "put"),
    (SecretsManagerStages, "move"),
    (OciVaultStages, "stage"),
    (OciVaultStages, "promote"),
    (PostgresSession, "set_password"),
    (MysqlSession, "set_password"),
]


class Moments:
    """Counts, and kills."""

    def __init__(self, kill_at: int | None) -> None:
        self._kill_at = kill_at
        self._count = 0
        for kind, name in WRITES:
            setattr(kind, name, self._counted(getattr(kind, name)))

    def _counted(self, call: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def counted(*args: Any, **kwargs: Any) -> T:
            self._pass()
            answer = await call(*args, **kwargs)
            self._pass()
            return answer

        return counted

    def _pass(self) -> None:
        if self._count == self._kill_at:
            signal.raise_signal(signal.SIGKILL)
        self._count += 1


class Lines:
    def said(self, text: str) -> None:
        print(text, file=sys.stderr)

    def did(self, action: Action) -> None:
        print(action.reason, file=sys.stderr)

    def failed(self, failure: Failure) -> None:
        print(failure, file=sys.stderr)

    def warned(self, text: str) -> None:
        print(text, file=sys.stderr)


async def warmed() -> AwsIdentity:
    """An identity whose session has read AWS's models already."""
    identity = AwsIdentity()
    session = await identity.botocore_session()
    session.create_client("secretsmanager").close()
    return identity


async def run(request: dict[str, Any], identity: AwsIdentity) -> int:
    report = Report("rotate", request["arn"], request["ocid"], datetime.now(UTC))
    async with AsyncExitStack() as stack:
        rotation = wired(request, stack, identity)
        await Tick(rotation, report, Lines(), is_forced=request["now"]).run()
    return int(report.exit_code)


def main() -> None:
    identity = asyncio.run(warmed())
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            Moments(request["kill_at"])
            os._exit(asyncio.run(run(request, identity)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
