"""The command ``keepstep``: global options, and one module per subcommand, imported when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any, NoReturn

import click

from keepstep import __version__
from keepstep.cli.options import Group
from keepstep.errors import Error, ExitCode, Misuse, unwritable
from keepstep.jobs.option_parsing import lowered
from keepstep.streams import secure
from keepstep.text import printable, printable_lines

COMMANDS = {
    "sync": "make a target folder match a source folder: local, S3 or OCI",
    "verify": "compare the contents of two folders without changing anything",
    "secrets": "write secrets of both clouds to files and signal containers",
    "rotate": "rotate database passwords in both clouds",
    "exec": "run a program with secrets in its environment",
    "audit": "verify the audit log of rotations, entry by entry",
    "run": "run jobs on schedule, monitor them and send alerts (the daemon)",
    "status": "show the state of every job, or the runs of one",
    "dashboard": "serve the status page without the daemon",
    "doctor": "check everything that jobs need, without changing anything",
    "init": "write a commented keepstep.toml, from questions or from another tool's setup",
    "spend": "show the cost of both clouds, from synced FOCUS reports",
    "config": "check keepstep.toml, or print its JSON Schema",
    "localcloud": "run a local OCI and AWS on loopback",
    "demo": "try keepstep on this machine, without any account",
}
"""Each subcommand, which is also its module's name, and its line in ``--help``."""


class LazyGroup(Group):
    """Imports a subcommand's module only when it is called, and prints errors for users."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: Any = importlib.import_module(f"keepstep.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.__doc__ or "") for code in ExitCode])

    def main(self, *args: Any, **extra: Any) -> Any:
        secure()
        if os.getpid() == 1:
            from keepstep.hosts.init import be_init

            be_init()
        return super().main(*args, **extra)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            _refuse(error)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _refuse(error)
        except Error as error:
            say(error)
            sys.exit(error.exit_code)
        except OSError as fault:
            if known := unwritable(fault):
                say(known)
                sys.exit(known.exit_code)
            raise
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keepstep", message="%(prog)s %(version)s")
@click.option(
    "--config",
    type=click.Path(),
    envvar="KEEPSTEP_CONFIG",
    help="Configuration file [default: ./keepstep.toml, then /etc/keepstep/keepstep.toml].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run report as one JSON document.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--verbose", is_flag=True, help="Print more detail.")
@click.option("--no-progress", is_flag=True, help="Hide the progress bar (never shown without a terminal).")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Keeps data and credentials in step between Oracle Cloud (OCI) and AWS."""
    ctx.obj = options
    if logging.lastResort:  # for log messages when no logging is set up
        logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))


def _refuse(error: click.UsageError) -> NoReturn:
    """Prints a usage error like any other error; without any arguments prints the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        raise error
    path = error.ctx.command_path if error.ctx else "keepstep"
    say(Misuse(lowered(error.format_message()), hint=f"{path} --help lists commands and options"))
    sys.exit(ExitCode.SKIPPED)


def say(error: Error) -> None:
    """Prints what went wrong, and what to do next."""
    click.echo(f"error: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(f"hint: {printable_lines(error.hint)}", err=True)
