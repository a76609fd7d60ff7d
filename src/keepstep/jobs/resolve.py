"""Resolves the jobs of a configuration: the only module that knows the class of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from keepstep.errors import ConfigError

if TYPE_CHECKING:
    from keepstep.config import Config
    from keepstep.jobs.resolved import ResolvedJob
    from keepstep.jobs.rotate import ResolvedRotation
    from keepstep.jobs.secrets import ResolvedSecrets
    from keepstep.jobs.sync import ResolvedSync
    from keepstep.monitoring.conditions import Watch


@overload
def resolve(config: Config, name: str, kind: Literal["sync"]) -> ResolvedSync: ...
@overload
def resolve(config: Config, name: str, kind: Literal["secrets"]) -> ResolvedSecrets: ...
@overload
def resolve(config: Config, name: str, kind: Literal["rotate"]) -> ResolvedRotation: ...
@overload
def resolve(config: Config, name: str, kind: None = None) -> ResolvedJob: ...
def resolve(config: Config, name: str, kind: str | None = None) -> ResolvedJob:
    """The job of that name. Raises :class:`ConfigError` if there is none, or if it is not of ``kind``."""
    from keepstep.config import RotateJob, SecretsJob, SyncJob, job_of

    job = job_of(config, name)
    if kind is not None and job.kind != kind:
        raise ConfigError(f"the job {name} is of kind {job.kind}, not {kind}")
    match job:
        case SyncJob():
            from keepstep.jobs.sync import ResolvedSync

            return ResolvedSync(name=name, config=config, job=job)
        case SecretsJob():
            from keepstep.jobs.secrets import ResolvedSecrets

            return ResolvedSecrets(name=name, config=config, job=job, lock=name)
        case RotateJob():
            from keepstep.jobs.rotate import ResolvedRotation

            return ResolvedRotation(name=name, config=config, job=job)


def resolved_jobs(config: Config) -> list[ResolvedJob]:
    """All jobs, in the file's order."""
    return [resolve(config, name) for name in config.job]


def watches_of(config: Config) -> list[Watch]:
    """The watch of each job."""
    return [job.watch for job in resolved_jobs(config)]
