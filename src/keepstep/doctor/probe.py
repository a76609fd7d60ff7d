"""Runs probes concurrently, each with its own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec

from keepstep.doctor.check import Check, Verdict, of_error, unknown
from keepstep.errors import ConfigError, Error

P = ParamSpec("P")
Answer = Check | Sequence[Check]

DEADLINE = 25.0
"""Seconds for one probe: more than one connection attempt, less than people's patience."""


def blocking(work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Callable[[], Awaitable[Answer]]:
    """A probe of this machine, which runs in a thread."""
    return lambda: asyncio.to_thread(work, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe. ``ask`` changes nothing, and may raise :class:`Error`."""

    name: str
    about: str
    ask: Callable[[], Awaitable[Answer]]
    is_needed: bool = True
    """Whether the job itself needs what is tried."""
    job: str = ""
    after: str = ""
    """The name of a probe of the same job and thing that must succeed first."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of one probe."""

    checks: list[Check]
    is_cause: bool = False
    """Whether it failed because of something that others need as well: a library, credentials, a setting."""

    @property
    def has_failed(self) -> bool:
        return any(check.verdict is Verdict.FAIL for check in self.checks)


async def examine(probes: Iterable[Probe], deadline: float = DEADLINE) -> list[Check]:
    """Returns the results in the order of the probes. Raises nothing."""
    answers: dict[tuple[str, str, str], asyncio.Task[_Found]] = {}

    async def answer(probe: Probe) -> _Found:
        needed = answers.get((probe.job, probe.about, probe.after)) if probe.after else None
        if needed and (await needed).has_failed:
            check = replace(unknown(probe.name, probe.about, ""), job=probe.job)
            return _Found([_not_tried(check, probe.after)])
        return await _answer(probe, deadline)

    tasks = []
    for probe in probes:
        tasks.append(asyncio.create_task(answer(probe)))
        answers.setdefault((probe.job, probe.about, probe.name), tasks[-1])
    return _without_echoes(await asyncio.gather(*tasks))


def _without_echoes(found: Iterable[_Found]) -> list[Check]:
    """Reports each cause once: a check that fails for the same cause counts as not tried."""
    first: dict[tuple[str, str | None], Check] = {}
    checks = []
    for each in found:
        for check in each.checks:
            before = first.setdefault((check.text, check.fix), check) if each.is_cause else check
            checks.append(check if before is check else _not_tried(check, f"{before.name} {before.about}"))
    return checks


def _not_tried(check: Check, after: str) -> Check:
    return replace(check, verdict=Verdict.UNKNOWN, text=f"not tried: {after} failed", fix=None)


async def _answer(probe: Probe, deadline: float) -> _Found:
    is_cause = False
    try:
        async with asyncio.timeout(deadline):
            found = await probe.ask()
    except TimeoutError:
        found = of_error(probe.name, probe.about, _silence(deadline), is_needed=probe.is_needed)
    except Error as error:
        found = of_error(probe.name, probe.about, error, is_needed=probe.is_needed)
        is_cause = isinstance(error, ConfigError)
    except ModuleNotFoundError as error:
        found = unknown(probe.name, probe.about, f"this needs the library {error.name}, which is not installed")
    except PermissionError as error:
        text = f"this user cannot read {error.filename or 'it'}"
        found = unknown(probe.name, probe.about, text, "run doctor as the user that runs the job")
    except Exception as error:  # noqa: BLE001 - one check that breaks is one finding, and not the end of the others
        # Without its message, which may contain anything.
        text = f"the check itself failed: {type(error).__name__}"
        found = unknown(probe.name, probe.about, text, "please report this, with the version of keepstep")
    checks = [found] if isinstance(found, Check) else list(found)
    return _Found([replace(check, job=probe.job) for check in checks], is_cause)


def _silence(deadline: float) -> Error:
    return Error(
        f"no response within {deadline:.0f} s",
        hint="check the network path: routes, firewall, proxy, DNS, private endpoints",
    )
