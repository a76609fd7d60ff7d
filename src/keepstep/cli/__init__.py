"""The command ``keepstep``: global options, and one file per subcommand, loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from keepstep import __version__
from keepstep.errors import ExitCode

COMMANDS = {
    "localcloud": "a local OCI and AWS on loopback until stopped",
}
"""Name of each subcommand's module (dashes as underscores) and its line in ``--help``."""


class LazyGroup(click.Group):
    """Imports a subcommand's module only when that subcommand is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: Any = importlib.import_module(f"keepstep.cli.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.__doc__ or "") for code in ExitCode])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keepstep")
def main() -> None:
    """Keeps data and credentials in step between Oracle Cloud (OCI) and AWS."""
