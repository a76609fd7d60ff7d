"""The command ``keepstep``: global options, and one file per subcommand, loaded when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any, NoReturn

import click

from keepstep import __version__
from keepstep.cli.options import Group, lowered
from keepstep.errors import Error, ExitCode, Misuse, unwritable
from keepstep.streams import secure
from keepstep.text import printable, printable_lines

COMMANDS = {
    "sync": "brings a target folder in step with a source folder, on this machine, S3 or OCI",
    "verify": "compares the contents of two folders, and changes nothing",
    "secrets": "brings files in step with the secrets of both clouds, and tells the containers that use them",
    "rotate": "rotates database passwords in two clouds, and finishes what was begun",
    "exec": "runs a program with secrets in its environment",
    "audit": "verifies the log of rotations, entry by entry",
    "run": "the daemon: starts jobs when they are due, watches them, and calls for help",
    "status": "how each job stands, or the runs of one",
    "dashboard": "the status page alone, where no daemon serves it",
    "doctor": "checks what jobs need, changes nothing, and says what to do",
    "init": "writes a commented keepstep.toml, from questions or from what another tool has",
    "spend": "what both clouds cost, from the FOCUS reports that were synced",
    "config": "checks keepstep.toml, or prints its JSON Schema",
    "localcloud": "a local OCI and AWS on loopback until stopped",
    "demo": "OCI cost reports travel to S3, on this machine alone",
}
"""Each subcommand, its module's name too, and its line in ``--help``."""


class LazyGroup(Group):
    """Imports a subcommand's module only when that subcommand is called, and speaks errors as users read them."""

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
    help="./keepstep.toml or /etc/keepstep/keepstep.toml if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: the run report.")
@click.option("--quiet", is_flag=True, help="Says nothing but errors.")
@click.option("--verbose", is_flag=True, help="Says more.")
@click.option("--no-progress", is_flag=True, help="No progress bar (there is none without a terminal).")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Keeps data and credentials in step between Oracle Cloud (OCI) and AWS."""
    ctx.obj = options
    if logging.lastResort:  # of libraries and of ours, where nobody has set up logging
        logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))


def _refuse(error: click.UsageError) -> NoReturn:
    """Says what is wrong with the command line as we say everything; who said nothing at all gets the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        raise error
    path = error.ctx.command_path if error.ctx else "keepstep"
    say(Misuse(lowered(error.format_message()), hint=f"{path} --help lists what there is"))
    sys.exit(ExitCode.SKIPPED)


def say(error: Error) -> None:
    """Tells the user what went wrong, and what to do next."""
    click.echo(f"error: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(f"hint: {printable_lines(error.hint)}", err=True)
