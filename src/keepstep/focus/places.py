"""Where FOCUS reports are: what keepstep.toml says, or what somebody names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keepstep.config import Config
from keepstep.errors import ConfigError
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.resolve import resolve, resolved_jobs
from keepstep.jobs.settings import settings_of
from keepstep.jobs.sync import ResolvedSync
from keepstep.stores.address import parse
from keepstep.stores.interface import Store


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of reports."""

    name: str
    """As it is called: a job or an address."""
    open: Callable[[], Store]
    """Raises :class:`Error`."""
    only: str = ""
    """The key of the one report that is meant; empty for all of them."""


def places_of(config: Config) -> list[Place]:
    """What ``[dashboard] spend`` says, else the targets of jobs that fetch OCI's reports."""
    if config.dashboard.spend is not None:
        return [_place(config, text) for text in config.dashboard.spend]
    jobs = [job for job in resolved_jobs(config) if isinstance(job, ResolvedSync) and _fetches(job)]
    return [Place(job.name, job.target_to_read) for job in jobs]


def place_named(config: Config, text: str) -> Place:
    """The target of the job of that name, else the folder, or the one local file, at that address.

    Raises :class:`ConfigError` for what is neither.
    """
    if text in config.job:
        job = resolve(config, text, "sync")
        return Place(text, job.target_to_read)
    address = parse(text)
    if address.kind == "local" and os.path.isfile(address.path):
        path = Path(address.path)
        return Place(text, partial(_opened, config, str(path.absolute().parent)), path.name)
    return _place(config, text)


def _place(config: Config, text: str) -> Place:
    return Place(text, partial(_opened, config, text))


def _opened(config: Config, text: str) -> Store:
    return Assembly(settings_of(config.identity)).source(parse(text))


def _fetches(job: ResolvedSync) -> bool:
    """Whether the job fetches cost reports. False if its source is not an address."""
    try:
        return job.is_of_cost_reports
    except ConfigError:
        return False
