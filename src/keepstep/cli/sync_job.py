"""Jobs of kind ``sync`` on the command line: options given there override those of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from keepstep.cli.options import config_file
from keepstep.errors import ConfigError

if TYPE_CHECKING:
    from keepstep.jobs.sync import ResolvedSync


def configured(ctx: click.Context, name: str) -> ResolvedSync:
    """The job of that name in the file. Raises :class:`ConfigError`."""
    from keepstep.config import load
    from keepstep.jobs.resolve import resolve

    path = config_file(ctx)
    if path is None:
        raise ConfigError(
            f"sync {name}: no target is given, and there is no keepstep.toml with a job of that name",
            hint="keepstep sync SOURCE TARGET, or name the file with --config",
        )
    return resolve(load(path), name, "sync")


def with_params(ctx: click.Context, given: dict[str, Any], job: ResolvedSync) -> dict[str, Any]:
    """The job's options and addresses, overridden by the command line."""
    options = given | job.options | {"source": job.job.source, "target": job.job.target}
    for name, value in given.items():
        if name not in ("source", "target") and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            options[name] = value
    options["filters"] = [*job.options["filters"], *given["filters"]]
    return options
