"""What ``keepstep secrets`` and ``keepstep exec`` work on: a map file, or a job of keepstep.toml."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import click

from keepstep.cli.options import config_file
from keepstep.cli.running import run
from keepstep.config import Config, Identities, SecretsJob, job_of, load
from keepstep.errors import ConfigError, ExitCode
from keepstep.jobs.assembly import CloudSettings, instance_by_default, settings_of
from keepstep.secrets.map import Map, find_map, read_map
from keepstep.secrets.plan import Plan, make_plan
from keepstep.state.place import StatePlace, is_usable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job, ready to be done."""

    name: str
    """As reports call it."""
    lock: str
    plan: Plan
    settings: CloudSettings
    place: StatePlace
    config: Config | None = None
    """Says where runs are recorded; those of a bare map are not."""
    max_stale: timedelta | None = None
    fingerprint_key: str | None = None

    @property
    def vaults(self) -> list[str]:
        """The kinds that are needed."""
        deliveries = (delivery for target in self.plan.targets for delivery in target.deliveries)
        return sorted({source.vault for delivery in deliveries for source in delivery.content.sources})


def work_of(ctx: click.Context, given: str | None) -> Work:
    """What the argument means: a configured job goes first, then a file; nothing is the default map.

    Raises :class:`ConfigError`.
    """
    path = config_file(ctx)
    config = load(path) if path else Config()
    is_path = given is not None and ("/" in given or given.endswith(".csv") or Path(given).is_file())
    if given is not None and (given in config.job or not is_path):
        return _of_job(config, given)
    file = find_map() if given is None else Path(given)
    return Work(
        name=str(file),
        lock=f"map {file.resolve()}",
        plan=make_plan(read_map(file)),
        settings=_settings_of(config.identity),
        place=config.state.place,
    )


def _of_job(config: Config, name: str) -> Work:
    if not config.job:
        raise ConfigError(f"there is no map file {name}, and no keepstep.toml with a job of that name")
    job = job_of(config, name)
    if not isinstance(job, SecretsJob):
        raise ConfigError(f"the job {name} is of kind {job.kind}, not secrets")
    map_ = read_map(Path(job.map)) if job.map else Map()
    return Work(
        name=name,
        lock=name,
        plan=make_plan(map_, job.file, job.set),
        settings=_settings_of(job.identity or config.identity),
        place=config.state.place,
        config=config,
        max_stale=job.max_stale,
        fingerprint_key=job.fingerprint_key,
    )


def _settings_of(identity: Identities) -> CloudSettings:
    return instance_by_default(settings_of(identity))


def ask(questions: Coroutine[Any, Any, T]) -> T:
    """Runs what only asks. Ctrl-C ends the process with the code that stands for it."""
    try:
        return run(questions)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def ages_path(work: Work, *, is_kept: bool) -> Path | None:
    """Where the ages of the job's files are kept, whose folder is made; None where nothing can be kept."""
    folder = work.place.notes
    if folder is None or (is_kept and not is_usable(folder)):
        return None
    return folder / f"ages-{sha256(work.lock.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"
