"""Questions, asked all at once, each with a deadline of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec

from keepstep.doctor.check import Check, Verdict, of_error, unknown
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
    after: str = ""
    """The name of a probe of the same job and thing, without whose success this one makes no sense."""


async def examine(probes: Iterable[Probe], deadline: float = DEADLINE) -> list[Check]:
    """The answers, in the order of the questions. Raises nothing."""
    answers: dict[tuple[str, str, str], asyncio.Task[list[Check]]] = {}

    async def answer(probe: Probe) -> list[Check]:
        needed = answers.get((probe.job, probe.about, probe.after)) if probe.after else None
        if needed and any(check.verdict is Verdict.FAIL for check in await needed):
            return [replace(_not_tried(probe.name, probe.about, probe.after), job=probe.job)]
        return await _answer(probe, deadline)

    tasks = []
    for probe in probes:
        tasks.append(asyncio.create_task(answer(probe)))
        answers.setdefault((probe.job, probe.about, probe.name), tasks[-1])
    return _without_echoes([check for found in await asyncio.gather(*tasks) for check in found])


def _without_echoes(checks: Iterable[Check]) -> list[Check]:
    """One cause is one failure: a check that fails with the words of an earlier one was not tried."""
    first: dict[tuple[str, str | None], Check] = {}
    found = []
    for check in checks:
        if check.verdict is Verdict.FAIL:
            before = first.setdefault((check.text, check.fix), check)
            if before is not check:
                check = replace(_not_tried(check.name, check.about, before.name), job=check.job)
        found.append(check)
    return found


def _not_tried(name: str, about: str, after: str) -> Check:
    return unknown(name, about, f"not tried: {after} failed")


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
    except Exception as error:  # noqa: BLE001 - one check that breaks is one finding, and not the end of the others
        # Without its words, which may be anybody's.
        text = f"the check itself failed: {type(error).__name__}"
        found = unknown(probe.name, probe.about, text, "please report it, with the version of keepstep")
    checks = [found] if isinstance(found, Check) else list(found)
    return [replace(check, job=probe.job) for check in checks]


def _silence(deadline: float) -> Error:
    return Error(
        f"no answer within {deadline:.0f} s",
        hint="is the way there open? routes, firewall, proxy, DNS, private endpoints",
    )
