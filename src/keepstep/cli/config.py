"""``keepstep config``: looks at the configuration file without running anything."""

from __future__ import annotations

import json
from typing import Any

import click

from keepstep.cli.options import Group, config_option, needed_config_file
from keepstep.cli.sync_job import checked
from keepstep.config import Config, SyncJob, load
from keepstep.text import printable


@click.group(cls=Group)
def command() -> None:
    """Checks keepstep.toml, or prints what may stand in it."""


@command.command()
@config_option
@click.pass_context
def check(ctx: click.Context, /, **options: Any) -> None:
    """Reads the file and reports every mistake in it, with its key."""
    path = needed_config_file(ctx)
    config = load(path)
    for name, job in config.job.items():
        if isinstance(job, SyncJob):
            checked(name, job)
    jobs = ", ".join(f"{name} ({job.kind})" for name, job in sorted(config.job.items()))
    click.echo(printable(f"{path} is right; jobs: {jobs or 'none'}"))


@command.command()
def schema() -> None:
    """Prints the JSON Schema of keepstep.toml, for editors."""
    click.echo(json.dumps(Config.model_json_schema(mode="validation"), indent=2))
