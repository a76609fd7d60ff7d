"""Jobs of kind ``sync`` in keepstep.toml, as the command line that they stand for."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from keepstep.cli.options import config_file, lowered
from keepstep.errors import ConfigError, Misuse

if TYPE_CHECKING:
    from keepstep.config import Config, SyncJob


def configured(ctx: click.Context, name: str) -> tuple[Config, SyncJob]:
    """The file and the job in it. Raises :class:`ConfigError`."""
    from keepstep.config import SyncJob, job_of, load

    path = config_file(ctx)
    if path is None:
        raise ConfigError(
            f"sync {name}: no target, and no keepstep.toml that could have a job of that name",
            hint="keepstep sync SOURCE TARGET, or name the file with --config",
        )
    config = load(path)
    job = job_of(config, name)
    if not isinstance(job, SyncJob):
        raise ConfigError(f"the job {name} is of kind {job.kind}, not sync")
    checked(name, job)
    return config, job


def with_params(ctx: click.Context, given: dict[str, Any], job: SyncJob) -> dict[str, Any]:
    """The job's own options, and before them those that stand on the command line."""
    return completed(ctx, given, words_of(job), ctx.command)


def checked(name: str, job: SyncJob) -> None:
    """Raises :class:`ConfigError` that names the job where its ``params`` are no options of ``keepstep sync``."""
    from keepstep.cli.sync import command

    why = ""
    try:
        words = words_of(job)
        if asks := {"-h", "--help"} & {*words[: words.index("--")]}:
            why = f"{asks.pop()} is for the command line"
        elif command.make_context("params", words).params["config"] is not None:
            why = "--config is for the command line"
    except ValueError as exc:
        why = str(exc)
    except click.UsageError as exc:
        why = exc.format_message()
    except Misuse as exc:
        why = exc.message
    if why:
        hint = "write them as on the command line: keepstep sync --help"
        # A host whose users set variables says what they call it.
        called = os.environ.get("KEEPSTEP_PARAMS_NAME", f"job.{name}.params")
        raise ConfigError(f"{called}: {lowered(why)}", hint=hint)


def words_of(job: SyncJob) -> list[str]:
    """The command line that the job stands for."""
    return [*shlex.split(job.params), "--", job.source, job.target]


def completed(
    ctx: click.Context, given: dict[str, Any], words: list[str], command: click.Command
) -> dict[str, Any]:
    """What ``words`` mean to ``command``, and before that what stands on the command line."""
    options = command.make_context("params", words).params
    for name, value in given.items():
        if name not in ("source", "target") and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            options[name] = value
    options["filters"] = [*options["filters"], *given["filters"]]
    return options
