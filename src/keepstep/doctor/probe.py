"""Questions, asked all at once, each with a deadline of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec

from keepstep.doctor.check import Check, of_error, unknown
from keepstep.errors import Error

P = ParamSpec("P")
Answer = Check | Sequence[Check]

DEADLINE = 25.0
"""Seconds for one question: more than one connection attempt, less than people's patience."""


def blocking(work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Callable[[], Awaitable[Answer]]:
    """A question that looks at this machine, asked on a thread."""
    return lambda: asyncio.to_thread(work, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Probe:
    """One question. ``ask`` changes nothing, and may raise :class:`Error`."""

    name: str
    about: str
    ask: Callable[[], Awaitable[Answer]]
    is_needed: bool = True
    """Whether the job itself has to be able to do what is tried."""
    job: str = ""


async def examine(probes: Iterable[Probe], deadline: float = DEADLINE) -> list[Check]:
    """The answers, in the order of the questions. Raises nothing."""
    answers = await asyncio.gather(*(_answer(probe, deadline) for probe in probes))
    return [check for found in answers for check in found]


async def _answer(probe: Probe, deadline: float) -> list[Check]:
    try:
        async with asyncio.timeout(deadline):
            found = await probe.ask()
    except TimeoutError:
        found = of_error(probe.name, probe.about, _silence(deadline), is_needed=probe.is_needed)
    except Error as error:
        found = of_error(probe.name, probe.about, error, is_needed=probe.is_needed)
    except ModuleNotFoundError as error:
        found = unknown(probe.name, probe.about, f"this needs the library {error.name}, which is not installed")
    checks = [found] if isinstance(found, Check) else list(found)
    return [replace(check, job=probe.job) for check in checks]


def _silence(deadline: float) -> Error:
    return Error(
        f"no answer within {deadline:.0f} s",
        hint="is the way there open? routes, firewall, proxy, DNS, private endpoints",
    )
