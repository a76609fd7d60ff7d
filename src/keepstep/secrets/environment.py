"""Secrets as environment variables, for programs that read nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from keepstep.errors import ConfigError
from keepstep.secrets.delivery import Content, Delivery
from keepstep.secrets.fetch import Fetcher
from keepstep.secrets.folders import printable
from keepstep.secrets.plan import Plan
from keepstep.vaults.interface import Vault


def variable_of(path: str) -> str:
    """The base name in capitals; what is no letter and no digit of ASCII becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9]", "_", path.rpartition("/")[2]).upper()


async def environment_of(plan: Plan, vaults: Mapping[str, Vault], jobs: int = 32) -> dict[bytes, bytes]:
    """Every file of the plan as a variable; nothing is written anywhere.

    Raises :class:`Error` for the first thing that is not as it should be: a program with half of its secrets must
    not start.
    """
    for mistake in plan.mistakes:
        error = mistake.error
        raise type(error)(f"{mistake.where}: {error.message}", hint=error.hint)
    named = _named([delivery for target in plan.targets for delivery in target.deliveries])
    fetcher = Fetcher(vaults, jobs)
    values = await asyncio.gather(*(_value(name, delivery, fetcher) for name, delivery in named.items()))
    return dict(zip((name.encode() for name in named), values, strict=True))


def _named(deliveries: list[Delivery]) -> dict[str, Delivery]:
    named: dict[str, Delivery] = {}
    for delivery in deliveries:
        name = variable_of(delivery.path)
        other: Content = named.setdefault(name, delivery).content
        if other != delivery.content:
            paths = f"{printable(named[name].path)} and {printable(delivery.path)}"
            raise ConfigError(
                f"{paths} would both be the variable {name}", hint="give one of the files another name"
            )
    return named


async def _value(name: str, delivery: Delivery, fetcher: Fetcher) -> bytes:
    value = delivery.content.render(await fetcher.values([delivery]))
    if b"\0" in value:
        raise ConfigError(
            f"{delivery.origin} has a NUL, which {name} cannot hold", hint="read it from a file instead"
        )
    return value
