"""``keepstep config``: checks the configuration file without running anything."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from keepstep.cli.options import Group, needed_config_file
from keepstep.config import Config, load
from keepstep.errors import ExitCode
from keepstep.jobs.option_parsing import config_option
from keepstep.text import printable


@click.group(cls=Group)
def command() -> None:
    """Check keepstep.toml, or print its JSON Schema."""


@command.command()
@config_option
@click.pass_context
def check(ctx: click.Context, /, **options: Any) -> None:
    """Check the file and report every mistake with its key. Makes no request.

    Exits with 0 if the file is valid, with 2 if a setting has no effect, and with 5 if run would refuse the file.
    """
    from keepstep.cli import say
    from keepstep.cli.config_check import ignored_in, mistakes_of

    path = needed_config_file(ctx)
    config = load(path)
    mistakes = list(mistakes_of(config))
    for mistake in mistakes:
        say(mistake)
    ignored = list(ignored_in(config))
    for text in [*ignored, *([config.exposure] if config.exposure else [])]:
        click.echo(f"warning: {text}", err=True)
    if mistakes:
        sys.exit(ExitCode.MISCONFIGURED)
    jobs = ", ".join(f"{name} ({job.kind})" for name, job in sorted(config.job.items()))
    click.echo(printable(f"{path}: OK; jobs: {jobs or 'none'}"))
    sys.exit(ExitCode.SKIPPED if ignored else ExitCode.DONE)


@command.command()
def schema() -> None:
    """Print the JSON Schema of keepstep.toml, for editors."""
    click.echo(json.dumps(Config.model_json_schema(mode="validation"), indent=2))
