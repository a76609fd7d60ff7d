"""Finds what ``keepstep run`` would refuse or ignore in a readable configuration, without any request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from keepstep.config import Config
from keepstep.errors import ConfigError, Error
from keepstep.jobs.resolve import resolved_jobs
from keepstep.jobs.resolved import ResolvedJob
from keepstep.monitoring.channels import service_of

_SOME = datetime(2026, 1, 1, tzinfo=UTC)


def mistakes_of(config: Config) -> Iterator[Error]:
    """Settings that would be refused, each named by its key."""
    try:
        config.state.place.check_driver()
    except Error as error:
        yield error
    yield from _alerts(config)
    for job in resolved_jobs(config):
        try:
            _check_schedule(job)
            job.check()
        except Error as error:
            what = error.message if error.message.startswith("job.") else f"job.{job.name}: {error.message}"
            yield ConfigError(what, hint=error.hint)


def ignored_in(config: Config) -> Iterator[str]:
    """Settings that have no effect."""
    for resolved in resolved_jobs(config):
        name, job, schedule = resolved.name, resolved.job, resolved.schedule
        given = job.model_fields_set
        if schedule is None or schedule.is_startup:
            for key in ("jitter", "missed"):
                if key in given:
                    yield f"job.{name}.{key} has no effect: the job has no schedule"
        if "timezone" in given and (schedule is None or schedule.cron is None):
            yield f"job.{name}.timezone has no effect: it applies only to cron expressions"
        if schedule and schedule.is_startup and job.startup:
            yield f"job.{name}.startup has no effect: @reboot means the same"
        period = schedule.period(_SOME) if schedule else None
        if period and job.jitter and job.jitter > period:
            yield f"job.{name}.jitter is longer than the time between two runs"


def _alerts(config: Config) -> Iterator[Error]:
    channels = config.alerts.channels
    names = [channel.name for channel in channels]
    for name in {name for name in names if names.count(name) > 1}:
        yield ConfigError(f"alerts.urls: two channels are named {name}", hint="give each a unique name")
    for number, channel in enumerate(channels):
        try:
            is_known = service_of(channel.url) is not None
        except ConfigError as exc:
            yield ConfigError(f"alerts.urls.{number}: {exc.message}", hint=exc.hint)
            continue
        except ModuleNotFoundError as exc:
            yield ConfigError(
                f"alerts.urls needs the library {exc.name}, which is not installed",
                hint="pip install 'keepstep[daemon]'",
            )
            return
        if not is_known:
            why = f"alerts.urls.{number}: Apprise does not support this kind of address"
            yield ConfigError(why, hint="see docs/alerts.md for the forms")


def _check_schedule(job: ResolvedJob) -> None:
    schedule = job.schedule
    if schedule and not schedule.is_startup and schedule.after(_SOME) is None:
        raise ConfigError(f"job.{job.name}.schedule: {job.job.schedule} never occurs")
