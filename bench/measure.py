"""Runs a command as its own process and says what it cost: wall seconds, CPU seconds, peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of one run; the server's share is not in it."""

    wall: float
    """Seconds."""
    cpu: float
    """User and system seconds of the process and its children."""
    memory: int
    """Peak resident bytes of the largest process."""


@dataclass(frozen=True)
class Contender:
    """A tool, and how it is called for one piece of work."""

    name: str
    command: Sequence[str]


class Failed(Exception):
    """A contender did not do the work."""


def run(command: Sequence[str], env: dict[str, str], *, timeout: float = 900) -> Cost:
    """Raises :class:`Failed` with the last lines when the command does not end with 0.

    A small process starts it: what a process needed before it became another program counts as that one's memory.
    """
    os.sync()  # what the one before has left to be written is not this one's
    launch = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    result = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=timeout, check=True)
    *said, figures = result.stdout.splitlines()
    code, wall, cpu, memory = json.loads(figures)
    if code:
        raise Failed(f"{command[0]} ended with {code} after {wall:.0f} s:\n" + "\n".join(said)[-600:])
    return Cost(wall, cpu, memory * 1024)


_LAUNCHER = """
import os, sys, time
start = time.monotonic()
pid = os.fork()
if not pid:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(1, 2)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
wall = time.monotonic() - start
print([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss])
"""


def alternate(contenders: Sequence[Contender], env: dict[str, str], runs: int) -> dict[str, list[Cost]]:
    """Each contender in turn, so often; so that what else the machine does hits all alike."""
    costs: dict[str, list[Cost]] = {one.name: [] for one in contenders}
    for _ in range(runs):
        for one in contenders:
            costs[one.name].append(run(one.command, env))
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(c.wall for c in costs),
        statistics.median(c.cpu for c in costs),
        int(statistics.median(c.memory for c in costs)),
    )
