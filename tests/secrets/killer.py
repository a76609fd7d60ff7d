"""Runs of the engine that end at a given step: a process that reads one request a line, and forks for each.

A request is JSON: ``secrets`` (name to text), ``files`` and ``sets`` as in keepstep.toml, ``kill_at``: the number
of the step before which the child is to kill itself, null for none. A step is a call that changes what others can
see; with ``every`` any call that touches files. The answer is the child's status, negative for a signal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from keepstep.containers.interface import Kind
from keepstep.containers.pid_file import PidFiles
from keepstep.runs.report import Action, Failure, Report
from keepstep.secrets.apply import Apply
from keepstep.secrets.plan import make_plan
from keepstep.secrets.settings import SecretFile, SecretSet
from keepstep.testing.vaults import MemoryVault

CHANGES = "write fchmod fchown chmod rename unlink mkdir rmdir symlink".split()
OTHERS = "fsync close stat fstat listdir readlink".split()
"""What our code does to files. Other people's calls are not counted."""


class Steps:
    """Counts, and kills."""

    def __init__(self, kill_at: int | None, *, every: bool) -> None:
        self.count = 0
        self._kill_at = kill_at
        for name in [*CHANGES, "open", *(OTHERS if every else [])]:
            setattr(os, name, self._counted(getattr(os, name), every=every or name != "open"))
        signal.pidfd_send_signal = self._counted(signal.pidfd_send_signal, every=True)

    def _counted(self, call: Callable[..., Any], *, every: bool) -> Callable[..., Any]:
        """``every`` False: only what makes a file."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            caller = str(sys._getframe(1).f_globals.get("__name__"))
            is_ours = caller.startswith(("keepstep.secrets.", "keepstep.containers."))
            if is_ours and (every or args[1] & os.O_CREAT):
                if self.count == self._kill_at:
                    signal.raise_signal(signal.SIGKILL)
                self.count += 1
            return call(*args, **kwargs)

        return counted


class Silence:
    def did(self, action: Action) -> None: ...

    def kept(self, action: Action) -> None: ...

    def failed(self, failure: Failure) -> None:
        print(failure, file=sys.stderr)

    def warned(self, text: str) -> None: ...


async def run(request: dict[str, Any]) -> int:
    vault = MemoryVault()
    for name, text in request["secrets"].items():
        vault.put(name, text)
    plan = make_plan(
        files=[SecretFile.model_validate(each) for each in request.get("files", ())],
        sets=[SecretSet.model_validate(each) for each in request.get("sets", ())],
    )
    report = Report("secrets", "test", "host", datetime.now(UTC))
    job = Apply(plan, {"aws-sm": vault}, {Kind.PID_FILE: PidFiles()}, report, Silence())
    return int((await job.run()).exit_code)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            Steps(request["kill_at"], every=request["every"])
            os._exit(asyncio.run(run(request)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
