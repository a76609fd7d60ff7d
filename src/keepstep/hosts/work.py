"""The work of a daemon: a valid configuration, and how to start each of its jobs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepstep.config import Config, load
from keepstep.errors import ConfigError
from keepstep.hosts.children import Launch
from keepstep.jobs.resolve import resolved_jobs
from keepstep.jobs.resolved import ResolvedJob
from keepstep.schedules.scheduler import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A configuration as it was read; runs use that, even if the file changes."""

    config: Config
    snapshot: int
    """Descriptor of a file in memory that holds the text."""
    launches: dict[str, Launch] = field(default_factory=dict)
    exposure: str = ""
    """A warning if others can read secrets in the file."""

    @property
    def timings(self) -> dict[str, Timing]:
        return {job.name: job.timing for job in resolved_jobs(self.config)}

    def close(self) -> None:
        os.close(self.snapshot)


def read_work(path: Path) -> Work:
    """Reads and checks a configuration. Raises :class:`ConfigError` that names every mistake."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}", hint="name it with --config") from None
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    work = replace(work_of(text, called=str(path)), exposure=load(path).exposure)
    if not work.config.job:
        work.close()
        raise ConfigError(f"{path} has no jobs", hint="add a [job.NAME] with a schedule")
    return work


def work_of(text: bytes, *, called: str) -> Work:
    """Like :func:`read_work`, for a text that is not in a file."""
    snapshot = os.memfd_create("keepstep.toml", os.MFD_CLOEXEC)
    os.write(snapshot, text)
    path = f"/dev/fd/{snapshot}"
    try:
        config = load(Path(path))
    except ConfigError as exc:
        os.close(snapshot)
        raise ConfigError(exc.message.replace(path, called), hint=exc.hint) from None
    launches = {job.name: _launch(path, job, snapshot) for job in resolved_jobs(config)}
    return Work(config=config, snapshot=snapshot, launches=launches)


def with_launch(work: Work, job: str, **changes: object) -> Work:
    """The same work with another command for one job."""
    changed = replace(work.launches[job], **changes)  # type: ignore[arg-type]
    return replace(work, launches=work.launches | {job: changed})


def _launch(path: str, job: ResolvedJob, snapshot: int) -> Launch:
    return Launch(
        words=["--config", path, "--quiet", *job.words, "--", job.name],
        deadline=job.job.deadline,
        memory=job.job.memory,
        descriptors=[snapshot],
    )
