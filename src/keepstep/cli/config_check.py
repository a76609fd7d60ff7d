"""What ``keepstep run`` would refuse, or take and ignore, of a configuration that can be read: nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import click

from keepstep.cli.sync_job import checked, words_of
from keepstep.cli.transfer_options import transfer_options
from keepstep.config import Config, RotateJob, SecretsJob, SyncJob
from keepstep.errors import ConfigError, Error
from keepstep.jobs.assembly import Assembly, schedule_of, settings_of
from keepstep.monitoring.channels import service_of
from keepstep.secrets.map import Map, read_map
from keepstep.secrets.plan import make_plan
from keepstep.stores.address import Address, parse

_SOME = datetime(2026, 1, 1, tzinfo=UTC)


def mistakes_of(ctx: click.Context, config: Config) -> Iterator[Error]:
    """What would be refused, each named by its key."""
    try:
        config.state.place.check_driver()
    except Error as error:
        yield error
    yield from _alerts(config)
    for name, job in config.job.items():
        try:
            _check(ctx, config, name, job)
        except click.UsageError as error:
            yield ConfigError(f"job.{name}.params: {error.format_message()}", hint="keepstep sync --help")
        except Error as error:
            what = error.message if error.message.startswith("job.") else f"job.{name}: {error.message}"
            yield ConfigError(what, hint=error.hint)


def ignored_in(config: Config) -> Iterator[str]:
    """What has no effect."""
    for name, job in config.job.items():
        schedule, given = schedule_of(job), job.model_fields_set
        if schedule is None or schedule.is_startup:
            for key in ("jitter", "missed"):
                if key in given:
                    yield f"job.{name}.{key} has no effect: the job has no times"
        if "timezone" in given and (schedule is None or schedule.cron is None):
            yield f"job.{name}.timezone has no effect: it is for cron expressions"
        if schedule and schedule.is_startup and job.startup:
            yield f"job.{name}.startup has no effect: @reboot means the same"
        period = schedule.period(_SOME) if schedule else None
        if period and job.jitter and job.jitter > period:
            yield f"job.{name}.jitter is longer than the time between two runs"


def _alerts(config: Config) -> Iterator[Error]:
    channels = config.alerts.channels
    names = [channel.name for channel in channels]
    for name in {name for name in names if names.count(name) > 1}:
        yield ConfigError(f"alerts.urls: {name} is the name of two channels", hint="give each a name of its own")
    for number, channel in enumerate(channels):
        try:
            is_known = service_of(channel.url) is not None
        except ConfigError as exc:
            yield ConfigError(f"alerts.urls.{number}: {exc.message}", hint=exc.hint)
            continue
        except ModuleNotFoundError as exc:
            yield ConfigError(
                f"alerts.urls need the library {exc.name}, which is not installed",
                hint="pip install 'keepstep[daemon]'",
            )
            return
        if not is_known:
            why = f"alerts.urls.{number}: Apprise does not know such an address"
            yield ConfigError(why, hint="see docs/alerts.md for the forms")


def _check(ctx: click.Context, config: Config, name: str, job: SyncJob | SecretsJob | RotateJob) -> None:
    """Raises :class:`Error` and :class:`click.UsageError`."""
    if (schedule := schedule_of(job)) and not schedule.is_startup and schedule.after(_SOME) is None:
        raise ConfigError(f"job.{name}.schedule: {job.schedule} never comes")
    if isinstance(job, SyncJob):
        _sync(ctx, name, job)
    elif isinstance(job, SecretsJob):
        _secrets(name, job)
    else:
        asyncio.run(_rotation(config, name, job))


def _sync(ctx: click.Context, name: str, job: SyncJob) -> None:
    from keepstep.cli.sync import command

    checked(name, job)
    options = command.make_context("params", words_of(job), parent=ctx).params
    source, target = _address(name, "source", job.source), _address(name, "target", job.target)
    transfer_options(options, source, target)
    if options["trash"]:
        parse(options["trash"])


def _address(name: str, key: str, text: str) -> Address:
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"job.{name}.{key}: {error.message}", hint=error.hint) from None


def _secrets(name: str, job: SecretsJob) -> None:
    plan = make_plan(read_map(Path(job.map)) if job.map else Map(), job.file, job.set)
    if plan.mistakes:
        first = plan.mistakes[0]
        more = f" (and {len(plan.mistakes) - 1} more)" if len(plan.mistakes) > 1 else ""
        raise ConfigError(f"job.{name}: {first.where}: {first.error.message}{more}", hint=first.error.hint)
    if not plan.targets:
        raise ConfigError(f"job.{name} names no secret", hint="give it a map, or [[job.NAME.file]]")


async def _rotation(config: Config, name: str, job: RotateJob) -> None:
    """Wires it, and asks nobody: wallets, which may be elsewhere, are left out."""
    from keepstep.jobs.rotate import RotationAssembly

    async with AsyncExitStack() as stack:
        assembly = Assembly(settings_of(job.identity or config.identity))
        without = [member.model_copy(update={"wallet": None}) for member in job.database]
        parts = RotationAssembly(assembly, stack, lambda text: None)
        await parts.rotation(name, job.model_copy(update={"database": without}))
