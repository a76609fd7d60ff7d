"""Runs a job in a separate process, so that a crash, a hang or a lack of memory harms nothing else."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from keepstep.lifeline import LIFELINE

DEADLINE = "KEEPSTEP_DEADLINE"

_LINE = 64 * 1024
"""Maximum bytes of a line of output; longer ones are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start a job's process."""

    words: Sequence[str]
    """Arguments of the command ``keepstep``."""
    deadline: timedelta | None = None
    memory: int | None = None
    """Maximum bytes of data of the process."""
    grace: float = 20.0
    """Seconds between SIGTERM, after which a run finishes transfers in flight, and SIGKILL."""
    output: int | None = None
    """Descriptor for its standard output; only its standard error is then logged."""
    descriptors: Sequence[int] = ()
    """Descriptors that the process inherits, under the same numbers."""
    says_itself: bool = False
    """Whether it shares this process's output, instead of being logged line by line."""
    after: Callable[[int], None] | None = None
    """Called after each run with its exit code; may block, raises :class:`Error`."""
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A started run."""

    def __init__(self, process: Process, launch: Launch, lifeline: int) -> None:
        self._process = process
        self._launch = launch
        self._lifeline = lifeline
        self.was_overdue = False

    @classmethod
    async def start(cls, launch: Launch, environment: Mapping[str, str]) -> Child:
        """Starts the process. Raises ``OSError`` if the machine cannot."""
        if launch.deadline:
            environment = {**environment, DEADLINE: str(time.monotonic() + launch.deadline.total_seconds())}
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        try:
            environment = {**environment, LIFELINE: str(theirs)}
            process = await _spawn(launch, environment, theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, launch, ours)

    async def ended(self, said: Callable[[str], None]) -> int:
        """Waits for the exit code; ``said`` gets every line of output. Negative: the number of a signal.

        Whatever it left running in its process group is killed too.
        """
        limit = self._launch.deadline.total_seconds() if self._launch.deadline else None
        reading = asyncio.create_task(_read(self._process, said))
        try:
            async with asyncio.timeout(limit):
                await self._process.wait()
        except TimeoutError:
            self.was_overdue = True
            await self.stop()
        code = await self._process.wait()
        self._end_group()
        os.close(self._lifeline)
        # Do not wait for a process that left the group but holds the pipe open.
        with suppress(TimeoutError):
            await asyncio.wait_for(reading, 5)
        return code

    async def stop(self) -> None:
        """Sends SIGTERM and, after a grace period, kills it with everything that it started."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._launch.grace):
                await self._process.wait()
        except TimeoutError:
            self._end_group()

    def kill(self) -> None:
        """Kills it at once, with everything that it started, without waiting for its end."""
        self._end_group()

    def _end_group(self) -> None:
        """Signals the group. The process leads it, so the group has its number."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


async def _spawn(launch: Launch, environment: Mapping[str, str], lifeline: int) -> Process:
    """Starts the command without a terminal, in its own session, as the first candidate of the OOM killer."""
    told = None if launch.says_itself else PIPE
    apart = launch.output is not None
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-m", "keepstep", *launch.words],
        stdin=DEVNULL,
        stdout=launch.output if apart else told,
        stderr=told if apart or launch.says_itself else STDOUT,
        env={**os.environ, **launch.environment, **environment},
        pass_fds=(*launch.descriptors, lifeline),
        limit=_LINE,
        start_new_session=True,
    )
    _offer(process.pid)
    if launch.memory:
        with suppress(OSError, ValueError):
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (launch.memory, launch.memory))
    return process


def _offer(pid: int) -> None:
    """Makes a process the first candidate of the OOM killer."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("500")


async def _read(process: Process, said: Callable[[str], None]) -> None:
    stream = process.stdout or process.stderr
    while stream is not None:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as exc:
            line = exc.partial
        except asyncio.LimitOverrunError as exc:
            line = await stream.readexactly(exc.consumed)
        if not line:
            return
        said(line.decode(errors="replace").rstrip("\n"))
