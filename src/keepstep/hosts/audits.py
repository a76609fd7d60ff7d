"""Verifies the jobs' audit logs from time to time, with ``keepstep audit verify``.

A damaged log does not show in any run before the next rotation, if ever, so the daemon checks it. Each check is a
separate process, as runs are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from keepstep.clock import Clock
from keepstep.errors import Error, ExitCode
from keepstep.hosts.children import Child, Launch
from keepstep.hosts.work import Work
from keepstep.jobs.resolve import resolved_jobs
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.monitoring.conditions import Audited, Watch

_EVERY = timedelta(hours=6).total_seconds()
_AGAIN = timedelta(hours=1).total_seconds()
"""Seconds until the next check if the log is broken or could not be read."""
_LONGEST = timedelta(minutes=30)
_READ = (ExitCode.DONE, ExitCode.FAILED, ExitCode.SKIPPED)


class Audits:
    """The last result for each job's log. For one event loop."""

    def __init__(self, log: Any, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._known: dict[str, Audited] = {}
        self._next: dict[str, float] = {}

    def forget(self) -> None:
        """Forgets all results, so that after a reload every log is checked again."""
        self._next = {}

    def told(self, watches: Iterable[Watch]) -> list[Watch]:
        """The watches, completed with what is known of the jobs' logs."""
        return [replace(watch, audited=self._known.get(watch.job)) for watch in watches]

    async def look(self, work: Work) -> None:
        """Verifies the logs that are due, one after the other. Raises nothing that a log can cause."""
        for job in resolved_jobs(work.config):
            if not isinstance(job, ResolvedRotation) or not job.job.audit:
                continue
            name = job.name
            if self._clock.monotonic() < self._next.get(name, float("-inf")):
                continue
            self._next[name] = self._clock.monotonic() + _AGAIN
            try:
                found = await self._verified(work, job)
            except (Error, OSError) as exc:
                self._log.warning("audit log not verified", job=name, error=str(exc))
                continue
            if found is None:
                continue
            if found.problem:  # to be checked again soon
                self._log.error("audit log verified", job=name, problem=found.problem)
            else:
                self._log.info("audit log verified", job=name)
                self._next[name] = self._clock.monotonic() + _EVERY
            self._known[name] = found

    async def _verified(self, work: Work, job: ResolvedRotation) -> Audited | None:
        places = job.audit
        assert places, "only jobs with an audit log are verified"
        address = str(places.log)
        output = os.memfd_create("verdict", os.MFD_CLOEXEC)
        try:
            config = ["--config", f"/dev/fd/{work.snapshot}", "--json"]
            launch = Launch(
                words=[*config, "audit", "verify", "--", address],
                descriptors=[work.snapshot],
                deadline=_LONGEST,
                output=output,
            )
            at = self._clock.now()
            said: list[str] = []
            child = await Child.start(launch, {})
            try:
                code = await child.ended(said.append)
            except BaseException:
                child.kill()
                raise
            text = os.pread(output, os.fstat(output).st_size, 0)
        finally:
            os.close(output)
        with suppress(ValueError, KeyError, TypeError):
            if code in _READ:
                problems = [problem["text"] for log in json.loads(text)["logs"] for problem in log["problems"]]
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                return Audited(at, address, f"{problems[0]}{more}" if problems else "")
        self._log.warning("audit log not verified", address=address, exit_code=code, error=" ".join(said)[-2000:])
        return None
