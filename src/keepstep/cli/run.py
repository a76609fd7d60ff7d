"""``keepstep run``: the daemon."""

from __future__ import annotations

import sys
from typing import Any

import click

from keepstep.cli.options import needed_config_file
from keepstep.errors import ConfigError
from keepstep.jobs.option_parsing import Command, config_option


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Run the jobs of keepstep.toml on schedule until SIGTERM.

    SIGHUP reloads the file. /healthz, /readyz and /metrics are served at the address of [dashboard] listen.
    """
    path = needed_config_file(ctx)
    try:
        from keepstep.hosts.service import serve
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the daemon needs the library {exc.name}, which is not installed",
            hint="pip install 'keepstep[daemon]'",
        ) from exc
    sys.exit(serve(path))
